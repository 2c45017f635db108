"""The eight ways a photo can be turned and mirrored."""

from typing import TypeVar

import numpy as np
from torch import Tensor

TURNS = range(8)
MIRROR = 4  # turn 4 + k is turn k of the mirrored photo

Pixels = TypeVar("Pixels", Tensor, np.ndarray)


def turned(photo: Pixels, turn: int) -> Pixels:
    """The last two axes mirrored left to right (turns 4 to 7), then turned to the left by `turn % 4` quarters.

    >>> turned(np.array([[1, 2], [3, 4]]), 5).tolist()
    [[1, 3], [2, 4]]
    """
    if isinstance(photo, Tensor):
        mirrored = photo.flip(-1) if turn >= MIRROR else photo
        return mirrored.rot90(turn % 4, (-2, -1))
    plain = photo[..., ::-1] if turn >= MIRROR else photo
    return np.rot90(plain, turn % 4, (-2, -1))
