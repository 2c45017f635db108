"""How sure a share is that was counted on a few photos."""

import math

FEW = 50  # of fewer photos the 95 % interval of a share can be wider than 27 points; of 10 it is 53
_Z = 1.96  # 95 %


def interval(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share of `count` photos, by Wilson: it holds for few photos and near 0 and 1 as well.

    >>> [round(end, 2) for end in interval(0.8, 10)], [round(end, 2) for end in interval(1.0, 5)]
    ([0.49, 0.94], [0.57, 1.0])
    """
    assert count > 0
    shrunk = 1 + _Z**2 / count
    middle = (share + _Z**2 / (2 * count)) / shrunk
    half = _Z / shrunk * math.sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2))
    return max(0.0, middle - half), min(1.0, middle + half)
