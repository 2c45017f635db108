import dataclasses
import io
import itertools
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image
from samples import HOSTILE, full_page, held_out, history, hostile_page, photo

from limbeck.records import Skipped
from limbeck.report.page import HeldOut, ModelFacts, Page, Unfinished, render, write_report

EMPTY = Page(title="empty", classes=10, student=ModelFacts(name="student"))
VOID = {"meta", "link", "img", "br"}


class Outline(HTMLParser):
    """The tags, attributes and text of a page; fails on tags that do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str | None]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value) for name, value in attributes]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value) for name, value in attributes]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


@pytest.fixture(scope="module")
def full() -> str:
    return render(full_page())


def test_every_part_is_there(full: str) -> None:
    texts = Outline(full).texts
    for heading in ("Comparison", "Curves", "The models", "Held-out photos", "Skipped files", "What to do next"):
        assert heading in texts
    assert "It is working" in texts
    assert {"25.6 M", "5.5 M", "4.7× fewer", "97.8", "21.1", "80.5 %"} <= set(texts)
    assert {"/photos/broken.jpg", "the file ends in the middle"} <= set(texts)
    assert {"limbeck evaluate runs/first --images labelled", "schedule.lr", "2.11.0"} <= set(texts)
    assert any(text.startswith("2 photos vanished") for text in texts)


@pytest.mark.parametrize("page", [full_page(), hostile_page(), EMPTY], ids=["full", "hostile", "empty"])
def test_nothing_is_fetched_and_nothing_runs(page: Page) -> None:
    text = render(page)
    outline = Outline(text)
    assert outline.tags["script"] == outline.tags["iframe"] == outline.tags["object"] == 0
    for tag, name, value in outline.attributes:
        assert not name.startswith("on"), (tag, name)
        if name in {"src", "href", "xlink:href", "srcset", "action", "data", "poster"}:
            assert value is not None
            assert value.startswith(("data:", "#")), (tag, name, value)
    assert not re.search(r"https?://|@import|url\((?!#)", text)
    assert "default-src 'none'" in text


def test_hostile_names_are_only_text() -> None:
    outline = Outline(render(hostile_page()))
    assert outline.tags["img"] == 1
    assert HOSTILE in outline.texts
    assert ("bdi", "title", HOSTILE) in outline.attributes
    assert "49" not in "".join(outline.texts)


def test_names_that_are_no_text_can_be_written(tmp_path: Path) -> None:
    written = write_report(tmp_path, hostile_page()).read_text(encoding="utf-8")
    assert "bytes that are no text: \\udcff" in written


def test_an_empty_run_has_a_page_too() -> None:
    texts = Outline(render(EMPTY)).texts
    assert "Too early to say" in texts
    assert {"No numbers were recorded yet.", "No photos were held out.", "Every file could be read."} <= set(texts)
    assert "Comparison" not in texts
    assert "Teacher" not in texts


def test_where_a_run_stands_comes_first() -> None:
    going = Unfinished(done=1200, steps=5000, resume="limbeck distill --out 'a run' --resume", written="today")
    texts = Outline(render(dataclasses.replace(full_page(), unfinished=going))).texts
    assert texts.index("Step 1,200 of 5,000 as of today") < texts.index("It is working")
    assert "limbeck distill --out 'a run' --resume" in texts
    stopped = dataclasses.replace(going, stopped="step 1201: the loss is <nan>")
    texts = Outline(render(dataclasses.replace(full_page(), unfinished=stopped))).texts
    assert "Stopped at step 1,200 of 5,000" in texts
    assert any("the loss is <nan>. Written today" in text for text in texts)


def test_top1_says_what_it_was_measured_on() -> None:
    student = ModelFacts(name="student", top1=0.7)
    for teacher, note in (
        (ModelFacts(name="t", top1=0.8), "the teacher 80.0\u00a0%"),
        (ModelFacts(name="t", top1=0.8, top1_note="on other photos"), "the teacher 80.0\u00a0% (on other photos)"),
    ):
        texts = Outline(render(dataclasses.replace(EMPTY, teacher=teacher, student=student))).texts
        assert note in texts
    texts = Outline(render(dataclasses.replace(EMPTY, teacher=ModelFacts(name="t", top1_note="not measured")))).texts
    assert "not measured" in texts


def test_the_curves_of_a_student_of_labels_name_no_teacher() -> None:
    history = [{"step": 1, "accuracy": 0.5, "loss": 1.0}, {"step": 1, "top1": 0.4}]
    texts = Outline(render(dataclasses.replace(EMPTY, history=history))).texts
    assert "Accuracy" in texts
    assert "Agreement with the teacher" not in texts
    assert "They are compared with a teacher, and this run had none." in texts
    assert "No photos were held out." not in texts


def test_the_largest_disagreements_come_first_and_nan_last() -> None:
    photos = [HeldOut(f"{d}.jpg", photo(0), [("a", 1.0)], [("b", 1.0)], d) for d in (0.1, float("nan"), 0.5, 0.3)]
    text = render(dataclasses.replace(EMPTY, held_out=photos))
    assert re.findall(r'alt="([^"]+)"', text) == ["0.5.jpg", "0.3.jpg", "0.1.jpg", "nan.jpg"]


def test_agreement_is_said_in_words() -> None:
    same = HeldOut("same.jpg", photo(0), [("cat", 0.9)], [("cat", 0.5)], 0.1)
    other = HeldOut("other.jpg", photo(1), [("cat", 0.9)], [("dog", 0.5)], 0.2)
    silent = HeldOut("silent.jpg", photo(2), [], [], 0.3)
    texts = Outline(render(dataclasses.replace(EMPTY, held_out=[same, other, silent]))).texts
    assert Counter(texts)["≠ differ"] == 2
    assert Counter(texts)["= agree"] == 1
    assert Counter(texts)["no answer"] == 2
    assert any("same answer on 1 of 3 photos" in text for text in texts)


def test_probabilities_that_are_no_numbers_do_not_break_the_bars() -> None:
    odd = [("a", float("nan")), ("b", 1.5), ("c", -0.1)]
    text = render(dataclasses.replace(EMPTY, held_out=[HeldOut("x.jpg", photo(0), odd, odd, 0.1)]))
    assert re.findall(r"--p:([^\"]+)", text) == ["0%", "100.0%", "0.0%"] * 2


def test_forty_eight_photos_stay_below_two_megabytes(tmp_path: Path) -> None:
    page = dataclasses.replace(full_page(), held_out=held_out(60), history=history(100_000))
    path = write_report(tmp_path, page)
    assert path.stat().st_size < 2_000_000
    text = path.read_text(encoding="utf-8")
    assert Outline(text).tags["img"] == 48
    assert "of 60 photos" in text
    assert "48 of them are shown" in text


def test_a_long_list_of_skipped_files_is_cut_and_says_so() -> None:
    skipped = [Skipped(f"{number}.jpg", "broken") for number in range(2345)]
    text = render(dataclasses.replace(EMPTY, skipped=skipped))
    assert text.count("broken") == 100
    assert "and 2,245 more, in skipped.csv" in text


def test_headings_never_skip_a_level_and_table_cells_have_headers(full: str) -> None:
    levels = [int(level) for level in re.findall(r"<h([1-6])", full)]
    assert levels[0] == 1
    assert all(below - above <= 1 for above, below in itertools.pairwise(levels))
    assert all('scope="' in cell for cell in re.findall(r"<th\b[^>]*>", full))
    assert all(words for words in re.findall(r'role="img" aria-label="([^"]*)"', full))


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("text", "behind"),
    [
        *(("ink", ground) for ground in ("paper", "card", "accent-soft", "muted-soft")),
        *(("muted", ground) for ground in ("paper", "card", "accent-soft", "muted-soft")),
        *(("accent", ground) for ground in ("paper", "card")),
        ("on-accent", "accent"),
    ],
)
def test_contrast_is_enough_to_read(full: str, scheme: int, text: str, behind: str) -> None:
    colours = [re.findall(rf"--{name}: (#\w{{6}})", full)[scheme] for name in (text, behind)]
    light, dark = sorted(map(luminance, colours), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_writing_replaces_the_page_whole_and_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("old")
    assert write_report(tmp_path, EMPTY) == tmp_path / "report.html"
    assert "empty" in (tmp_path / "report.html").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_page_that_cannot_be_made_leaves_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("old")
    broken = dataclasses.replace(EMPTY, held_out=[HeldOut("x", None, [], [], 0.0)])  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        write_report(tmp_path, broken)
    assert (tmp_path / "report.html").read_text() == "old"


@pytest.mark.parametrize("size", [(480, 640), (640, 480), (100, 100), (3000, 40)])
def test_thumbnails_are_small_jpegs(size: tuple[int, int]) -> None:
    with Image.open(io.BytesIO(photo(0, size))) as image:
        assert image.format == "JPEG"
        assert max(image.size) == min(160, max(size))
