"""Which classes are taken for which: cases by hand, and totals that must hold for any answers."""

import pickle

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from limbeck.detection.confusion import Confusion
from limbeck.records import Detections, Target
from tests.detection.coco_sets import coco_set, records

HERE, THERE, ELSEWHERE = [0.0, 0.0, 10.0, 10.0], [50.0, 0.0, 60.0, 10.0], [80.0, 0.0, 90.0, 10.0]
CAT, DOG, COW = range(3)
NAMES = ("cat", "dog", "cow")


def counted(
    found: list[tuple[list[float], int, float]], true: list[tuple[list[float], int, bool]]
) -> NDArray[np.int64]:
    confusion = Confusion(NAMES, overlap=0.5, score=0.3)
    answers = Detections(
        torch.tensor([box for box, _, _ in found]).reshape(-1, 4),
        torch.tensor([score for _, _, score in found]),
        torch.tensor([label for _, label, _ in found], dtype=torch.int64),
    )
    truth = Target(
        torch.tensor([box for box, _, _ in true]).reshape(-1, 4),
        torch.tensor([label for _, label, _ in true], dtype=torch.int64),
        torch.tensor([crowd for _, _, crowd in true], dtype=torch.bool),
    )
    confusion.add(0, answers, truth)
    return confusion.counts()


def cells(**counts: int) -> list[list[int]]:
    """cat_dog=1: a cat taken for a dog."""
    names = [*NAMES, "none"]
    table = np.zeros((4, 4), int)
    for cell, count in counts.items():
        row, column = cell.split("_")
        table[names.index(row), names.index(column)] = count
    return table.tolist()


def test_right_wrong_missed_and_made_up() -> None:
    found = [(HERE, CAT, 0.9), (THERE, COW, 0.8), (ELSEWHERE, DOG, 0.7)]
    true = [(HERE, CAT, False), (THERE, DOG, False), ([0.0, 50.0, 9.0, 59.0], COW, False)]
    assert counted(found, true).tolist() == cells(cat_cat=1, dog_cow=1, cow_none=1, none_dog=1)


def test_the_surest_meets_the_object_and_the_next_the_next_best() -> None:
    beside = [0.0, 2.0, 10.0, 12.0]
    assert counted([(HERE, DOG, 0.5), (HERE, CAT, 0.6)], [(HERE, CAT, False)]).tolist() == cells(cat_cat=1, none_dog=1)
    both = counted([(HERE, CAT, 0.5), (HERE, DOG, 0.6)], [(HERE, CAT, False), (beside, DOG, False)])
    assert both.tolist() == cells(cat_dog=1, dog_cat=1)


def test_unsure_and_far_ones_do_not_count() -> None:
    near = [0.0, 0.0, 10.0, 4.9]
    assert counted([(HERE, CAT, 0.29)], [(HERE, CAT, False)]).tolist() == cells(cat_none=1)
    assert counted([(near, CAT, 0.9)], [(HERE, CAT, False)]).tolist() == cells(cat_none=1, none_cat=1)
    assert counted([([0.0, 0.0, 10.0, 5.0], CAT, 0.5)], [(HERE, CAT, False)]).tolist() == cells(cat_cat=1)


def test_in_a_crowd_nothing_is_made_up_and_nothing_missed() -> None:
    crowd = [0.0, 0.0, 40.0, 40.0]
    found = [(HERE, CAT, 0.9), (HERE, CAT, 0.8), ([35.0, 0.0, 45.0, 10.0], CAT, 0.7), (ELSEWHERE, CAT, 0.6)]
    assert counted(found, [(crowd, CAT, True)]).tolist() == cells(none_cat=1)
    assert counted([], [(crowd, CAT, True)]).tolist() == cells()


@pytest.mark.parametrize("seed", range(3))
def test_totals_and_parts(seed: int) -> None:
    content, results = coco_set(seed)
    names = [each["name"] for each in content["categories"]]
    whole, parts = Confusion(names, score=0.4), [Confusion(names, score=0.4) for _ in range(2)]
    for place, (image, (found, truth)) in enumerate(records(content, results).items()):
        whole.add(image, found, truth)
        parts[place % 2].add(image, found, truth)
        parts[1].add(image, found, truth)  # once more, or again: it counts once
    table = whole.counts()
    assert parts[1].counts().tolist() == table.tolist()
    parts[0].merge(pickle.loads(pickle.dumps(parts[1])))
    assert parts[0].counts().tolist() == table.tolist()
    objects = [each["category_id"] for each in content["annotations"] if not each["iscrowd"]]
    assert table[:-1].sum(1).tolist() == np.bincount(objects, minlength=len(names)).tolist()
    sure = [each["category_id"] for each in results if np.float32(each["score"]) >= 0.4]
    assert (table[:, :-1].sum(0) <= np.bincount(sure, minlength=len(names))).all()
    assert table.trace() > 20
    assert table[-1, -1] == 0
    assert len(whole) == len(content["images"])
