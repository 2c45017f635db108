"""A gallery is the same set in the same parts, however its photos were listed."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from limbeck.images.imageset import ImageSet
from limbeck.ssld import gallery as galleries
from limbeck.ssld.gallery import Gallery, halves
from tests.commands.tiny import draw


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = draw(tmp_path_factory.mktemp("gallery"), 20)
    for name in ("z_copy", "a_copy"):
        shutil.copy(root / "disc_3.jpg", root / f"{name}.jpg")
    shutil.copy(root / "rows_3.jpg", root / "rows_3_copy.jpg")
    return root


def opened(*sources: Path) -> Gallery:
    return Gallery.of(ImageSet.open(sources, workers=0, shown=False))


def paths(gallery: Gallery, rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> list[str]:
    return [Path(gallery.images.path(row)).name for row in rows.tolist()]


def test_one_row_for_each_key_in_key_order(photos: Path) -> None:
    gallery = opened(photos)
    keys = [key.tobytes() for key in gallery.images.keys[gallery.rows]]
    assert keys == sorted({key.tobytes() for key in gallery.images.keys})
    assert len(gallery) == 80


def test_of_copies_the_first_path_stays_whatever_the_order(photos: Path) -> None:
    files = sorted(photos.iterdir())
    for order in (files, files[::-1]):
        gallery = opened(*order)
        assert sorted(paths(gallery, gallery.copies)) == ["disc_3.jpg", "rows_3_copy.jpg", "z_copy.jpg"]
        stayed = paths(gallery, gallery.rows[gallery.copied])
        assert dict(zip(paths(gallery, gallery.copies), stayed)) == {
            "disc_3.jpg": "a_copy.jpg",
            "z_copy.jpg": "a_copy.jpg",
            "rows_3_copy.jpg": "rows_3.jpg",
        }


def test_parts_are_cut_by_the_first_bits_of_the_keys(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(galleries, "_LEAST", 10)
    gallery = opened(photos)
    high, _ = halves(gallery.images.keys[gallery.rows])
    assert [row for start, stop in gallery.parts for row in range(start, stop)] == list(range(80))
    assert len(gallery.parts) == 8
    bits = [{int(number) >> 61 for number in high[start:stop]} for start, stop in gallery.parts]
    assert bits == [{number} for number in range(8)]


def test_one_part_for_few(photos: Path) -> None:
    assert opened(photos / "disc_1.jpg").parts == [(0, 1)]
