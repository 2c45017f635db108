"""timm's MobileNetV2 with its last convolution as a map: what SSDLite looks at."""

import timm
from torch import Tensor, nn


class MobileNetV2Top(nn.Module):
    """The maps behind the fifth stage and behind the last convolution; tensors are named as timm names them."""

    channels, strides = (96, 1280), (16, 32)

    def __init__(self, **args: object) -> None:
        super().__init__()
        whole = timm.create_model("mobilenetv2_100", num_classes=0, **args)
        self.conv_stem, self.bn1, self.blocks = whole.conv_stem, whole.bn1, whole.blocks
        self.conv_head, self.bn2 = whole.conv_head, whole.bn2

    def forward(self, images: Tensor) -> list[Tensor]:
        near: Tensor = self.blocks[:5](self.bn1(self.conv_stem(images)))
        return [near, self.bn2(self.conv_head(self.blocks[5:](near)))]
