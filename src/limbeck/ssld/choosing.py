"""Which photos stay: the best of each class, by whole millionths of probability, ties in the order of the rows."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

UNIT = 1_000_000  # scores are kept, and compared, as whole millionths
KEPT, NO_CANDIDATE, BELOW_SCORE, BELOW_CUT, BALANCE = range(5)


@dataclass(frozen=True)
class Choice:
    """What became of each row: a verdict, and its place in its class (from 1; 0 where it was no candidate)."""

    verdict: NDArray[np.uint8]
    rank: NDArray[np.int32]

    @property
    def kept(self) -> NDArray[np.int64]:
        return np.flatnonzero(self.verdict == KEPT)


def choose(
    classes: NDArray[np.int32],
    scores: NDArray[np.int32],
    candidates: NDArray[np.bool_],
    *,
    per_class: int,
    min_score: int = 0,
    keep_unsure: float = 0.0,
    balance: float = 0.0,
) -> Choice:
    """The best `per_class` rows of each class; rows are in key order, which decides between equal scores.

    Of the places of a class, the share `keep_unsure` goes to its lowest scored rows instead. With `balance`, no class
    has more places than this many times the photos kept of the smallest class that keeps any.

    >>> classes, scores = np.array([0, 0, 0, 1], np.int32), np.array([5, 9, 9, 1], np.int32)
    >>> choose(classes, scores, np.ones(4, bool), per_class=2).verdict.tolist()
    [3, 0, 0, 0]
    """
    verdict = np.full(len(classes), NO_CANDIDATE, np.uint8)
    rank = np.zeros(len(classes), np.int32)
    rows = np.flatnonzero(candidates)
    # one number that sorts by class, then by falling score; a stable sort keeps equal ones in key order
    order = rows[np.argsort(classes[rows].astype(np.int64) * (UNIT + 1) + (UNIT - scores[rows]), kind="stable")]
    del rows
    starts, place = _places(classes[order])
    rank[order] = place + 1
    good = scores[order] >= min_score  # within a class the good ones come first
    of_class = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(order))))
    sizes = np.bincount(of_class[good], minlength=len(starts))
    wanted = np.minimum(sizes, per_class)
    allowed = wanted
    if balance and wanted.any():
        allowed = np.minimum(wanted, int(balance * wanted[wanted > 0].min() + 1e-9))
    before, after = (_within(place, of_class, sizes, quota, keep_unsure) for quota in (wanted, allowed))
    verdict[order] = np.select([~good, ~before, ~after], [BELOW_SCORE, BELOW_CUT, BALANCE], KEPT)
    return Choice(verdict, rank)


def _places(classes: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Where each class of sorted classes starts, and each row's place in its class."""
    starts = np.flatnonzero(np.diff(classes, prepend=classes[:1] - 1)) if len(classes) else np.zeros(0, np.int64)
    lengths = np.diff(np.append(starts, len(classes)))
    place = (np.arange(len(classes)) - np.repeat(starts, lengths)).astype(np.int32)
    return starts, place


def _within(
    place: NDArray[np.int32],
    of_class: NDArray[np.int64],
    sizes: NDArray[np.int64],
    quota: NDArray[np.int64],
    keep_unsure: float,
) -> NDArray[np.bool_]:
    """Which rows the places of their class hold: the first ones and, for the unsure share, the last."""
    unsure = np.floor(quota * keep_unsure + 1e-9).astype(np.int64)
    first, last = (quota - unsure).astype(np.int32), (sizes - unsure).astype(np.int32)
    inside: NDArray[np.bool_] = (place < first[of_class]) | (place >= last[of_class])
    return inside
