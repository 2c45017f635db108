"""The page of detectors and its pictures."""

import re
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from limbeck.report.detections_page import DetectionsPage, FoundClass, FoundPhoto, Rival, write_detections
from limbeck.report.detections_pictures import HUES, Marked, drawn, sheet, side_by_side

GREY = (90, 90, 90)


def page(**changes: Any) -> DetectionsPage:
    line = np.linspace(0, 1, 5)
    parts: dict[str, Any] = {
        "title": "run",
        "about": "ssdlite",
        "numbers": {"AP": 0.5, "APl": -1.0},
        "classes": [FoundClass("<b>cat</b>", 0.5, 0.7, -1.0, 2, 9, line, 1 - line)],
        "history": [{"step": step, "loss": 3.0 - step, "AP": step / 4} for step in (1, 2)],
        "galleries": {"The worst": [FoundPhoto("a/b.jpg", "1 there", side_by_side(Image.new("RGB", (60, 40)), [[]]))]},
        "facts": {"lr": "0.1"},
    }
    return DetectionsPage(**parts | changes)


def written(folder: Path, **changes: Any) -> str:
    return write_detections(folder, page(**changes)).read_text()


def test_of_one_detector(tmp_path: Path) -> None:
    text = written(tmp_path)
    assert "&lt;b&gt;cat&lt;/b&gt;" in text
    assert "<b>cat</b>" not in text
    assert "One beside the other" not in text
    assert text.count("<svg") == 3  # loss, AP, and the precision of the one class
    assert "–" in text, "a number that there is not"


def test_of_two_beside_each_other(tmp_path: Path) -> None:
    rivals = [
        Rival("from scratch", {"AP": 0.125}, [{"step": 1, "AP": 0.0}, {"step": 2, "AP": 0.125}]),
        Rival("distilled", {"AP": 0.375}, [{"step": 1, "AP": 0.25}, {"step": 2, "AP": 0.375}], highlighted=True),
    ]
    text = written(tmp_path, numbers={}, classes=[], history=[], rivals=rivals, shown="left and right")
    assert "0.125" in text
    assert re.search(r'<tr class="ours">.*distilled.*0\.375', text)
    assert "left and right" in text
    assert "How well it finds things" not in text
    assert "Class by class" not in text
    assert text.count("<svg") == 1
    assert "AP while they learned" in text
    once = [Rival(each.name, each.numbers, each.history[:1]) for each in rivals]
    assert "AP while they learned" not in written(tmp_path, rivals=once), "a point is no line"


def test_a_box_is_where_it_belongs_in_the_enlarged_photo() -> None:
    picture = drawn(Image.new("RGB", (100, 50), GREY), [Marked((20, 10, 60, 40), 0, "")], side=400)
    assert picture.size == (300, 150)
    hue = tuple(bytes.fromhex(HUES[0][1:]))
    rows, columns = np.nonzero((np.array(picture) == hue).all(2))
    assert (columns.min(), rows.min(), columns.max(), rows.max()) == (60, 30, 180, 120)


def test_a_large_photo_is_made_small_and_one_without_a_side_stays() -> None:
    photo = Image.new("RGB", (1000, 500), GREY)
    assert drawn(photo, [], side=420).size == (420, 210)
    assert drawn(photo, []).size == photo.size
    marked = drawn(photo, [Marked((20, 10, 60, 40), 0, "cat")])
    assert np.array(photo).max() == 90, "the photo itself is left alone"
    assert np.array(marked).max() > 90


def test_names_stay_inside_the_picture() -> None:
    corners = [(0, 0, 30, 20), (280, 0, 299, 20), (270, 180, 299, 199)]
    for box in corners:
        pixels = np.array(drawn(Image.new("RGB", (300, 200), GREY), [Marked(box, 1, "umbrella 0.98")])).astype(int)
        hue = np.array(list(bytes.fromhex(HUES[1][1:])))
        rows, columns = np.nonzero(np.abs(pixels - hue).sum(2) == 0)
        assert np.ptp(columns) > 60, "the ground of the whole name"
        assert 0 <= rows.min() < rows.max() < 200


def test_a_sheet_has_each_row_under_its_title() -> None:
    red, blue = (Image.new("RGB", (40, 30), colour) for colour in ("red", "blue"))
    pixels = np.array(sheet([("there", [red, blue]), ("found", [blue, red])]))
    reds = np.nonzero((pixels == (255, 0, 0)).all(2))
    assert len(reds[0]) == 2 * 40 * 30
    assert reds[1][reds[0].argmin()] < reds[1][reds[0].argmax()]
