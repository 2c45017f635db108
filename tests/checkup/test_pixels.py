"""Sizes, shapes, modes and turns."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from limbeck.checkup.findings import NOTE, WARNING
from tests.checkup.conftest import Diagnose, Findings
from tests.checkup.sets import class_folders, coco, photo, pixels


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return class_folders(tmp_path / "set")


def put(root: Path, image: Image.Image, name: str = "x.png", **options: Any) -> None:
    image.save(root / "train" / "cat" / name, **options)


def only(found: Findings, check: str) -> bool:
    return list(found) == [check]


def test_tiny_among_larger_ones(root: Path, diagnose: Diagnose) -> None:
    photo(root / "train" / "cat" / "icon.png", 50, (8, 8))
    found = diagnose(root)
    assert only(found, "tiny-images")
    assert found["tiny-images"].places[0].what == "8x8"


def test_small_throughout_is_one_note(tmp_path: Path, diagnose: Diagnose) -> None:
    for number in range(30):
        photo(tmp_path / "set" / f"{number}.jpg", number, (32, 32))
    found = diagnose(tmp_path / "set")
    assert only(found, "small-throughout")
    assert (found["small-throughout"].severity, found["small-throughout"].count) == (NOTE, 1)


def test_huge(root: Path, diagnose: Diagnose) -> None:
    huge = pixels(50).resize((5000, 4000), Image.Resampling.NEAREST)
    put(root, huge, "x.jpg")
    assert only(diagnose(root), "huge-images")


def test_extreme_aspect(root: Path, diagnose: Diagnose) -> None:
    photo(root / "train" / "cat" / "strip.png", 50, (600, 64))
    found = diagnose(root)
    assert only(found, "extreme-aspect")
    assert found["extreme-aspect"].severity == WARNING


def test_blank(root: Path, diagnose: Diagnose) -> None:
    put(root, Image.new("RGB", (80, 64), (3, 3, 3)))
    put(root, Image.new("RGB", (80, 64), (250, 250, 250)), "y.jpg")
    put(root, Image.new("L", (80, 64), 9), "z.png")
    found = diagnose(root)
    assert set(found) == {"blank-images", "grey-images"}
    assert found["blank-images"].count == len(found["blank-images"].drop) == 3


def test_a_blank_image_with_a_shape_in_its_alpha(root: Path, diagnose: Diagnose) -> None:
    image = Image.new("RGBA", (80, 64), (3, 3, 3, 255))
    image.putalpha(pixels(50).convert("L"))
    put(root, image, "x.png")
    assert set(diagnose(root)) == {"blank-images", "see-through-images"}


@pytest.mark.parametrize(
    ("mode", "check"),
    [("L", "grey-images"), ("P", "palette-images"), ("CMYK", "cmyk-images"), ("I;16", "deep-images")],
)
def test_modes(mode: str, check: str, root: Path, diagnose: Diagnose) -> None:
    image = pixels(50).convert("L").convert("I;16") if mode == "I;16" else pixels(50).convert(mode)
    put(root, image, "x.tif")
    found = diagnose(root)
    assert only(found, check)
    assert found[check].count == 1


def test_alpha_that_hides_something_is_worse_than_one_that_does_not(root: Path, diagnose: Diagnose) -> None:
    image = pixels(50).convert("RGBA")
    put(root, image)
    assert {check: finding.severity for check, finding in diagnose(root).items()} == {"alpha-channels": NOTE}
    image.putalpha(Image.fromarray(np.tile(np.arange(80, dtype=np.uint8), (64, 1))))
    put(root, image)
    assert {check: finding.severity for check, finding in diagnose(root).items()} == {"see-through-images": WARNING}


def test_several_frames(root: Path, diagnose: Diagnose) -> None:
    frames = [pixels(seed).convert("P") for seed in (50, 51)]
    put(root, frames[0], "x.gif", save_all=True, append_images=frames[1:])
    assert set(diagnose(root)) == {"moving-images", "palette-images"}


def turned(path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    with Image.open(path) as image:
        image.load()
        image.save(path, exif=exif)


def test_a_turn_by_exif_is_a_note_without_boxes_and_a_warning_with_them(
    root: Path, tmp_path: Path, diagnose: Diagnose
) -> None:
    turned(root / "train" / "cat" / "0.jpg", 6)
    found = diagnose(root)
    assert only(found, "exif-turns")
    assert (found["exif-turns"].severity, found["exif-turns"].places[0].what) == (
        NOTE,
        "EXIF orientation 6, turned by 90°",
    )
    boxed = coco(tmp_path / "boxed")
    turned(boxed / "images" / "0.jpg", 6)
    found = diagnose(boxed)
    assert found["exif-turns"].severity == WARNING
    assert found["other-sizes"].places[0].what.endswith("80x64, the file is 64x80 (turned by EXIF)")
