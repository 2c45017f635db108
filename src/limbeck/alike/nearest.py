"""The nearest rows by an exact product, block by block.

Signatures are rounded to whole numbers small enough that float32 adds them without error: what is found depends neither
on the batch, nor on the block, nor on the number of threads.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from limbeck.alike.phash import signs

UNIT = 512.0  # the norm of a rounded vector; its square is far below 2^24

_BLOCK = 8192  # columns of a product
_SUMMED = 4096
_BELIEF = 50  # photos that it takes to doubt what is usual as much as to believe it


def rounded(vectors: NDArray[np.floating[Any]]) -> NDArray[np.int8]:
    """Vectors of unit norm as whole numbers.

    >>> rounded(np.array([[0.6, -0.1]])).tolist()
    [[127, -51]]
    """
    whole: NDArray[np.int8] = np.clip(np.rint(vectors * UNIT), -127, 127).astype(np.int8)
    return whole


def shared_part(vectors: NDArray[Any], usual: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the vectors [n, copies, d] have in common; of few, rather what is `usual`.

    >>> shared_part(np.ones((50, 8, 1)), np.zeros(1, np.float32)).tolist()
    [0.5]
    """
    total = np.zeros(vectors.shape[2])
    for start in range(0, len(vectors), _SUMMED):
        total += np.asarray(vectors[start : start + _SUMMED], np.float64).mean(1).sum(0)
    mean: NDArray[np.float32] = ((total + _BELIEF * usual) / (len(vectors) + _BELIEF)).astype(np.float32)
    return mean


def centred(vectors: NDArray[Any], mean: NDArray[np.float32]) -> NDArray[np.int8]:
    """Vectors without what all have in common, of unit norm, rounded.

    >>> centred(np.array([[3.0, 5.0]]), np.array([3.0, 3.0], np.float32)).tolist()
    [[0, 127]]
    """
    apart = vectors.astype(np.float64) - mean
    return rounded(apart / np.maximum(np.linalg.norm(apart, axis=-1, keepdims=True), 1e-12))


def near_vectors(
    queries: NDArray[np.int8], side: NDArray[np.int8], similarity: float, most: int
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Of each query, the rows of `side` that are at least this similar: the `most` nearest, nearest first.

    >>> one = rounded(np.eye(16).repeat(16, 1)[:2] / 4)
    >>> [(query, rows.tolist()) for query, rows in near_vectors(one, one, 0.9, 5)]
    [(0, [0]), (1, [1])]
    """
    scores, rows = _top(torch.from_numpy(np.array(queries)).float(), side, most)
    for query, near in enumerate(scores >= similarity * UNIT**2):
        yield query, rows[query][near].numpy()


def _top(queries: Tensor, side: NDArray[np.int8], most: int) -> tuple[Tensor, Tensor]:
    """The `most` highest products of each query; of equal ones the first row."""
    scores = torch.full((len(queries), 0), 0.0)
    rows = torch.zeros((len(queries), 0), dtype=torch.int64)
    for start in range(0, len(side), _BLOCK):
        block = torch.from_numpy(np.array(side[start : start + _BLOCK])).float()
        best = (queries @ block.T).topk(min(most, len(block)), dim=1)
        scores = torch.cat([scores, best.values], 1)
        rows = torch.cat([rows, best.indices + start], 1)
        order = scores.sort(dim=1, descending=True, stable=True).indices[:, :most]
        scores, rows = scores.gather(1, order), rows.gather(1, order)
    return scores, rows


def near_hashes(
    queries: NDArray[np.uint64], side: NDArray[np.uint64], distance: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Every pair (query, row of `side`) at most `distance` bits apart, and how many bits that is.

    >>> near_hashes(np.array([1], np.uint64), np.array([1, 0, 255], np.uint64), 1)
    (array([0, 0]), array([0, 1]), array([0, 1]))
    """
    asked = signs(queries)
    found = []
    for start in range(0, len(side), _BLOCK):
        product = asked @ signs(side[start : start + _BLOCK]).T
        pairs = (product >= 64 - 2 * distance).nonzero()
        apart = (64 - product[pairs[:, 0], pairs[:, 1]]) / 2
        found.append(torch.stack([pairs[:, 0], pairs[:, 1] + start, apart.long()]))
    together = torch.cat(found, 1).numpy() if found else np.zeros((3, 0), np.int64)
    return together[0], together[1], together[2]


def near_photos(
    queries: NDArray[np.uint64], side: NDArray[np.uint64], distance: int, most: int
) -> Iterator[NDArray[np.int64]]:
    """Of each query, the `most` rows of `side` (uint64 [n, copies]) of which a copy is at most `distance` bits apart.

    The nearest come first. A row counts once: all turns of a symmetric photo are alike.

    >>> side = np.array([[1, 1, 0], [3, 7, 7]], np.uint64)
    >>> [rows.tolist() for rows in near_photos(np.array([1, 7], np.uint64), side, 1, 2)]
    [[0, 1], [1]]
    """
    query, copy, bits = near_hashes(queries, side.reshape(-1), distance)
    row = copy // side.shape[1]
    order = np.lexsort((bits, row, query))
    query, row, bits = query[order], row[order], bits[order]
    nearest = np.flatnonzero(np.diff(query, prepend=-1) | np.diff(row, prepend=-1))
    order = nearest[np.lexsort((row[nearest], bits[nearest], query[nearest]))]
    for begin, end in pairwise(np.searchsorted(query[order], np.arange(len(queries) + 1))):
        yield row[order[begin:end]][:most]
