"""Which photos pass which gate."""

from pathlib import Path

import numpy as np
from PIL import Image

from limbeck.alike.within import Pair
from limbeck.images.imageset import ImageSet
from limbeck.ssld.gates import EXCLUDED, SCENE, UNREADABLE, gates, largest_first
from limbeck.ssld.scoring import Scores


def images_of(root: Path, sizes: list[tuple[int, int]]) -> ImageSet:
    for number, (height, width) in enumerate(sizes):
        Image.new("RGB", (width, height), (number, 0, 0)).save(root / f"{number}.png")
    return ImageSet.open(root, workers=0, shown=False)


def test_the_largest_stays_and_what_is_paired_with_it_goes(tmp_path: Path) -> None:
    images = images_of(tmp_path, [(10, 10), (20, 20), (30, 10), (5, 5), (5, 5), (9, 9)])

    def near(a: int, b: int) -> Pair:
        return Pair(a, b, "near-duplicate", "sift")

    # 1 is the largest of 0, 1, 2; 3 and 4 are equal, so the first stays; 5 is paired with nothing
    assert largest_first([near(0, 1), near(1, 2), near(3, 4)], images) == {0: 1, 2: 1, 4: 3}
    # 2 - 0 - 3: 2 is larger than 0, which goes, and 3 is paired with 0 only, so it stays
    assert largest_first([near(0, 2), near(0, 3)], images) == {0: 2}
    assert largest_first([], images) == {}


def test_an_order_of_pairs_decides_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = images_of(tmp_path, [(int(side), 7) for side in rng.integers(3, 9, 12)])
    pairs = [Pair(a, b, "near-duplicate", "sift") for a in range(12) for b in range(a + 1, 12) if rng.random() < 0.2]
    first = largest_first(pairs, images)
    assert first == largest_first(pairs[::-1], images)
    stays = set(range(12)) - set(first)
    assert set(first.values()) <= stays
    assert not [pair for pair in pairs if pair.a in stays and pair.b in stays]


def test_unreadable_before_excluded_and_scenes_only_when_asked() -> None:
    scores = Scores.unmatched(np.array([-1, 0, 0, 0], np.int32), np.array([-1, 5, 5, 5], np.int32))
    scores.level[:] = [1, 1, 2, 0]
    assert gates(scores).tolist() == [UNREADABLE, EXCLUDED, 0, 0]
    assert gates(scores, drop_scenes=True).tolist() == [UNREADABLE, EXCLUDED, SCENE, 0]
