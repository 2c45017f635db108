"""COCO's run lengths: how many pixels in turn are outside and inside of a mask, down each column."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def runs_of(outline: Any) -> list[int]:
    """The run lengths of a COCO segmentation, from a list or the packed text; ValueError where they are neither.

    >>> runs_of({"size": [2, 2], "counts": [1, 2, 1]}), runs_of({"size": [2, 2], "counts": "121"})
    ([1, 2, 1], [1, 2, 1])
    """
    counts = outline["counts"]
    if isinstance(counts, str):
        return _unpack(counts.encode())
    if isinstance(counts, list) and all(isinstance(count, int | float) and count % 1 == 0 for count in counts):
        return [int(count) for count in counts]
    raise ValueError(f"neither a text nor a list of whole numbers: {counts!r:.60}")


def _unpack(text: bytes) -> list[int]:
    """Five bits a character, a sixth where more follow; from the third run on, what is added to the last but one."""
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = character - 48
        if not 0 <= bits < 64:
            raise ValueError("packed run lengths with a character that cannot be in them")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:
                value -= 1 << shift
            runs.append(value + runs[-2] if len(runs) > 2 else value)
            value = shift = 0
    return runs


def mask_of(outline: Any) -> NDArray[np.bool_]:
    """The mask as [height, width]; ValueError where the runs do not fill it.

    >>> mask_of({"size": [2, 2], "counts": [1, 2, 1]}).tolist()
    [[False, True], [True, False]]
    """
    height, width = outline["size"]
    runs = runs_of(outline)
    if min(runs, default=0) < 0 or sum(runs) != height * width:
        raise ValueError(f"run lengths over {sum(runs):,} pixels for a mask of {height * width:,}")
    inside = np.arange(len(runs)) % 2 == 1
    return np.repeat(inside, runs).reshape(width, height).T
