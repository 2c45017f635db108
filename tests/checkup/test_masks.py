"""Masks and their photos."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from limbeck.checkup.findings import ERROR
from tests.checkup.conftest import Diagnose, diagnosis_of
from tests.checkup.sets import HEIGHT, WIDTH, mask, masks, voc


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return masks(tmp_path / "set")


@pytest.mark.parametrize("size", [(WIDTH, HEIGHT - 1), (HEIGHT, WIDTH)])
def test_a_mask_of_another_size(size: tuple[int, int], root: Path, diagnose: Diagnose) -> None:
    mask(root / "labels" / "7.png", size=size)
    found = diagnose(root)
    assert list(found) == ["mask-sizes"]
    assert found["mask-sizes"].severity == ERROR
    assert ("as if turned" in found["mask-sizes"].places[0].what) == (size == (HEIGHT, WIDTH))


def test_values_beyond_the_list(root: Path, diagnose: Diagnose) -> None:
    mask(root / "labels" / "7.png", (0, 1, 2))
    found = diagnose(root)
    assert list(found) == ["unknown-mask-values"]
    assert found["unknown-mask-values"].places[0].what == "pixels of value 2"


def test_void_is_no_class(root: Path, diagnose: Diagnose) -> None:
    mask(root / "labels" / "7.png", (0, 1, 255))
    assert diagnose(root) == {}


def test_colours_beyond_the_list(root: Path, diagnose: Diagnose) -> None:
    (root / "labels.txt").write_text("0 sky 0 0 200\n1 road 90 90 0\n")
    for number in range(20):
        colours = np.array([(0, 0, 200), (90, 90, 0), (1, 2, 3) if number == 7 else (90, 90, 0)], np.uint8)
        row = colours[np.arange(WIDTH) * 3 // WIDTH]
        Image.fromarray(np.tile(row, (HEIGHT, 1, 1))).save(root / "labels" / f"{number}.png")
    found = diagnose(root)
    assert list(found) == ["unknown-mask-values"]
    assert found["unknown-mask-values"].places[0].what == "pixels of colour 1,2,3"


def test_pure_blue_is_a_colour_and_no_void(root: Path, diagnose: Diagnose) -> None:
    (root / "labels.txt").write_text("0 sky 0 0 200\n1 road 90 90 0\n")
    Image.new("RGB", (WIDTH, HEIGHT), (0, 0, 255)).save(root / "labels" / "7.png")
    assert diagnose(root)["unknown-mask-values"].places[0].what == "pixels of colour 0,0,255"


def test_a_palette_is_read_by_its_numbers(root: Path, diagnose: Diagnose) -> None:
    for number in range(20):
        with Image.open(root / "labels" / f"{number}.png") as image:
            coloured = Image.fromarray(np.asarray(image)).convert("P")
        coloured.putpalette([200, 0, 0, 0, 200, 0])
        coloured.save(root / "labels" / f"{number}.png")
    assert diagnose(root) == {}


def test_black_and_white(root: Path, diagnose: Diagnose) -> None:
    (root / "labels.txt").unlink()
    for number in range(20):
        mask(root / "labels" / f"{number}.png", (0, 255))
    assert list(diagnose(root)) == ["black-and-white-masks"]


def test_jpeg_masks(root: Path, diagnose: Diagnose) -> None:
    (root / "labels.txt").unlink()
    for number in range(20):
        path = root / "labels" / f"{number}.png"
        with Image.open(path) as image:
            image.save(path.with_suffix(".jpg"))
        path.unlink()
    assert diagnose(root)["lossy-masks"].count == 20


def test_a_single_value(root: Path, diagnose: Diagnose) -> None:
    mask(root / "labels" / "7.png", (1,))
    found = diagnose(root)
    assert list(found) == ["one-valued-masks"]
    assert found["one-valued-masks"].places[0].what == "all value 1"


def test_classes_with_few_pixels_or_none(root: Path, diagnose: Diagnose) -> None:
    (root / "labels.txt").write_text("0 sky\n1 road\n2 car\n3 void\n4 cow\n")
    values = (0,) * 39 + (2,)
    mask(root / "labels" / "7.png", values + (1,) * 40)
    found = diagnose(root)
    assert set(found) == {"unused-classes", "uneven-classes"}
    assert found["unused-classes"].title == "1 class is on no mask: cow"
    assert "car 0.062 %" in found["uneven-classes"].title


def test_photos_with_boxes_need_no_masks_and_masks_of_two_kinds_are_no_photos(
    tmp_path: Path, diagnose: Diagnose
) -> None:
    root = voc(tmp_path / "set")
    for kind in "SegmentationClass", "SegmentationObject":
        for number in range(5):
            mask(root / kind / f"{number}.png")
    assert diagnose(root) == {}
    assert len(diagnosis_of(root).case.photos) == 20
