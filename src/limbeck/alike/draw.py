"""Two photos side by side with lines between the points that were matched."""

import cv2
import numpy as np
import torch
from torch import Tensor

from limbeck.alike.compare import Evidence

_HEIGHT, _GAP, _MOST_LINES = 240, 8, 40
_COLOURS = ((230, 57, 70), (29, 120, 116), (244, 162, 97), (69, 123, 157), (131, 56, 236))


def draw_pair(photo_a: Tensor, photo_b: Tensor, evidence: Evidence) -> Tensor:
    """A picture (uint8 [3, 240, W]) of two photos and at most 40 of their matches.

    >>> nowhere = np.zeros((0, 2), np.float32)
    >>> evidence = Evidence("near-duplicate", "hash", 0, 1.0, 1.0, False, nowhere, nowhere)
    >>> photo = torch.zeros(3, 120, 160, dtype=torch.uint8)
    >>> draw_pair(photo, photo, evidence).shape
    torch.Size([3, 240, 648])
    """
    left, right = _resized(photo_a), _resized(photo_b)
    canvas = np.full((_HEIGHT, left.shape[1] + _GAP + right.shape[1], 3), 255, np.uint8)
    canvas[:, : left.shape[1]] = left
    canvas[:, left.shape[1] + _GAP :] = right
    chosen = np.linspace(0, evidence.inliers - 1, min(evidence.inliers, _MOST_LINES)).astype(int)
    starts = evidence.points_a[chosen] * (_HEIGHT / photo_a.shape[1])
    ends = evidence.points_b[chosen] * (_HEIGHT / photo_b.shape[1]) + (left.shape[1] + _GAP, 0)
    for number, (start, end) in enumerate(zip(starts, ends)):
        colour = _COLOURS[number % len(_COLOURS)]
        begin, finish = tuple(map(int, np.rint(start))), tuple(map(int, np.rint(end)))
        cv2.line(canvas, begin, finish, colour, 1, cv2.LINE_AA)
        for place in (begin, finish):
            cv2.circle(canvas, place, 3, colour, 1, cv2.LINE_AA)
    return torch.from_numpy(canvas).permute(2, 0, 1).contiguous()


def _resized(photo: Tensor) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    pixels = np.ascontiguousarray(photo.permute(1, 2, 0).numpy())
    width = max(1, round(pixels.shape[1] * _HEIGHT / pixels.shape[0]))
    return np.asarray(cv2.resize(pixels, (width, _HEIGHT), interpolation=cv2.INTER_AREA), np.uint8)
