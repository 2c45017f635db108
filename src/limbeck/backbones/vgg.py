"""VGG16 as SSD uses it: every pool keeps the last odd row, the classifier's first layers as dilated convolutions."""

from torch import Tensor, nn

_WIDTHS = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512)  # 0: a pool
_AFTER_CONV4_3, _LAST = 22, 34


class VGG16(nn.Module):
    """The maps behind conv4_3 and behind fc7; layers are numbered as in torchvision's and timm's vgg16."""

    channels, strides = (512, 1024), (8, 16)

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for width in _WIDTHS:
            if width:
                layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU(inplace=True)]
                before = width
            else:
                layers.append(nn.MaxPool2d(2, ceil_mode=True))
        layers += [
            nn.MaxPool2d(3, 1, 1),
            nn.Conv2d(512, 1024, 3, padding=6, dilation=6),
            nn.ReLU(inplace=True),
            nn.Conv2d(1024, 1024, 1),
            nn.ReLU(inplace=True),
        ]
        self.features = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> list[Tensor]:
        near = self.features[: _AFTER_CONV4_3 + 1](images)
        return [near, self.features[_AFTER_CONV4_3 + 1 :](near)]
