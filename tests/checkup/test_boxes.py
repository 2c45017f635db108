"""Boxes and outlines."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from limbeck.checkup.findings import ERROR, WARNING
from tests.checkup.conftest import Diagnose
from tests.checkup.sets import HEIGHT, WIDTH, box_of, coco, voc, voc_xml, yolo, yolo_line
from tests.checkup.test_labels import changed


def annotation(**fields: Any) -> Callable[[dict[str, Any]], object]:
    return lambda content: content["annotations"][3].update(fields)


@pytest.mark.parametrize(
    ("check", "box"),
    [
        ("boxes-without-extent", [10, 10, 0, 5]),
        ("boxes-without-extent", [10, 10, 5, -5]),
        ("boxes-outside", [100, 10, 20, 20]),
        ("boxes-outside", [-30, 10, 20, 20]),
        ("boxes-outside", [10, -30, 20, 20]),
        ("boxes-outside", [10, 100, 20, 20]),
        ("boxes-over-the-edge", [WIDTH - 20, 10, 22, 20]),
        ("boxes-over-the-edge", [10, -2, 20, 20]),
        ("boxes-over-the-edge", [70, 10, 20, 20]),
        ("unreadable-boxes", [10, 10, 20]),
        ("unreadable-boxes", [10, 10, "wide", 20]),
        ("unreadable-boxes", [10, 10, float("nan"), 20]),
    ],
)
def test_a_box_of_a_json(check: str, box: list[Any], tmp_path: Path, diagnose: Diagnose) -> None:
    found = diagnose(coco(tmp_path / "set", changed(annotation(bbox=box))))
    assert list(found) == [check]
    assert found[check].count == 1
    assert "annotation 3" in found[check].places[0].what
    assert found[check].severity == (WARNING if check == "boxes-over-the-edge" else ERROR)


def test_rounding_beyond_the_edge_is_no_finding(tmp_path: Path, diagnose: Diagnose) -> None:
    assert diagnose(coco(tmp_path / "set", changed(annotation(bbox=[-0.4, 0, WIDTH + 1, HEIGHT])))) == {}


@pytest.mark.parametrize(
    ("check", "corners"),
    [
        ("boxes-without-extent", (20, 20, 20, 30)),
        ("boxes-without-extent", (30, 20, 20, 30)),
        ("boxes-outside", (90, 20, 95, 30)),
        ("unreadable-boxes", (20, 20, 30)),
    ],
)
def test_a_box_of_an_xml(check: str, corners: tuple[int, ...], tmp_path: Path, diagnose: Diagnose) -> None:
    root = voc(tmp_path / "set")
    (root / "Annotations" / "7.xml").write_text(voc_xml(7, "dog", corners))
    found = diagnose(root)
    assert list(found) == [check]
    assert found[check].places[0].where == f"{root}/Annotations/7.xml"


def test_corners_of_an_xml_that_fill_the_image(tmp_path: Path, diagnose: Diagnose) -> None:
    root = voc(tmp_path / "set")
    (root / "Annotations" / "7.xml").write_text(voc_xml(7, "dog", (1, 1, WIDTH, HEIGHT)))
    assert diagnose(root) == {}


@pytest.mark.parametrize(
    ("check", "line"),
    [
        ("boxes-without-extent", "1 0.5 0.5 0 0.2\n"),
        ("boxes-outside", "1 1.8 0.5 0.2 0.2\n"),
        ("boxes-over-the-edge", "1 0.95 0.5 0.2 0.2\n"),
        ("unreadable-boxes", "1 0.5 0.5 0.2\n"),
        ("unreadable-boxes", "1 0.5 0.5 wide 0.2\n"),
    ],
)
def test_a_box_of_a_txt(check: str, line: str, tmp_path: Path, diagnose: Diagnose) -> None:
    root = yolo(tmp_path / "set")
    (root / "labels" / "train" / "7.txt").write_text(yolo_line(7, box_of(7), 1) + line)
    found = diagnose(root)
    assert list(found) == [check]
    assert "line 2" in found[check].places[0].what


def every(change: Callable[[list[float]], list[float]]) -> Callable[[dict[str, Any]], object]:
    return lambda content: [each.update(bbox=change(each["bbox"])) for each in content["annotations"]]


@pytest.mark.parametrize(
    ("words", "change"),
    [
        ("shares of the image, where pixels", lambda box: [v / side for v, side in zip(box, (WIDTH, HEIGHT) * 2)]),
        ("left, top, right, bottom, where", lambda box: [box[0], box[1], box[0] + box[2], box[1] + box[3]]),
    ],
)
def test_boxes_in_other_units_are_one_finding(
    words: str, change: Callable[[list[float]], list[float]], tmp_path: Path, diagnose: Diagnose
) -> None:
    found = diagnose(coco(tmp_path / "set", changed(every(change))))
    assert list(found) == ["box-units"]
    assert words in found["box-units"].title


def test_pixels_in_a_txt_are_one_finding(tmp_path: Path, diagnose: Diagnose) -> None:
    root = yolo(tmp_path / "set")
    for number in range(20):
        left, top, right, bottom = box_of(number)
        line = f"{number % 2} {(left + right) / 2} {(top + bottom) / 2} {right - left} {bottom - top}\n"
        (root / "labels" / "train" / f"{number}.txt").write_text(line)
    found = diagnose(root)
    assert list(found) == ["box-units"]
    assert "divide by width and height" in found["box-units"].cure


def test_a_box_drawn_twice_and_a_box_of_two_classes(tmp_path: Path, diagnose: Diagnose) -> None:
    root = yolo(tmp_path / "set")
    line = yolo_line(7, box_of(7), 1)
    (root / "labels" / "train" / "7.txt").write_text(line * 2)
    found = diagnose(root)
    assert list(found) == ["double-boxes"]
    (root / "labels" / "train" / "7.txt").write_text(line + yolo_line(7, box_of(7), 0))
    found = diagnose(root)
    assert list(found) == ["boxes-of-two-classes"]
    assert "is also dog" in found["boxes-of-two-classes"].places[0].what


RUNS = [WIDTH * HEIGHT - 10, 10]


def test_sound_outlines_are_silent(tmp_path: Path, diagnose: Diagnose) -> None:
    polygon = [[5, 5, 20, 5, 20, 20]]
    assert diagnose(coco(tmp_path / "a", changed(annotation(segmentation=polygon)))) == {}
    runs = {"size": [HEIGHT, WIDTH], "counts": RUNS}
    assert diagnose(coco(tmp_path / "b", changed(annotation(segmentation=runs)))) == {}


@pytest.mark.parametrize(
    ("outline", "words"),
    [
        ({"size": [HEIGHT, WIDTH // 2], "counts": RUNS}, "the image [64, 80]"),
        ({"size": [HEIGHT, WIDTH], "counts": [5, 5]}, "run lengths over 10 pixels"),
        ({"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH]}, "its mask is empty"),
        ({"size": [HEIGHT, WIDTH]}, "cannot be read"),
        ([[5, 5, 20, 20]], "fewer than three corners"),
    ],
)
def test_outlines_that_are_none(outline: Any, words: str, tmp_path: Path, diagnose: Diagnose) -> None:
    found = diagnose(coco(tmp_path / "set", changed(annotation(segmentation=outline))))
    assert list(found) == ["broken-outlines"]
    assert words in found["broken-outlines"].places[0].what


def test_masks_that_overlap(tmp_path: Path, diagnose: Diagnose) -> None:
    runs = {"size": [HEIGHT, WIDTH], "counts": RUNS}

    def twice(content: dict[str, Any]) -> None:
        content["annotations"][3]["segmentation"] = runs
        box = [1, 1, 20, 20]
        content["annotations"].append({"id": 99, "image_id": 3, "category_id": 1, "bbox": box, "segmentation": runs})

    found = diagnose(coco(tmp_path / "set", changed(twice)))
    assert list(found) == ["overlapping-masks"]
    assert found["overlapping-masks"].places[0].what == "10 pixels in two masks"
