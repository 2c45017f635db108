"""Masks of objects as their outlines, which become pixels only when somebody asks."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from limbeck.datasets.rle import runs_of
from limbeck.detection.rle import packed_all, unpacked


class Outline(NamedTuple):
    """One object: polygons (x, y, x, y, ... in pixels), or run lengths down the columns of the whole image."""

    polygons: tuple[NDArray[np.float64], ...] = ()
    runs: NDArray[np.uint32] | None = None


class Window(NamedTuple):
    """A part of the picture, or more than it: what lies beyond is empty."""

    left: int
    top: int
    right: int
    bottom: int


class Size(NamedTuple):
    height: int
    width: int


class Mirror(NamedTuple):
    """Left for right."""


@dataclass(frozen=True)
class Masks:
    """The masks of one image's objects; what was done to the picture is done to them too, once they are decoded.

    >>> corner = Outline((np.array([0, 0, 2, 0, 2, 2, 0, 2], np.float64),))
    >>> Masks((corner,), Size(2, 4)).flipped().decode().int().tolist()
    [[[0, 0, 1, 1], [0, 0, 1, 1]]]
    """

    outlines: tuple[Outline, ...]
    size: Size  # of the image
    done: tuple[Window | Size | Mirror, ...] = ()

    def __len__(self) -> int:
        return len(self.outlines)

    def decode(self) -> Tensor:
        """The pixels: bool [G, H, W]."""
        packs = packed_all(replace(self, done=()))
        masks = torch.from_numpy(unpacked(packs)) if packs else torch.zeros(0, *self.size, dtype=torch.bool)
        for step in self.done:
            masks = _after(step, masks)
        return masks

    def take(self, rows: Iterable[int]) -> "Masks":
        """Those of these objects."""
        return replace(self, outlines=tuple(self.outlines[row] for row in rows))

    def cut(self, left: int, top: int, right: int, bottom: int) -> "Masks":
        """Those of a window of the picture, which may reach beyond it."""
        return self._then(Window(left, top, right, bottom))

    def resized(self, height: int, width: int) -> "Masks":
        return self._then(Size(height, width))

    def flipped(self) -> "Masks":
        return self._then(Mirror())

    def _then(self, step: Window | Size | Mirror) -> "Masks":
        return replace(self, done=(*self.done, step))


class Outlines:
    """The outlines of a whole set in a few arrays."""

    def __init__(self, outlines: Sequence[Any]) -> None:
        """`outlines` are COCO's: lists of polygons, run lengths, or None."""
        points: list[NDArray[np.float64]] = []
        runs: list[NDArray[np.uint32]] = []
        parts = np.zeros(len(outlines) + 1, np.int64)
        lengths = np.zeros(len(outlines) + 1, np.int64)
        for place, outline in enumerate(outlines, 1):
            if isinstance(outline, dict):
                runs.append(np.array(runs_of(outline), np.uint32))
                lengths[place] = len(runs[-1])
            elif outline:
                points += [np.asarray(polygon, np.float64) for polygon in outline]
                parts[place] = len(outline)
        self.points = np.concatenate(points) if points else np.zeros(0, np.float64)
        self.ends = np.cumsum([0, *map(len, points)])
        self.parts, self.lengths = np.cumsum(parts), np.cumsum(lengths)
        self.runs = np.concatenate(runs) if runs else np.zeros(0, np.uint32)

    def __getitem__(self, place: int) -> Outline:
        if self.lengths[place + 1] > self.lengths[place]:
            return Outline(runs=self.runs[self.lengths[place] : self.lengths[place + 1]])
        parts = range(self.parts[place], self.parts[place + 1])
        return Outline(tuple(self.points[self.ends[part] : self.ends[part + 1]] for part in parts))


def _after(step: Window | Size | Mirror, masks: Tensor) -> Tensor:
    if isinstance(step, Mirror):
        return masks.flip(2)
    if isinstance(step, Size):
        return F.interpolate(masks[:, None].to(torch.uint8), tuple(step), mode="nearest")[:, 0].bool()
    height, width = masks.shape[1:]
    beyond = (-step.left, step.right - width, -step.top, step.bottom - height)
    return F.pad(masks, beyond)
