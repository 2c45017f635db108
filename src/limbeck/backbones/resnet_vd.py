"""ResNet-vd: timm's ResNet-D. That of 200 layers has depths of its own."""

from typing import Any

from torch import nn

from limbeck.backbones.same import from_timm


def resnet50_vd(num_classes: int = 1000, **args: Any) -> nn.Module:
    """ResNet50-vd."""
    return _resnet("resnet50_vd", num_classes, args)


def resnet101_vd(num_classes: int = 1000, **args: Any) -> nn.Module:
    """ResNet101-vd."""
    return _resnet("resnet101_vd", num_classes, args)


def resnet200_vd(num_classes: int = 1000, **args: Any) -> nn.Module:
    """ResNet200-vd: 3, 12, 48 and 3 blocks, where timm's resnet200d has 3, 24, 36 and 3."""
    return _resnet("resnet200_vd", num_classes, args)


def _resnet(name: str, num_classes: int, args: dict[str, Any]) -> nn.Module:
    # the reference's residual branches do not begin as nothing
    return from_timm(name, num_classes, {"zero_init_last": False, **args})
