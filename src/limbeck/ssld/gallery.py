"""A gallery as the set of its distinct photos, in an order and in parts that depend on their content alone."""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import log2

import numpy as np
from numpy.typing import NDArray

from limbeck.images.imageset import ImageSet

_MOST, _LEAST, _PARTS = 1000, 64, 16  # photos in a part; parts of a gallery that is small


@dataclass(frozen=True)
class Gallery:
    """`rows` of `images`, one for each key, sorted by key; the other rows are copies of these."""

    images: ImageSet
    rows: NDArray[np.int64]
    copies: NDArray[np.int64]  # rows that are left out, sorted by key, then by path
    copied: NDArray[np.int64]  # for each copy, the place in `rows` of the photo that stays

    @classmethod
    def of(cls, images: ImageSet) -> "Gallery":
        """Of equal photos, the one whose path comes first stays: the order of the sources decides nothing."""
        high, low = halves(images.keys)
        order = np.lexsort((low, high))
        same = np.zeros(len(order), bool)  # as the row before
        same[1:] = (high[order[1:]] == high[order[:-1]]) & (low[order[1:]] == low[order[:-1]])
        if same.any():
            _by_path(images, order, same)
        place = np.cumsum(~same) - 1
        return cls(images, order[~same], order[same], place[same])

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def parts(self) -> list[tuple[int, int]]:
        """(start, stop) in `rows`: as many as a power of two, cut where the keys' first bits change."""
        wanted = len(self) / min(_MOST, max(_LEAST, len(self) / _PARTS))
        bits = max(0, round(log2(wanted))) if len(self) else 0
        first = (halves(self.images.keys[self.rows])[0] >> np.uint64(64 - bits)) if bits else np.zeros(len(self))
        borders = np.searchsorted(first, np.arange(2**bits + 1)).tolist()
        return [(start, stop) for start, stop in pairwise(borders) if stop > start]

    def part(self, start: int, stop: int) -> ImageSet:
        return self.images.take(self.rows[start:stop])


def halves(keys: NDArray[np.uint8]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Keys as two numbers each, which sort as the keys do."""
    wide = np.ascontiguousarray(keys).view(">u8").astype(np.uint64)
    return wide[:, 0], wide[:, 1]


def _by_path(images: ImageSet, order: NDArray[np.int64], same: NDArray[np.bool_]) -> None:
    """Sort each run of equal keys by path, in place."""
    starts = np.flatnonzero(same & ~np.append(False, same[:-1])) - 1
    stops = np.flatnonzero(same & ~np.append(same[1:], False)) + 1
    for start, stop in zip(starts.tolist(), stops.tolist()):
        order[start:stop] = sorted(order[start:stop].tolist(), key=images.path)
