"""timm's MobileNetV2 with its last convolution as a map: what SSDLite looks at."""

from typing import Any

import timm
from torch import Tensor, nn


class MobileNetV2Top(nn.Module):
    """The maps behind the fifth stage and behind the last convolution; tensors are named as timm names them."""

    channels, strides = (96, 1280), (16, 32)

    def __init__(self, **args: Any) -> None:
        super().__init__()
        whole: Any = timm.create_model("mobilenetv2_100", num_classes=0, **args)
        self.conv_stem: nn.Module = whole.conv_stem
        self.bn1: nn.Module = whole.bn1
        self.blocks: nn.Sequential = whole.blocks
        self.conv_head: nn.Module = whole.conv_head
        self.bn2: nn.Module = whole.bn2

    def forward(self, images: Tensor) -> list[Tensor]:
        near: Tensor = self.blocks[:5](self.bn1(self.conv_stem(images)))
        return [near, self.bn2(self.conv_head(self.blocks[5:](near)))]
