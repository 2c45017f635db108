"""doctor.html: whole in one file, escaped, with pictures that show what is wrong."""

import base64
import io
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from browser import CHROMIUM, Tab, visit
from PIL import Image

from limbeck.report.doctor_page import SHOWN, write_doctor_page
from limbeck.report.pictures import beside, marked, small
from tests.checkup.conftest import diagnosis_of
from tests.checkup.sets import class_folders, mask, masks, photo, voc, voc_xml

RED = (226, 62, 30)


def page_of(root: Path, *, near: bool = False) -> str:
    page = write_doctor_page(root.parent / "out", diagnosis_of(root, near=near), [("Next", "limbeck <x>")], shown=False)
    return page.read_text()


def pictures(text: str) -> list[Image.Image]:
    found = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', text)
    return [Image.open(io.BytesIO(base64.b64decode(data))) for data in found]


def redness(image: Image.Image) -> int:
    pixels = np.asarray(image.convert("RGB"), np.int64)
    return int((np.abs(pixels - RED).max(2) < 40).sum())


def test_a_sound_set_says_so(tmp_path: Path) -> None:
    text = page_of(class_folders(tmp_path / "set"))
    assert "This data set is sound" in text
    assert "Nothing. Every check passed." in text
    assert pictures(text) == []


def test_boxes_are_drawn_where_they_are_wrong(tmp_path: Path) -> None:
    root = voc(tmp_path / "set")
    (root / "Annotations" / "7.xml").write_text(voc_xml(7, "dog", (20, 20, 20, 20)))
    text = page_of(root)
    assert "1 thing would break training" in text
    (picture,) = pictures(text)
    assert redness(picture) > 50 + redness(small(Image.open(root / "JPEGImages" / "7.jpg")))


def test_pictures_are_few_and_the_rest_is_counted(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "set")
    for number in range(70):
        photo(root / "train" / "cat" / f"grey{number}.png", 50 + number)
        with Image.open(root / "train" / "cat" / f"grey{number}.png") as image:
            image.convert("L").save(root / "train" / "cat" / f"grey{number}.png")
    text = page_of(root)
    assert len(pictures(text)) == SHOWN
    assert "70 places" in text
    assert "and 10 more, in doctor.json" in text


def test_pairs_and_masks_stand_side_by_side(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "set")
    shutil.copy(root / "train" / "cat" / "0.jpg", root / "train" / "cat" / "copy.jpg")
    (pair,) = pictures(page_of(root))
    assert pair.width > 2 * pair.height
    root = masks(tmp_path / "masks")
    mask(root / "labels" / "7.png", (0, 1, 2))
    (pair,) = pictures(page_of(root))
    assert pair.width > 2 * pair.height


def test_masks_with_an_alpha_channel_are_shown(tmp_path: Path) -> None:
    root = masks(tmp_path / "set")
    Image.new("LA", (40, 40), (1, 255)).save(root / "labels" / "3.png")
    assert len(pictures(page_of(root))) >= 1


def test_edited_copies_are_shown_with_what_matches(tmp_path: Path) -> None:
    root = tmp_path / "set"
    photo(root / "a.jpg", 0, (320, 240))
    with Image.open(root / "a.jpg") as image:
        image.crop((20, 20, 300, 230)).save(root / "b.jpg")
    text = page_of(root, near=True)
    (pair,) = pictures(text)
    assert pair.width > 2 * pair.height


def test_names_are_escaped_and_nothing_is_fetched(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "set")
    hostile = "<script>alert(1)</script>&'\"".replace("/", "")
    (root / "train" / "cat" / f"{hostile}.jpg").write_bytes(b"")
    photo(root / "train" / "cat" / f"{hostile}.png", 50, format="JPEG")
    text = page_of(root)
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert not re.search(r"(?:src|href)=\"(?!data:)", text)
    assert "http" not in text.replace("http-equiv", "")


def test_a_photo_that_is_gone_since_is_left_out(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "set")
    photo(root / "train" / "cat" / "x.png", 50, format="JPEG")
    diagnosis = diagnosis_of(root)
    (root / "train" / "cat" / "x.png").unlink()
    page = write_doctor_page(tmp_path / "out", diagnosis, shown=False)
    assert pictures(page.read_text()) == []


def test_boxes_beyond_the_edge_are_shown_beyond_it() -> None:
    plain = Image.new("RGB", (300, 300))
    assert marked(plain, [((30, 30, 150, 150), "cat")]).size == (300, 300) == small(plain).size
    wide = marked(plain, [((270, 30, 420, 150), "cat")])
    assert wide.width > 1.3 * wide.height
    assert redness(wide.crop((105 * wide.height // 100, 0, wide.width, wide.height))) > 20
    far = marked(plain, [((15000, 30, 15300, 150), "cat")])
    assert far.width <= 1.6 * far.height


def test_a_box_is_drawn_at_its_place() -> None:
    picture = marked(Image.new("RGB", (320, 160)), [((40, 60, 200, 110), "")])
    assert picture.size == (320, 160)
    down, across = np.nonzero(np.abs(np.asarray(picture, np.int64) - RED).max(2) < 40)
    assert [across.min(), down.min(), across.max(), down.max()] == pytest.approx([40, 60, 200, 110], abs=2)


def test_pictures_in_a_row_keep_their_shapes() -> None:
    assert beside([Image.new("RGB", (30, 10)), Image.new("RGB", (10, 20))]).size == (60 + 4 + 10, 20)


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="needs Chromium: apt-get install chromium")
@pytest.mark.parametrize("width", [390, 1440])
def test_in_a_browser(width: int, tmp_path: Path) -> None:
    root = voc(tmp_path / "set")
    (root / "Annotations" / "7.xml").write_text(voc_xml(7, "dog", (20, 20, 20, 20)))
    shutil.copy(root / "JPEGImages" / "1.jpg", root / "JPEGImages" / "0.jpg")
    page = write_doctor_page(tmp_path / "out", diagnosis_of(root), shown=False)

    async def act(tab: Tab) -> None:
        assert await tab.evaluate("[...document.images].filter(i => !(i.complete && i.naturalWidth > 0)).length") == 0
        for scheme, light in (("light", True), ("dark", False)):
            await tab.look(width, scheme)
            assert await tab.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
            paper = np.median(np.asarray((await tab.picture("html")).convert("L")))
            assert paper > 230 if light else paper < 40
        assert not tab.events("Log.entryAdded")
        addresses = {event["request"]["url"].split(",")[0] for event in tab.events("Network.requestWillBeSent")}
        assert addresses <= {page.as_uri(), "data:image/jpeg;base64", "data:"}

    visit(page, tmp_path / "profile", act)
