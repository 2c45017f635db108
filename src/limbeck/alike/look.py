"""One photo seen: what is kept of it to find its copies."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from limbeck.alike.features import Features, common_copy, extract
from limbeck.alike.local import aggregate
from limbeck.alike.phash import photo_hashes


@dataclass(frozen=True)
class Look:
    """A photo's hashes in its eight turns (the first: as it is), its `local` signature, and its points."""

    height: int
    width: int
    hashes: NDArray[np.uint64]  # [8]
    vector: NDArray[np.float32] | None
    features: Features | None


def look(photo: Tensor, *, local: bool = True, features: bool = True) -> Look:
    """See a photo (uint8 [3, H, W]) once.

    >>> import torch
    >>> seen = look(torch.zeros(3, 40, 60, dtype=torch.uint8))
    >>> seen.height, seen.width, len(seen.hashes), len(seen.features)
    (40, 60, 8, 0)
    """
    height, width = photo.shape[1:]
    copy = common_copy(_grey(photo))
    hashes = photo_hashes(copy)
    found = extract(copy, max(height, width) / max(copy.shape)) if features or local else None
    vector = aggregate(found.descriptors) if local and found else None
    return Look(height, width, hashes, vector, found if features else None)


def _grey(photo: Tensor) -> NDArray[np.uint8]:
    pixels = np.ascontiguousarray(photo.permute(1, 2, 0).numpy())
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)
