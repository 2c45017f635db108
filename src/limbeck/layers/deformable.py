"""Convolutions whose places shift with what they see (arXiv 1703.06211)."""

from typing import Any

import torch
from torch import Tensor, nn
from torchvision.ops import deform_conv2d


class Deformable(nn.Module):
    """A 3x3 convolution that looks where a second one tells it; it begins as the convolution that it is made of."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        assert conv.bias is None, "a norm follows"
        self.weight = conv.weight
        self._shape: dict[str, Any] = {name: getattr(conv, name) for name in ("stride", "padding", "dilation")}
        places = 2 * conv.kernel_size[0] * conv.kernel_size[1]  # y and x of each
        self.conv_offset = nn.Conv2d(conv.in_channels, places, conv.kernel_size, **self._shape)  # type: ignore[arg-type]
        for values in self.conv_offset.parameters():
            nn.init.zeros_(values)

    def forward(self, x: Tensor) -> Tensor:
        where = self.conv_offset(x)
        with torch.autocast(x.device.type, enabled=False):  # torchvision has it in float32 on every device
            found: Tensor = deform_conv2d(x.float(), where.float(), self.weight, **self._shape)
        return found


def deformed(model: nn.Module, stages: tuple[str, ...] = ("layer2", "layer3", "layer4")) -> nn.Module:
    """A ResNet of timm's with deformable 3x3 convolutions in some stages.

    >>> import timm
    >>> type(deformed(timm.create_model("test_resnet")).layer2[0].conv2).__name__
    'Deformable'
    """
    for stage in stages:
        for block in model.get_submodule(stage).children():
            conv = block.get_submodule("conv2")
            assert isinstance(conv, nn.Conv2d)
            block.conv2 = Deformable(conv)
    return model
