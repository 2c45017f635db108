"""The nearest rows by an exact product, block by block.

Signatures are rounded to whole numbers small enough that float32 adds them without error: what is found depends neither
on the batch, nor on the block, nor on the number of threads.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from limbeck.alike.phash import signs

UNIT = 512.0  # the norm of a rounded vector; its square is far below 2^24

_BLOCK = 16384  # columns of a product


def rounded(vectors: NDArray[np.floating[Any]]) -> NDArray[np.int8]:
    """Vectors of unit norm as whole numbers.

    >>> rounded(np.array([[0.6, -0.1]])).tolist()
    [[127, -51]]
    """
    whole: NDArray[np.int8] = np.clip(np.rint(vectors * UNIT), -127, 127).astype(np.int8)
    return whole


def near_vectors(
    queries: NDArray[np.int8], side: NDArray[np.int8], similarity: float, most: int
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Of each query, the rows of `side` that are at least this similar: the `most` nearest, nearest first.

    >>> one = rounded(np.eye(3)[:2])
    >>> [(query, rows.tolist()) for query, rows in near_vectors(one, one, 0.2, 5)]
    [(0, [0]), (1, [1])]
    """
    scores, rows = _top(torch.from_numpy(queries).float(), side, most)
    least = similarity * _norms(queries)
    for query in range(len(queries)):
        near = scores[query] >= least[query]
        yield query, rows[query][near].numpy()


def _top(queries: Tensor, side: NDArray[np.int8], most: int) -> tuple[Tensor, Tensor]:
    """The `most` highest products of each query; of equal ones the first row."""
    scores = torch.full((len(queries), 0), 0.0)
    rows = torch.zeros((len(queries), 0), dtype=torch.int64)
    for start in range(0, len(side), _BLOCK):
        block = torch.from_numpy(np.array(side[start : start + _BLOCK])).float()
        product = queries @ block.T / _norms_of(block)
        best = product.topk(min(most, len(block)), dim=1)
        scores = torch.cat([scores, best.values], 1)
        rows = torch.cat([rows, best.indices + start], 1)
        order = scores.sort(dim=1, descending=True, stable=True).indices[:, :most]
        scores, rows = scores.gather(1, order), rows.gather(1, order)
    return scores, rows


def _norms(vectors: NDArray[np.int8]) -> Tensor:
    return _norms_of(torch.from_numpy(vectors).float())


def _norms_of(vectors: Tensor) -> Tensor:
    return (vectors**2).sum(1).clamp(min=1).sqrt()


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
