"""ImageSet: what the rest of limbeck asks of it."""

import csv
import pickle
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from photos import folder_of, jpeg

from limbeck.errors import ImagesError
from limbeck.images.imageset import ImageSet


@pytest.fixture
def images(tmp_path: Path) -> ImageSet:
    folder = folder_of(tmp_path / "photos" / "cats", 6)
    (folder / "bad, really.jpg").touch()
    return ImageSet.open(tmp_path / "photos", shown=False)


def test_the_parts_of_an_image(images: ImageSet, tmp_path: Path) -> None:
    assert len(images) == 6
    assert images.path(2) == str(tmp_path / "photos" / "cats" / "002.jpg")
    assert (images.folder(2), images.size(2), images.read(2)) == ("cats", (48, 64), jpeg(48, 64, seed=2))
    assert images.keys.shape == (6, 16)
    assert images.keys.dtype == np.uint8
    assert not images.keys.flags.owndata
    assert not images.keys.flags.writeable
    for index in (6, -1):
        with pytest.raises(IndexError):
            images.read(index)


def test_the_paths_of_many(images: ImageSet, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        archive.writestr("dogs/1.jpg", jpeg(seed=9))
    both = ImageSet.open([tmp_path / "photos", tmp_path / "more.zip"], shown=False)
    for some in both, both.take([6, 2, 2]):
        assert some.paths(np.arange(len(some))).to_pylist() == [some.path(index) for index in range(len(some))]
    assert both.paths([6]).to_pylist() == [str(tmp_path / "more.zip/dogs/1.jpg")]


def test_a_part_of_a_set(images: ImageSet) -> None:
    part = images.take([5, 1, 3]).take(np.array([2, 0]))
    assert [Path(part.path(index)).name for index in range(len(part))] == ["003.jpg", "005.jpg"]
    assert (part.keys == images.keys[[3, 5]]).all()
    assert part.read(1) == images.read(5)
    assert len(images.take([])) == 0
    for wrong in (6, -1):
        with pytest.raises(IndexError):
            images.take([wrong])


def test_the_fingerprint_follows_content_and_order(images: ImageSet, tmp_path: Path) -> None:
    (tmp_path / "photos").rename(tmp_path / "moved")
    moved = ImageSet.open(tmp_path / "moved", shown=False)
    assert moved.fingerprint() == images.fingerprint() == images.take(range(6)).fingerprint()
    assert images.take([1, 0]).fingerprint() != images.take([0, 1]).fingerprint()


def test_pickled_small_and_equal(images: ImageSet) -> None:
    images.read(0)
    assert images.keys.any()
    data = pickle.dumps(images.take(np.arange(6)))
    assert len(data) < 1000
    assert pickle.loads(data).read(4) == images.read(4)


def test_many_threads_may_read(images: ImageSet) -> None:
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(images.read, list(range(6)) * 50))
    assert read == [jpeg(48, 64, seed=number) for number in range(6)] * 50


def test_a_vanished_file_is_an_os_error(images: ImageSet) -> None:
    Path(images.path(0)).unlink()
    with pytest.raises(FileNotFoundError):
        images.read(0)
    assert images.size(0) == (48, 64)


def test_a_file_that_was_edited_in_place_is_an_os_error(images: ImageSet) -> None:
    Path(images.path(0)).write_bytes(jpeg(48, 64, seed=99))
    with pytest.raises(OSError, match="changed since it was listed"):
        images.read(0)
    assert images.read(1) == jpeg(48, 64, seed=1)


def test_skipped_as_a_table(images: ImageSet, tmp_path: Path) -> None:
    images.write_skipped(tmp_path / "skipped.csv")
    with open(tmp_path / "skipped.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    bad = str(tmp_path / "photos" / "cats" / "bad, really.jpg")
    assert rows == [["path", "reason"], [bad, "empty file"]]
    assert [(skipped.path, skipped.reason) for skipped in images.skipped] == [(bad, "empty file")]


def test_a_saved_set_opens_again_by_file_or_run_folder(images: ImageSet, tmp_path: Path) -> None:
    run = tmp_path / "run"
    images.take([4, 2]).save(run / "manifest.arrow")
    for source in run, run / "manifest.arrow":
        again = ImageSet.open(source, shown=False)
        assert [Path(again.path(index)).name for index in range(len(again))] == ["004.jpg", "002.jpg"]
        assert [skipped.reason for skipped in again.skipped] == ["empty file"]


def test_a_manifest_beside_other_sources(images: ImageSet, tmp_path: Path) -> None:
    images.take([4, 2]).save(tmp_path / "run" / "manifest.arrow")
    Path(images.path(4)).unlink()
    both = ImageSet.open([tmp_path / "run", tmp_path / "photos"], shown=False)
    assert [Path(both.path(index)).name for index in range(len(both))] == [f"00{n}.jpg" for n in (2, 0, 1, 3, 5)]
    assert len(both.skipped) == 2


def test_a_file_that_is_no_manifest(tmp_path: Path) -> None:
    (tmp_path / "photos.arrow").write_bytes(b"no table")
    for sources in ([tmp_path / "photos.arrow"], [tmp_path / "photos.arrow", tmp_path]):
        with pytest.raises(ImagesError, match="not a manifest"):
            ImageSet.open(sources, shown=False)


@pytest.mark.shared
def test_real_archives(shared: Path) -> None:
    images = ImageSet.open(shared / "data" / "imagenet_samples.zip", shown=False)
    assert len(images) == 180
    assert images.skipped == []
    assert images.folder(0) == "images"
