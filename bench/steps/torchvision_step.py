"""torchvision's own step: its SSD300, and its SSDLite head, losses and matcher on the backbones that limbeck uses."""

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from serve import DECAY, LR, MOMENTUM, Photos, serve
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.ssd import SSD, ssd300_vgg16
from torchvision.models.detection.ssdlite import SSDLiteHead, _extra_block

from limbeck.backbones.features import Features
from limbeck.backbones.mobilenet_v2_top import MobileNetV2Top
from limbeck.checkpoints.card import named

CLASSES = 81
EXTRAS = (512, 256, 256, 128)


class Maps(nn.Module):
    """As torchvision's own feature extractor, on any backbone."""

    def __init__(self, backbone: Any, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.backbone = backbone
        self.channels = [*backbone.channels, *EXTRAS]
        self.extra = nn.ModuleList(_extra_block(*pair, norm) for pair in zip(self.channels[1:], EXTRAS))

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        maps = list(self.backbone(images))
        for extra in self.extra:
            maps.append(extra(maps[-1]))
        return OrderedDict((str(number), each) for number, each in enumerate(maps))


def ssdlite(backbone: nn.Module) -> SSD:
    norm = partial(nn.BatchNorm2d, eps=0.001, momentum=0.03)
    maps = Maps(backbone, norm)
    anchors = DefaultBoxGenerator([[2, 3] for _ in range(6)], min_ratio=0.2, max_ratio=0.95)
    head = SSDLiteHead(maps.channels, anchors.num_anchors_per_location(), CLASSES, norm)
    return SSD(maps, anchors, (320, 320), CLASSES, head=head)


MODELS: dict[str, Callable[[], nn.Module]] = {
    "ssd300": lambda: ssd300_vgg16(weights=None, weights_backbone=None, num_classes=CLASSES),
    "ssdlite_mobilenetv2": lambda: ssdlite(MobileNetV2Top()),
    "ssdlite_mobilenetv3": lambda: ssdlite(Features(named("mobilenet_v3_large").build(), (16, 32))),
}


def make(model: str, photos: Photos, variant: str) -> Callable[[], dict[str, float]]:
    network = MODELS[model]().train()
    optimizer = torch.optim.SGD(network.parameters(), LR, MOMENTUM, weight_decay=DECAY)
    images = [each.contiguous() for each in photos["images"]]
    truth = [
        {"boxes": boxes, "labels": labels + 1} for boxes, labels in zip(photos["boxes"], photos["labels"], strict=True)
    ]

    def step() -> dict[str, float]:
        losses = network([each.float() / 255 for each in images], truth)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        return {}

    return step


if __name__ == "__main__":
    serve(make)
