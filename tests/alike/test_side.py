"""Sides, sets and all pairs, on drawn scenes and their edited copies."""

from pathlib import Path

import pytest
from PIL import Image, ImageOps

from limbeck.alike.look import look
from limbeck.alike.side import Side
from limbeck.alike.thorough import thorough
from limbeck.alike.within import alike_within
from limbeck.images.decode import decode
from limbeck.images.imageset import ImageSet
from limbeck.scenes.scene import draw_scene

COUNT = 6


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("alike")
    for name in ("originals", "copies", "all"):
        (root / name).mkdir()
    for number in range(COUNT):
        photo = Image.fromarray(draw_scene(number, size=200).image)
        edits = [photo.crop((20, 10, 190, 180)), ImageOps.mirror(photo), photo.rotate(90), photo.resize((100, 90))]
        copy = edits[number % len(edits)]
        photo.save(root / "originals" / f"{number}.png")
        copy.save(root / "copies" / f"{number}.jpg", quality=60)
        photo.save(root / "all" / f"a{number}.png")
        copy.save(root / "all" / f"b{number}.jpg", quality=60)
    return root


def opened(folder: Path) -> ImageSet:
    return ImageSet.open(folder, workers=0, shown=False)


def test_copies_are_found_by_the_fast_way_and_by_the_thorough_one(root: Path, tmp_path: Path) -> None:
    originals, copies = opened(root / "originals"), opened(root / "copies")
    side = Side.build(originals, tmp_path / "side", signature="local", workers=0, shown=False)
    looks = [look(decode(copies.read(row))) for row in range(COUNT)]
    slow = thorough(copies, originals, tmp_path / "all", workers=0, shown=False)
    for matches in side.match(looks), slow:
        assert [match and match.other for match in matches] == list(range(COUNT))


def test_pairs_within_a_set(root: Path, tmp_path: Path) -> None:
    pairs = alike_within(opened(root / "all"), tmp_path, workers=0, shown=False)
    assert [(pair.a, pair.b) for pair in pairs] == [(number, COUNT + number) for number in range(COUNT)]
