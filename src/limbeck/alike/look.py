"""One photo seen: what is kept of it to find its copies."""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from limbeck.alike.features import Features, common_copy, extract
from limbeck.alike.local import aggregate
from limbeck.alike.phash import photo_hashes


@dataclass(frozen=True)
class Look:
    """A photo's hashes in its eight turns (the first: as it is), and what its small copy is asked for later."""

    height: int
    width: int
    hashes: NDArray[np.uint64]  # [8]
    copy: NDArray[np.uint8]  # in grey, of the common size

    @cached_property
    def features(self) -> Features:
        """Its points: what costs most, and few photos are asked for."""
        return extract(self.copy, max(self.height, self.width) / max(self.copy.shape))

    @cached_property
    def vector(self) -> NDArray[np.float32]:
        """The `local` signature."""
        return aggregate(self.features.descriptors)


def look(photo: Tensor) -> Look:
    """See a photo (uint8 [3, H, W]) once.

    >>> import torch
    >>> seen = look(torch.zeros(3, 40, 60, dtype=torch.uint8))
    >>> seen.height, seen.width, len(seen.hashes), len(seen.features)
    (40, 60, 8, 0)
    """
    height, width = photo.shape[1:]
    copy = common_copy(_grey(photo))
    return Look(height, width, photo_hashes(copy), copy)


def _grey(photo: Tensor) -> NDArray[np.uint8]:
    pixels = np.ascontiguousarray(photo.permute(1, 2, 0).numpy())
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)
