"""torchvision's two SSDs: its priors, its picture sizes and colours, and what it keeps of the answers.

Losses are those of limbeck's SSD. Sides of priors end with the picture; a box that shrinks to less than a 62nd of its
prior, which torchvision lets shrink on, ends there; boxes without extent are no detections.
"""

from limbeck.backbones.mobilenet_v3_top import MobileNetV3Top
from limbeck.detection.detector import Design, Look
from limbeck.detection.priors import Level
from limbeck.detection.ssd import SSD, of_each_class
from limbeck.detection.ssd_models import at_side, ssd300, ssdlite
from limbeck.detection.suppress import Limits

_FEW, _MORE = (2,), (2, 3)
_LEVELS300 = (
    Level(8, 21, 45, _FEW, 300), Level(16, 45, 99, _MORE, 300), Level(32, 99, 153, _MORE, 300),
    Level(64, 153, 207, _MORE, 300), Level(100, 207, 261, _FEW, 300), Level(300, 261, 315, _FEW, 300),
)  # fmt: skip
_LEVELS320 = (
    Level(16, 64, 112, _MORE, 320), Level(32, 112, 160, _MORE, 320), Level(64, 160, 208, _MORE, 320),
    Level(320 / 3, 208, 256, _MORE, 320), Level(160, 256, 304, _MORE, 320), Level(320, 304, 320, _MORE, 320),
)  # fmt: skip


def ssd300_vgg16(classes: int) -> SSD:
    """torchvision's ssd300_vgg16.

    >>> sum(p.numel() for p in ssd300_vgg16(90).parameters())
    35641826
    """
    model = ssd300(classes)
    model.levels, model.kept = _LEVELS300, Limits(score=0.01, pairs=400, overlap=0.45, detections=200)
    model.candidates = of_each_class
    return model


def ssdlite320(classes: int, *, reduced: bool = True) -> SSD:
    """torchvision's ssdlite320_mobilenet_v3_large.

    >>> sum(p.numel() for p in ssdlite320(90).parameters())
    3440060
    """
    backbone = MobileNetV3Top(reduced=reduced)
    model = ssdlite(backbone, backbone.channels, classes)
    model.levels, model.kept = _LEVELS320, Limits(score=0.001, pairs=300, overlap=0.55, detections=300)
    model.candidates = of_each_class
    return model


_HALVES = (0.5, 0.5, 0.5)
_BYTES = 1 / 255
_LOOK320 = Look((320, 320), mean=_HALVES, std=_HALVES)

SSD300_VGG16 = Design(
    lambda classes, _: ssd300_vgg16(classes),
    Look((300, 300), mean=(0.48235, 0.45882, 0.40784), std=(_BYTES, _BYTES, _BYTES)),
    at=at_side,
)
SSDLITE320 = Design(lambda classes, _: ssdlite320(classes), _LOOK320, at=at_side)
SSDLITE320_WHOLE = Design(lambda classes, _: ssdlite320(classes, reduced=False), _LOOK320, at=at_side)
