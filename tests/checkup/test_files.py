"""Files that cannot be read, and names that say something else than the bytes."""

from pathlib import Path

import pytest

from limbeck.checkup.findings import ERROR, NOTE
from limbeck.images.imageset import ImageSet
from tests.checkup.conftest import Diagnose
from tests.checkup.sets import class_folders, photo


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return class_folders(tmp_path / "set")


def broken(root: Path, name: str, data: bytes) -> None:
    (root / "train" / "cat" / name).write_bytes(data)


def test_every_way_to_be_unreadable_by_its_name(root: Path, diagnose: Diagnose) -> None:
    whole = (root / "train" / "cat" / "0.jpg").read_bytes()
    broken(root, "empty.jpg", b"")
    broken(root, "cut.jpg", whole[: len(whole) // 2])
    broken(root, "page.jpg", b"<html>not found</html>")
    (root / "train" / "cat" / "nowhere.jpg").symlink_to(root / "gone.jpg")
    found = diagnose(root)
    expected = {
        "empty-files": "empty.jpg",
        "truncated-files": "cut.jpg",
        "not-images": "page.jpg",
        "unreachable-files": "nowhere.jpg",
    }
    assert set(found) == set(expected)
    for check, name in expected.items():
        assert found[check].severity == ERROR
        assert [place.where for place in found[check].places] == [f"{root}/train/cat/{name}"]
        assert found[check].of == 26


def test_a_png_cut_short(root: Path, diagnose: Diagnose) -> None:
    path = photo(root / "train" / "dog" / "x.png", 50)
    path.write_bytes(path.read_bytes()[:2000])
    assert set(diagnose(root)) == {"truncated-files"}


def test_jpeg_bytes_under_the_name_of_a_png(root: Path, diagnose: Diagnose) -> None:
    photo(root / "train" / "cat" / "z.png", 50, format="JPEG")
    finding = diagnose(root)["wrong-extensions"]
    assert (finding.count, finding.places[0].what) == (1, "JPEG bytes")
    assert finding.places[0].where.endswith("cat/z.png")


def test_images_whose_names_no_loader_looks_for(root: Path, diagnose: Diagnose) -> None:
    photo(root / "train" / "cat" / "IMG_1", 50, format="JPEG")
    (root / "train" / "cat" / "IMG_2.HEIC").write_bytes(b"....ftypheic")
    (root / "README").write_text("no image")
    finding = diagnose(root)["unseen-images"]
    assert sorted(Path(place.where).name for place in finding.places) == ["IMG_1", "IMG_2.HEIC"]


def test_what_a_manifest_lists_and_is_gone(root: Path, tmp_path: Path, diagnose: Diagnose) -> None:
    manifest = tmp_path / "kept.arrow"
    ImageSet.open(root, workers=0, shown=False).save(manifest)
    assert diagnose(manifest) == {}
    (root / "train" / "cat" / "0.jpg").unlink()
    (root / "train" / "dog" / "1.jpg").write_bytes(b"")
    found = diagnose(manifest)
    assert set(found) == {"unreachable-files", "empty-files"}
    assert found["unreachable-files"].places[0] == (f"{root}/train/cat/0.jpg", "no such file or directory", (), ())


def test_lists_and_patterns_are_examined_too(root: Path, tmp_path: Path, diagnose: Diagnose) -> None:
    (root / "train" / "cat" / "0.jpg").write_bytes(b"")
    (tmp_path / "list.txt").write_text(f"{root}/train/cat/0.jpg\n{root}/train/cat/2.jpg\n")
    assert list(diagnose(tmp_path / "list.txt")) == ["empty-files"]
    found = diagnose(tmp_path / "set" / "train" / "*" / "*.jpg", against=(tmp_path / "list.txt",))
    assert list(found) == ["empty-files"]


def test_archives_in_a_folder_are_not_looked_into(root: Path, diagnose: Diagnose) -> None:
    (root / "more.tar.gz").write_bytes(b"")
    found = diagnose(root)
    assert list(found) == ["unopened-archives"]
    assert found["unopened-archives"].severity == NOTE
