"""The oddities of real data sets, found without being told."""

import tarfile
from pathlib import Path

import pytest

from limbeck.checkup.findings import ERROR, NOTE, WARNING
from limbeck.images.archives import open_archive
from limbeck.images.cache import cache_root
from limbeck.images.places import Found, read_found
from tests.checkup.conftest import Diagnose, Findings

pytestmark = pytest.mark.shared


def unpacked(archive: Path, wanted: list[str], folder: Path) -> Path:
    """Some members of an archive as files."""
    container, stamp, members = open_archive(str(archive), cache_root(), shown=False)
    for path, offset, length, size, method, headed, _ in members:
        if path in wanted:
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            found = Found(path, container, offset, length, size, method, headed, stamp)
            target.write_bytes(read_found(found)[0])
    return folder


def names(found: Findings, check: str) -> list[str]:
    return sorted(Path(place.where).name for place in found[check].places)


def test_blood_cells(shared: Path, diagnose: Diagnose) -> None:
    found = diagnose(shared / "data" / "bccd.zip")
    assert {check: finding.severity for check, finding in found.items()} == {
        "boxes-without-extent": ERROR,
        "formats-disagree": WARNING,
    }
    assert names(found, "boxes-without-extent") == ["BloodImage_00338.xml", "BloodImage_00343.xml"]
    whats = [place.what for place in found["boxes-without-extent"].places]
    assert whats[0].startswith("RBC corners 504,337,504,337")
    assert whats[1].startswith("RBC corners 181,329,181,329")
    assert found["formats-disagree"].title == "COCO counts 4,886 objects, Pascal VOC 4,888 on the same images"


def test_nuclei(shared: Path, diagnose: Diagnose) -> None:
    found = diagnose(shared / "data" / "nuclei.zip")
    assert set(found) == {"alpha-channels", "overlapping-masks"}
    assert (found["alpha-channels"].severity, found["alpha-channels"].count) == (NOTE, 129)
    assert [name[:8] for name in names(found, "overlapping-masks")] == ["175dbb36", "547ef286", "72e8c49d"]


def test_nuclei_that_are_crops_of_one_picture(shared: Path, tmp_path: Path, diagnose: Diagnose) -> None:
    archive = shared / "data" / "nuclei.zip"
    heads = ("3b3f516e", "44ab6a09", "37ed50ee", "06350c7c", "0280fa8f", "0532c64c")
    members = open_archive(str(archive), cache_root(), shown=False)[2]
    wanted = [member.path for member in members if member.path.rpartition("/")[2].startswith(heads)]
    found = diagnose(unpacked(archive, wanted, tmp_path / "nuclei"), near=True)
    assert found["neighbouring-crop-leaks"].severity == WARNING
    assert [name[:8] for name in names(found, "neighbouring-crop-leaks")] == ["3b3f516e", "44ab6a09"]


def test_photos_of_a_thousand_classes(shared: Path, diagnose: Diagnose) -> None:
    found = diagnose(shared / "data" / "imagenet_samples.zip")
    assert set(found) == {"few-examples", "other-sizes", "grey-images", "exif-turns"}
    assert found["few-examples"].count == 180
    assert found["grey-images"].count == 6
    assert "n03992509_potter's_wheel.JPEG" in names(found, "grey-images")  # an apostrophe is harmless
    assert names(found, "exif-turns") == ["n02951585_can_opener.JPEG"]
    assert found["exif-turns"].places[0].what == "EXIF orientation 6, turned by 90°"


def test_street_scenes(shared: Path, diagnose: Diagnose, tmp_path: Path) -> None:
    archive = shared / "data" / "camvid.zip"
    frames = {"train": ["008490", "008520"], "test": ["008550", "008580"]}
    wanted = [f"{split}/images/0001TP_{frame}.jpg" for split, several in frames.items() for frame in several]
    wanted += [name.replace("images", "labels").replace("jpg", "png") for name in wanted] + ["labels.txt"]
    found = diagnose(unpacked(archive, wanted, tmp_path / "camvid"), near=True)
    leaks = {Path(place.where).name: place.what for place in found["same-scene-leaks"].places}
    assert leaks["0001TP_008520.jpg"].endswith("test/images/0001TP_008550.jpg")
    assert found["same-scene-leaks"].severity == WARNING
    assert "uneven-classes" in found


def test_street_scenes_whole(shared: Path, diagnose: Diagnose) -> None:
    found = diagnose(shared / "data" / "camvid.zip")
    assert {check: finding.severity for check, finding in found.items()} == {"uneven-classes": NOTE}
    assert "Bicyclist 0.54 %" in found["uneven-classes"].title


def test_tiny_photos_with_copies_across_splits(shared: Path, diagnose: Diagnose, tmp_path: Path) -> None:
    for split, several in {"train": (2002, 2312, 0, 1, 2, 3), "test": (6, 128, 10, 11, 12)}.items():
        with tarfile.open(shared / "data" / f"cifar10_{split}.tar.gz") as archive:
            for number in several:
                archive.extract(f"{split}/automobile/{number:04d}.jpg", tmp_path, filter="data")
    found = diagnose(tmp_path / "train", against=(tmp_path / "test",), near=True)
    assert {check: finding.severity for check, finding in found.items()} == {
        "near-duplicate-leaks": WARNING,
        "small-throughout": NOTE,
    }
    assert names(found, "near-duplicate-leaks") == ["2002.jpg", "2312.jpg"]
    assert found["small-throughout"].count == 1
