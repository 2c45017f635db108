"""choose() against the same rules said row by row."""

import math
from typing import Any

import numpy as np
import pytest

from limbeck.ssld.choosing import BALANCE, BELOW_CUT, BELOW_SCORE, KEPT, NO_CANDIDATE, choose


def by_hand(
    classes: list[int],
    scores: list[int],
    candidates: list[bool],
    *,
    per_class: int,
    min_score: int,
    keep_unsure: float,
    balance: float,
) -> tuple[list[int], list[int]]:
    verdict, rank = [NO_CANDIDATE] * len(classes), [0] * len(classes)
    ranked = {
        name: sorted(
            (row for row in range(len(classes)) if candidates[row] and classes[row] == name),
            key=lambda row: (-scores[row], row),
        )
        for name in set(classes)
    }
    good = {name: [row for row in rows if scores[row] >= min_score] for name, rows in ranked.items()}

    def held(name: int, places: int) -> list[int]:
        unsure = math.floor(places * keep_unsure + 1e-9)
        rows = good[name]
        return rows[: places - unsure] + rows[len(rows) - unsure :]

    quota = {name: min(per_class, len(rows)) for name, rows in good.items()}
    most = math.floor(balance * min((size for size in quota.values() if size), default=0)) if balance else per_class
    for name, rows in ranked.items():
        for place, row in enumerate(rows):
            rank[row] = place + 1
            if row not in good[name]:
                verdict[row] = BELOW_SCORE
            elif row not in held(name, quota[name]):
                verdict[row] = BELOW_CUT
            elif row not in held(name, min(quota[name], most)):
                verdict[row] = BALANCE
            else:
                verdict[row] = KEPT
    return verdict, rank


@pytest.mark.parametrize("seed", range(200))
def test_as_by_hand(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(0, 60))
    classes = rng.integers(0, rng.integers(1, 6), count).astype(np.int32)
    scores = rng.integers(0, rng.integers(1, 9), count).astype(np.int32)  # few values: many ties
    candidates = rng.random(count) < rng.choice([0.5, 1.0])
    options: dict[str, Any] = {
        "per_class": int(rng.integers(1, 12)),
        "min_score": int(rng.integers(0, 4)),
        "keep_unsure": float(rng.choice([0, 0.1, 0.3, 0.5, 0.9])),
        "balance": float(rng.choice([0, 1, 1.5, 3])),
    }
    choice = choose(classes, scores, candidates, **options)
    verdict, rank = by_hand(classes.tolist(), scores.tolist(), candidates.tolist(), **options)
    assert choice.verdict.tolist() == verdict
    assert choice.rank.tolist() == rank
    assert choice.kept.tolist() == [row for row, code in enumerate(verdict) if code == KEPT]


def test_nothing_to_choose_from() -> None:
    none = np.zeros(0, np.int32)
    assert choose(none, none, np.zeros(0, bool), per_class=5).kept.tolist() == []
    some = np.zeros(3, np.int32)
    assert choose(some, some, np.zeros(3, bool), per_class=5, balance=2).verdict.tolist() == [NO_CANDIDATE] * 3


def test_the_highest_class_and_score_do_not_overflow() -> None:
    classes = np.array([2**31 - 1, 0, 2**31 - 1], np.int32)
    scores = np.array([1, 1_000_000, 1_000_000], np.int32)
    assert choose(classes, scores, np.ones(3, bool), per_class=1).rank.tolist() == [2, 1, 1]


def test_a_multiple_that_binary_fractions_miss_by_a_hair() -> None:
    classes = np.repeat(np.array([0, 1], np.int32), (100, 600))  # 4.35 * 100 is a little less than 435 in binary
    choice = choose(classes, np.arange(700, dtype=np.int32), np.ones(700, bool), per_class=600, balance=4.35)
    assert np.bincount(classes[choice.kept]).tolist() == [100, 435]
