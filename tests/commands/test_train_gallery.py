"""The score from which on a detector's report shows boxes."""

import numpy as np
import pytest

from limbeck.commands.train_gallery import best_score, quality
from limbeck.detection.kept import Kept

CAT, DOG = 0.0, 1.0


def image(found: list[tuple[int, float, float]], truth: list[tuple[int, float]], crowds: int = 0) -> Kept:
    """Boxes by the place where they lie: (place, score, class) and (place, class)."""

    def box(place: int) -> list[float]:
        return [20.0 * place, 0.0, 20.0 * place + 10, 10.0]

    there = [[*box(place), label, 100, 0] for place, label in truth]
    there += [[*box(50 + number), CAT, 100, 1] for number in range(crowds)]
    rows = [[*box(place), score, label] for place, score, label in found]
    return Kept(np.array(rows, np.float32).reshape(-1, 6), np.array(there, np.float64).reshape(-1, 7))


def test_it_is_where_precision_and_recall_are_best_together() -> None:
    # from 0.8 on: 2 of 2 right, 2 of 3 found; from 0.05 on: all 3 found, 3 of 3 + 4 right
    wrong = [(9 + number, 0.1, CAT) for number in range(4)]
    sure = best_score(
        [image([(0, 0.9, CAT), (1, 0.8, DOG)], [(0, CAT), (1, DOG)]), image([(0, 0.05, CAT), *wrong], [(0, CAT)])]
    )
    assert (sure.score, sure.f1) == (0.8, pytest.approx(2 * 2 / (2 + 3)))
    assert "0.8 or more: on all photos measured, that score gives the best F1, 0.80." in sure.told


def test_a_detector_that_is_never_sure_is_shown_all_the_same() -> None:
    sure = best_score([image([(0, 0.02345, CAT), (5, 0.01, CAT)], [(0, CAT)])])
    assert (sure.score, sure.f1) == (0.023, 1.0)


def test_one_that_is_always_sure_is_not_shown_whole() -> None:
    crowd = [(10 + number, 0.7 + number / 1000, CAT) for number in range(30)]
    assert best_score([image([(0, 0.95, CAT), *crowd], [(0, CAT)])]).score == 0.95


def test_equal_scores_are_shown_together() -> None:
    sure = best_score([image([(0, 0.5, CAT), (1, 0.5, CAT)], [(0, CAT)])])
    assert sure.f1 == pytest.approx(2 / 3)


def test_where_nothing_is_right_there_are_as_many_boxes_as_objects() -> None:
    sure = best_score([image([(9, 0.5, CAT), (0, 0.4, DOG), (8, 0.2, CAT)], [(0, CAT), (1, CAT)])])
    assert (sure.score, sure.f1) == (0.4, 0.0)
    assert "none of them is right" in sure.told


@pytest.mark.parametrize("images", [[], [image([], [(0, CAT)])], [image([(0, 0.5, CAT)], [], crowds=1)]])
def test_without_boxes_or_objects_it_is_the_usual_one(images: list[Kept]) -> None:
    assert best_score(images).score == 0.3


def test_an_object_is_met_once() -> None:
    twice = image([(0, 0.9, CAT), (0, 0.8, CAT), (1, 0.7, CAT)], [(0, CAT), (1, CAT)])
    assert quality(twice, 0.3) == pytest.approx(2 * 2 / 5)
    assert quality(twice, 0.85) == pytest.approx(2 / 3)
    assert quality(image([], []), 0.3) == 1.0
