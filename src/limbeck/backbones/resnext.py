"""ResNeXt101-32x16d, the paper's largest teacher: timm's."""

from typing import Any

from torch import nn

from limbeck.backbones.same import from_timm


def resnext101_32x16d(num_classes: int = 1000, **args: Any) -> nn.Module:
    """ResNeXt101-32x16d."""
    return from_timm("resnext101_32x16d", num_classes, args)
