"""torchvision's MobileNetV3-Large as its SSDLite looks at it: inside of the last stage, and behind the last layer."""

from functools import partial
from typing import Any

import torchvision.models as vision
from torch import Tensor, nn

_LAST_STAGE = 13


class MobileNetV3Top(nn.Module):
    """The maps behind the expansion of the last stage's first block, and behind the last convolution.

    With `reduced`, the last stage is half as wide, as it is where no classifier's weights are in it.
    """

    strides = (16, 32)

    def __init__(self, *, reduced: bool = True) -> None:
        super().__init__()
        norm = partial(nn.BatchNorm2d, eps=1e-3, momentum=0.03)
        whole: Any = vision.get_model("mobilenet_v3_large", weights=None, reduced_tail=reduced, norm_layer=norm)
        layers, split = list(whole.features), whole.features[_LAST_STAGE].block
        near = nn.Sequential(*layers[:_LAST_STAGE], split[0])
        # a slice keeps torchvision's numbers: 1, 2 and 3
        self.features = nn.ModuleList([near, nn.Sequential(split[1:], *layers[_LAST_STAGE + 1 :])])
        self.channels = (672, 480 if reduced else 960)

    def forward(self, images: Tensor) -> list[Tensor]:
        near, far = self.features
        first: Tensor = near(images)
        return [first, far(first)]
