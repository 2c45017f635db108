"""Anchors of several sizes and shapes around each place of each level."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from limbeck.detection.remembered import remembered


@dataclass(frozen=True)
class Anchors:
    """Boxes of a place: `sizes` times the stride as the side of a square of equal area, height over width `ratios`.

    >>> Anchors((8,), (4.0,), (0.5, 1.0)).boxes_per_cell
    2
    """

    strides: tuple[int, ...]
    sizes: tuple[float, ...]
    ratios: tuple[float, ...]

    @property
    def boxes_per_cell(self) -> int:
        return len(self.sizes) * len(self.ratios)

    def boxes(self, maps: Sequence[tuple[int, int]], device: torch.device) -> list[Tensor]:
        """Those of maps of these heights and widths, [H x W x boxes of a cell, 4] for each level."""
        return [_of_level(self, stride, size, device) for stride, size in zip(self.strides, maps, strict=True)]


@remembered
def _of_level(anchors: Anchors, stride: int, size: tuple[int, int], device: torch.device) -> Tensor:
    ratios = torch.tensor(anchors.ratios, dtype=torch.float64).sqrt()[:, None]
    sides = torch.tensor(anchors.sizes, dtype=torch.float64) * stride
    shapes = torch.stack([sides / ratios, sides * ratios], -1).flatten(0, 1)  # ratio by ratio
    y, x = (torch.arange(count, dtype=torch.float64) * stride for count in size)
    middle = torch.stack([x.expand(size), y[:, None].expand(size)], -1)[:, :, None]
    return torch.cat([middle - shapes / 2, middle + shapes / 2], -1).reshape(-1, 4).float().to(device)
