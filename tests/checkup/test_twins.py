"""Copies within a split, across splits, under other labels; edited ones too."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from limbeck.checkup.findings import WARNING
from limbeck.errors import OptionError
from limbeck.scenes.dataset import draw_dataset
from tests.checkup.conftest import Diagnose
from tests.checkup.sets import class_folders, photo, voc


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return class_folders(tmp_path / "set")


def copy(root: Path, source: str, target: str) -> None:
    shutil.copy(root / source, root / target)


def test_a_copy_within_a_split(root: Path, diagnose: Diagnose) -> None:
    copy(root, "train/cat/0.jpg", "train/cat/copy.jpg")
    found = diagnose(root)
    assert list(found) == ["exact-duplicates"]
    (place,) = found["exact-duplicates"].places
    assert (place.where, place.what) == (f"{root}/train/cat/copy.jpg", f"the bytes of {root}/train/cat/0.jpg")
    assert found["exact-duplicates"].drop == [place.rows[1]]


def test_a_copy_across_splits_is_a_leak_and_the_training_side_goes(root: Path, diagnose: Diagnose) -> None:
    copy(root, "train/cat/0.jpg", "val/cat/copy.jpg")
    found = diagnose(root)
    assert list(found) == ["exact-leaks"]
    (place,) = found["exact-leaks"].places
    assert (place.where, place.what) == (f"{root}/train/cat/0.jpg", f"train; val: {root}/val/cat/copy.jpg")
    assert found["exact-leaks"].drop == [place.rows[0]]


def test_a_copy_in_a_set_named_against(root: Path, tmp_path: Path, diagnose: Diagnose) -> None:
    other = photo(tmp_path / "other" / "a.jpg", 0).parent
    found = diagnose(root, against=(other,))
    assert list(found) == ["exact-leaks"]
    assert found["exact-leaks"].places[0].what == f"train; --against: {other}/a.jpg"


def test_a_part_of_the_data_may_be_what_it_is_held_against(root: Path, diagnose: Diagnose) -> None:
    copy(root, "train/cat/0.jpg", "val/cat/copy.jpg")
    assert list(diagnose(root, against=(root / "val",))) == ["exact-leaks"]


def test_a_set_against_itself_is_told(root: Path, diagnose: Diagnose) -> None:
    with pytest.raises(OptionError, match=r"every image of .* is also in --against"):
        diagnose(root, against=(root,))


def test_the_same_photo_under_two_labels(root: Path, diagnose: Diagnose) -> None:
    copy(root, "train/cat/0.jpg", "train/dog/copy.jpg")
    found = diagnose(root)
    assert set(found) == {"exact-duplicates", "conflicting-labels"}
    assert found["conflicting-labels"].places[0].what == f"dog; {root}/train/cat/0.jpg is cat"


def test_a_file_in_two_lists(tmp_path: Path, diagnose: Diagnose) -> None:
    root = voc(tmp_path / "set")
    (root / "ImageSets" / "Main" / "val.txt").write_text("3\n")
    found = diagnose(root)
    assert list(found) == ["listed-in-two-splits"]
    assert found["listed-in-two-splits"].places[0].what == "in train and val"


def test_edited_copies_within_and_across_splits(tmp_path: Path, diagnose: Diagnose) -> None:
    root = tmp_path / "set"
    draw_dataset(root / "train", 6, seed=0, size=160, labelled=False, workers=0, shown=False)
    draw_dataset(root / "val", 2, seed=1, size=160, labelled=False, workers=0, shown=False)
    first, second, *_ = sorted((root / "train").rglob("*.jpg"))
    with Image.open(first) as image:
        image.resize((120, 120)).save(root / "val" / "small.jpg", quality=60)
    with Image.open(second) as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(root / "train" / "mirrored.jpg")
    found = diagnose(root, near=True)
    assert set(found) == {"near-duplicate-leaks", "near-duplicates"}
    (leak,), (twin,) = found["near-duplicate-leaks"].places, found["near-duplicates"].places
    assert (leak.where, leak.what) == (str(first), f"train; val: {root}/val/small.jpg")
    assert {twin.where, twin.what.removeprefix("like ")} == {str(second), f"{root}/train/mirrored.jpg"}
    assert found["near-duplicate-leaks"].drop == [leak.rows[0]]
    assert found["near-duplicate-leaks"].severity == WARNING


def cut(picture: Image.Image, side: int, folders: tuple[str, str], root: Path) -> None:
    for number, folder in enumerate(folders):
        (root / folder).mkdir(parents=True, exist_ok=True)
        picture.crop((side * number, 0, side * (number + 1), side)).save(root / folder / f"{number}.png")


@pytest.mark.parametrize(
    ("folders", "check"), [(("train", "val"), "neighbouring-crop-leaks"), (("train", "train"), "neighbouring-crops")]
)
def test_crops_of_one_picture(folders: tuple[str, str], check: str, tmp_path: Path, diagnose: Diagnose) -> None:
    root = tmp_path / "set"
    noise = np.random.default_rng(0).integers(0, 255, (20, 40), np.uint8)
    cut(Image.fromarray(noise).resize((320, 160), Image.Resampling.BICUBIC).convert("RGB"), 160, folders, root)
    for number in range(6):
        other = Image.fromarray(np.random.default_rng(1 + number).integers(0, 255, (20, 20), np.uint8))
        other.resize((160, 160), Image.Resampling.BICUBIC).convert("RGB").save(root / "train" / f"other{number}.png")
    found = diagnose(root, near=True)
    assert list(found) == [check]
    (place,) = found[check].places
    assert Path(place.where).name == "0.png"
    assert place.what.endswith(f"its right edge goes on in {root}/{folders[1]}/1.png")
