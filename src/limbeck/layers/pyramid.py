"""The feature pyramid: coarse maps added to finer ones (arXiv 1612.03144)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Pyramid(nn.Module):
    """Maps of equal width from a backbone's maps, and `coarser` further ones, each half as large as the one before.

    The further ones begin from the pyramid's last map, or from the backbone's where `from_backbone`.
    """

    def __init__(
        self,
        channels: Sequence[int],
        width: int = 256,
        *,
        coarser: int = 0,
        from_backbone: bool = False,
        relu_between: bool = False,
    ) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(each, width, 1) for each in channels)
        self.output = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in channels)
        first = channels[-1] if from_backbone else width
        self.coarser = nn.ModuleList(
            nn.Conv2d(width if level else first, width, 3, stride=2, padding=1) for level in range(coarser)
        )
        self.from_backbone, self.relu_between = from_backbone, relu_between

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        sums = [lateral(each) for lateral, each in zip(self.lateral, maps, strict=True)]
        for level in range(len(sums) - 1, 0, -1):
            sums[level - 1] = sums[level - 1] + F.interpolate(sums[level], size=sums[level - 1].shape[2:])
        found = [output(each) for output, each in zip(self.output, sums, strict=True)]
        last = maps[-1] if self.from_backbone else found[-1]
        for number, conv in enumerate(self.coarser):
            last = _halved(conv, last.relu() if number and self.relu_between else last)
            found.append(last)
        return found


def _halved(conv: nn.Module, map_: Tensor) -> Tensor:
    """In bfloat16 on a CPU the gradient of such a layer's weights is memory that nobody wrote where its input is one
    place wide (torch 2.15)."""
    if map_.device.type != "cpu" or map_.shape[3] > 1:
        return conv(map_)  # type: ignore[no-any-return]
    with torch.autocast("cpu", enabled=False):
        return conv(map_.float())  # type: ignore[no-any-return]
