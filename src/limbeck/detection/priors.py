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


def fitted(levels: Sequence[Level], share: float, strides: Sequence[float]) -> list[Level]:
    """The levels of an input `share` times as large: boxes grow with it, cells are as far apart as its maps have them.

    >>> fitted([Level(107, 202, 253, (2,))], 2.0, [213.0])
    [Level(stride=213.0, least=404.0, most=506.0, ratios=(2,), longest=inf)]
    """
    return [
        replace(level, stride=stride, least=share * level.least, most=share * level.most, longest=share * level.longest)
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
