"""Do two photos show the same pixels once one is laid over the other?"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Grey = NDArray[np.float32]
Transform = NDArray[Any]  # [2, 3]: a point of one photo to its place in the other

_LEAST_SHARED = 64  # pixels that must be seen in both
_SIGMA = 1.5  # of the surroundings that a pixel is compared with
_LEAST_SPREAD = 9.0  # variance of surroundings that show something
_GRAIN = 4.0  # variance that may be noise


def agreement(small: Pixels, other: Pixels, transform: Transform) -> float:
    """How local detail of two small copies correlates where both are seen, from -1 to 1; 0 where too little is.

    `transform` takes unit coordinates (0 to 1 across each photo) of the first to those of the second.

    >>> noise = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    >>> round(agreement(noise, noise, np.eye(2, 3)), 2)
    1.0
    """
    size = abs(np.linalg.det(transform[:, :2]))
    if size > 1:  # the second shows more detail: it is the one to be reduced
        inverse = cv2.invertAffineTransform(transform)
        return agreement(other, small, inverse)
    side = small.shape[0]
    reduced = max(8, round(side * np.sqrt(size)))
    laid, seen = _lay(_resized(small, reduced), transform, side)
    if seen.sum() < _LEAST_SHARED:
        return 0.0
    return _correlation(laid, other.astype(np.float32), seen)


def _resized(small: Pixels, side: int) -> Pixels:
    return np.asarray(cv2.resize(small, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def _lay(small: Pixels, transform: Transform, side: int) -> tuple[Grey, Grey]:
    """The copy as it lies in the other's frame, and where it is seen."""
    length = small.shape[0]
    pixel = np.array([[1 / length, 0, 0.5 / length], [0, 1 / length, 0.5 / length], [0, 0, 1]])
    unit = np.array([[side, 0, -0.5], [0, side, -0.5], [0, 0, 1]])
    matrix = (unit @ np.vstack([transform, [0, 0, 1]]) @ pixel)[:2]
    laid = cv2.warpAffine(small.astype(np.float32), matrix, (side, side), flags=cv2.INTER_LINEAR)
    seen = cv2.warpAffine(np.ones_like(small, np.float32), matrix, (side, side), flags=cv2.INTER_LINEAR)
    return np.asarray(laid, np.float32), (np.asarray(seen) > 0.99).astype(np.float32)


def _correlation(one: Grey, two: Grey, seen: Grey) -> float:
    """The median over all surroundings that show something: what was written over a part does not count."""
    weight = np.maximum(_blurred(seen), 1e-6)

    def mean(values: Grey) -> Grey:
        return np.divide(_blurred(values * seen), weight)

    mean_one, mean_two = mean(one), mean(two)
    spread_one, spread_two = mean(one * one) - mean_one**2, mean(two * two) - mean_two**2
    shown = (seen > 0) & (np.minimum(spread_one, spread_two) > _LEAST_SPREAD)
    if shown.sum() < _LEAST_SHARED:
        return 0.0
    shared = mean(one * two) - mean_one * mean_two
    local = shared[shown] / np.sqrt((spread_one[shown] + _GRAIN) * (spread_two[shown] + _GRAIN))
    return float(np.median(local))


def _blurred(values: Grey) -> Grey:
    return np.asarray(cv2.GaussianBlur(values, (0, 0), _SIGMA), np.float32)
