"""SSD's two ways to change the scale of objects: a larger canvas, and a crop that every box agrees with.

torchvision's RandomIoUCrop asks one box of those inside for enough overlap; the references ask every box of the photo.
"""

from random import Random

import numpy as np
from numpy.typing import NDArray

from limbeck.detection.scene import Scene, cut, enlarged

_MOST = 4.0  # times as high and wide
_HALF = 0.5
_LEAST_SIDE = 0.3
_RATIO = 0.5, 2.0
_TRIES = 50
_WHOLE = 1.0
_SURELY = 0.999  # what is smaller than this share of the least area cannot overlap enough, however it is rounded
_OVERLAPS = (_WHOLE, 0.1, 0.3, 0.5, 0.7, 0.9, 0.0)


def maybe_enlarged(scene: Scene, drawn: Random) -> Scene:
    """With one chance in two somewhere on a canvas up to four times as high and wide."""
    if drawn.random() > _HALF:
        return scene
    ratio = _between(drawn, 1.0, _MOST)
    left = int(_between(drawn, 0.0, scene.width * ratio - scene.width))
    top = int(_between(drawn, 0.0, scene.height * ratio - scene.height))
    return enlarged(scene, left, top, int(scene.height * ratio), int(scene.width * ratio))


def maybe_cut(scene: Scene, drawn: Random) -> Scene:
    """The whole, or a window that overlaps every box by at least a drawn share; boxes stay whose centre is inside."""
    boxes = scene.boxes.numpy()
    smallest = float(_areas(boxes).min()) if len(boxes) else 0.0
    while True:
        least = _OVERLAPS[int(drawn.random() * len(_OVERLAPS))]
        if least == _WHOLE:
            return scene
        for _ in range(_TRIES):
            window = _window(drawn, scene.height, scene.width)
            if window is None or (len(boxes) and smallest < _SURELY * least * _area(window)):
                continue
            if len(boxes) and overlap(boxes, window).min() < least:
                continue
            inside = centred(boxes, window)
            if inside.any() or not len(boxes):
                return cut(scene, *window, inside)


def _window(drawn: Random, height: int, width: int) -> tuple[int, int, int, int] | None:
    across = _between(drawn, _LEAST_SIDE * width, width)
    down = _between(drawn, _LEAST_SIDE * height, height)
    if not _RATIO[0] <= down / across <= _RATIO[1]:
        return None
    # the references never begin at the very edge: a uniform draw between what is left over and 1
    left, top = _between(drawn, width - across, 1.0), _between(drawn, height - down, 1.0)
    window = int(left), int(top), int(left + across), int(top + down)
    return window if window[0] < window[2] and window[1] < window[3] else None


def overlap(boxes: NDArray[np.float32], window: tuple[int, int, int, int]) -> NDArray[np.float32]:
    """Intersection over union of each box with a window.

    >>> overlap(np.array([[0, 0, 2, 2]], np.float32), (1, 0, 3, 2)).round(4).tolist()
    [0.33329999446868896]
    """
    left, top, right, bottom = window
    across = np.minimum(boxes[:, 2], right) - np.maximum(boxes[:, 0], left)
    down = np.minimum(boxes[:, 3], bottom) - np.maximum(boxes[:, 1], top)
    shared = across.clip(0) * down.clip(0)
    shares: NDArray[np.float32] = shared / np.maximum(_areas(boxes) + _area(window) - shared, 1e-6)
    return shares


def _areas(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    areas: NDArray[np.float32] = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return areas


def _area(window: tuple[int, int, int, int]) -> int:
    left, top, right, bottom = window
    return (right - left) * (bottom - top)


def centred(boxes: NDArray[np.float32], window: tuple[int, int, int, int]) -> NDArray[np.bool_]:
    """Which boxes have their centre inside of a window."""
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    inside: NDArray[np.bool_] = np.all((middle > window[:2]) & (middle < window[2:]), axis=1)
    return inside


def _between(drawn: Random, low: float, high: float) -> float:
    return low + (high - low) * drawn.random()
