"""A perceptual hash: the signs of the 64 lowest frequencies of a small grey copy; one transform gives every turn."""

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from limbeck.alike.turns import MIRROR, TURNS

_SIDE, _HIGHEST = 32, 11


def _basis() -> NDArray[np.float32]:
    place = (np.arange(_SIDE) + 0.5) * np.pi / _SIDE
    return np.cos(np.arange(_HIGHEST)[:, None] * place).astype(np.float32)


_BASIS = _basis()
_SIGNS = np.where(np.arange(_HIGHEST) % 2, -1, 1).astype(np.float32)
_DOWN, _ACROSS = np.indices((_HIGHEST, _HIGHEST))
# the triangle of low frequencies without the mean, and without one on its diagonal: 64, the same when transposed
_KEPT = (_DOWN + _ACROSS < _HIGHEST) & (_DOWN + _ACROSS > 0) & ~((_DOWN == 5) & (_ACROSS == 5))


def photo_hashes(grey: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """The hashes of a grey photo in its eight turns (uint64 [8]); the first is that of the photo as it is.

    >>> photo_hashes(np.arange(64, dtype=np.uint8).reshape(8, 8)).shape
    (8,)
    """
    small = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    waves = (_BASIS @ small @ _BASIS.T).astype(np.float32)
    return np.array([_packed(_turned_waves(waves, turn)) for turn in TURNS], np.uint64)


def distances(hashes: NDArray[np.uint64], others: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """How many of the 64 bits differ, each with each: [n, m].

    >>> distances(np.array([0, 7], np.uint64), np.array([1], np.uint64)).tolist()
    [[1], [2]]
    """
    product = signs(hashes) @ signs(others).T
    return ((64 - product) / 2).to(torch.uint8).numpy()


def signs(hashes: NDArray[np.uint64]) -> torch.Tensor:
    """The bits as -1 and 1, so that a product counts them: float32 [n, 64]."""
    raw = np.ascontiguousarray(hashes).view(np.uint8).reshape(-1, 8)
    return torch.from_numpy(np.unpackbits(raw, axis=1)).float().mul_(2).sub_(1)


def _turned_waves(waves: NDArray[np.float32], turn: int) -> NDArray[np.float32]:
    if turn >= MIRROR:
        waves = waves * _SIGNS
    for _ in range(turn % 4):
        waves = waves.T * _SIGNS[:, None]
    return waves


def _packed(waves: NDArray[np.float32]) -> np.uint64:
    return np.uint64(np.packbits(waves[_KEPT] > 0).view(np.uint64)[0])
