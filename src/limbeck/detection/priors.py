"""SSD's priors: boxes of several sizes and shapes around the centre of each cell of each level."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf, sqrt

import torch
from torch import Tensor

from limbeck.detection.remembered import remembered


@dataclass(frozen=True)
class Level:
    """A pyramid level: pixels from cell to cell, sides of squares, how oblong its other boxes are, the longest side.

    >>> Level(8, 21, 45, (2,)).boxes_per_cell
    4
    """

    stride: float
    least: float
    most: float
    ratios: tuple[int, ...]
    longest: float = inf

    @property
    def boxes_per_cell(self) -> int:
        return 2 + 2 * len(self.ratios)

    def shapes(self) -> list[tuple[float, float]]:
        """Width and height of each box of a cell: the small square, the middle one, then wide and tall in turn."""
        middle = sqrt(self.least * self.most)
        oblong = [(self.least * sqrt(r), self.least / sqrt(r)) for ratio in self.ratios for r in (ratio, 1 / ratio)]
        every = [(self.least, self.least), (middle, middle), *oblong]
        return [(min(width, self.longest), min(height, self.longest)) for width, height in every]


def fitted(levels: Sequence[Level], own: int, side: int, strides: Sequence[float]) -> list[Level]:
    """Levels made for an input of side `own`, for another: cells are as far apart as its maps have them.

    The smallest square stays, as SSD512's is SSD300's: what is small is counted in cells of a map. For a larger input
    the largest still fills the image, and the others lie between as they did; for a smaller one none is larger than it.

    >>> fitted([Level(16, 48, 184, (2,)), Level(107, 184, 320, (2,))], 320, 640, [16.0, 213.0])[1]
    Level(stride=213.0, least=344.0, most=640.0, ratios=(2,), longest=inf)
    """
    first = levels[0].least

    def fit(extent: float) -> float:
        return min(extent, side) if side < own else first + (extent - first) * (side - first) / (own - first)

    def bound(longest: float) -> float:
        return longest if longest == inf else fit(longest)

    return [
        replace(level, stride=stride, least=fit(level.least), most=fit(level.most), longest=bound(level.longest))
        for level, stride in zip(levels, strides, strict=True)
    ]


def priors(levels: Sequence[Level], sizes: Sequence[tuple[int, int]], device: torch.device) -> list[Tensor]:
    """The priors of maps of these heights and widths, [H x W x boxes of a cell, 4] for each level.

    >>> [len(each) for each in priors([Level(8, 21, 45, (2,))], [(38, 38)], torch.device("cpu"))]
    [5776]
    """
    return [_of_level(level, height, width, device) for level, (height, width) in zip(levels, sizes, strict=True)]


@remembered
def _of_level(level: Level, height: int, width: int, device: torch.device) -> Tensor:
    shapes = torch.tensor(level.shapes(), dtype=torch.float64)
    y, x = ((torch.arange(count, dtype=torch.float64) + 0.5) * level.stride for count in (height, width))
    middle = torch.stack([x.expand(height, width), y[:, None].expand(height, width)], -1)[:, :, None]
    boxes = torch.cat([middle - shapes / 2, middle + shapes / 2], -1)
    return boxes.reshape(-1, 4).float().to(device)
