"""The SSDs of the tables, and SSDLite on any backbone."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.backbones.mobilenet_v2_top import MobileNetV2Top
from limbeck.backbones.vgg import VGG16
from limbeck.detection.detector import Design, Look
from limbeck.detection.policies import MEAN
from limbeck.detection.priors import Level, fitted
from limbeck.detection.ssd import SSD
from limbeck.errors import OptionError
from limbeck.layers.blocks import L2Norm, Norm, conv_norm_relu6, conv_relu, separable

_FEW, _MORE = (2,), (2, 3)
_SSD300 = (
    Level(8, 21, 45, _FEW), Level(16, 45, 99, _MORE), Level(32, 99, 153, _MORE),
    Level(64, 153, 207, _MORE), Level(100, 207, 261, _FEW), Level(300, 261, 315, _FEW),
)  # fmt: skip
_SSD512 = (
    Level(8, 20, 51, _FEW), Level(16, 51, 133, _MORE), Level(32, 133, 215, _MORE), Level(64, 215, 296, _MORE),
    Level(128, 296, 378, _MORE), Level(256, 378, 460, _FEW), Level(512, 460, 542, _FEW),
)  # fmt: skip
_LITE320 = (
    Level(16, 48, 100, _MORE), Level(32, 100, 150, _MORE), Level(64, 150, 202, _MORE),
    Level(107, 202, 253, _MORE), Level(160, 253, 304, _MORE), Level(320, 304, 320, _MORE),
)  # fmt: skip
_OF_VGG16 = 26  # weights and biases of its thirteen convolutions
_TRUNCATED, _HEAD_DEVIATION = 0.03, 0.001


def ssd300(classes: int) -> SSD:
    """SSD at 300 x 300 on VGG16.

    >>> sum(p.numel() for p in ssd300(80).parameters())
    34305206
    """
    extras = [_step(1024, 512, 2, 1), _step(512, 256, 2, 1), _step(256, 256, 1, 0), _step(256, 256, 1, 0)]
    return _on_vgg(extras, (512, 1024, 512, 256, 256, 256), _SSD300, classes)


def ssd512(classes: int) -> SSD:
    """SSD at 512 x 512 on VGG16.

    >>> sum(p.numel() for p in ssd512(80).parameters())
    36038196
    """
    extras = [_step(1024, 512, 2, 1), *(_step(before, 256, 2, 1) for before in (512, 256, 256))]
    extras.append(_step(256, 256, 1, 1, kernel=4))
    return _on_vgg(extras, (512, 1024, 512, 256, 256, 256, 256), _SSD512, classes)


def ssdlite_mobilenetv2(classes: int) -> SSD:
    """SSDLite at 320 x 320 on MobileNetV2, as it is trained from scratch.

    >>> sum(p.numel() for p in ssdlite_mobilenetv2(80).parameters())
    4228788
    """
    model = ssdlite(MobileNetV2Top(), MobileNetV2Top.channels, classes)
    _begin(model.backbone, _truncated)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps, module.momentum = 1e-3, 0.03
    return model


def ssdlite(backbone: nn.Module, channels: Sequence[int], classes: int) -> SSD:
    """SSDLite at 320 x 320 on a backbone that gives maps of strides 16 and 32 with these channels."""
    norm: Norm = partial(nn.BatchNorm2d, eps=1e-3, momentum=0.03)
    widths = (*channels, 512, 256, 256, 128)
    extras = [
        nn.Sequential(conv_norm_relu6(before, after // 2, 1, norm), separable(after // 2, after, norm, stride=2))
        for before, after in pairwise(widths[1:])
    ]

    def head(width: int, outputs: int) -> nn.Module:
        return nn.Sequential(conv_norm_relu6(width, width, 3, norm, groups=width), nn.Conv2d(width, outputs, 1))

    model = _assembled(backbone, nn.Identity(), extras, widths, _LITE320, classes, head)
    _begin(model.extras, _truncated)
    for heads in (model.class_heads, model.box_heads):
        _begin(heads, _nearly_zero)
    return model


def _on_vgg(extras: Sequence[nn.Module], widths: Sequence[int], levels: Sequence[Level], classes: int) -> SSD:
    def head(width: int, outputs: int) -> nn.Module:
        return nn.Conv2d(width, outputs, 3, padding=1)

    model = _assembled(VGG16(), L2Norm(512, 20.0), extras, widths, levels, classes, head)
    _begin(model.backbone, partial(nn.init.kaiming_normal_, nonlinearity="relu"))
    for part in (model.extras, model.class_heads, model.box_heads):
        _begin(part, nn.init.xavier_uniform_)
    return model


def _assembled(
    backbone: nn.Module,
    first: nn.Module,
    extras: Sequence[nn.Module],
    widths: Sequence[int],
    levels: Sequence[Level],
    classes: int,
    head: Any,
) -> SSD:
    counts = [level.boxes_per_cell for level in levels]
    class_heads = [head(width, count * (classes + 1)) for width, count in zip(widths, counts, strict=True)]
    box_heads = [head(width, count * 4) for width, count in zip(widths, counts, strict=True)]
    return SSD(backbone, first, extras, class_heads, box_heads, levels, classes)


def _begin(part: nn.Module, draw: Callable[[Tensor], Tensor]) -> None:
    """First weights of convolutions; their biases are zero."""
    for module in part.modules():
        if isinstance(module, nn.Conv2d):
            draw(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


_truncated = partial(nn.init.trunc_normal_, std=_TRUNCATED)
_nearly_zero = partial(nn.init.normal_, std=_HEAD_DEVIATION)


def _step(inputs: int, outputs: int, stride: int, padding: int, kernel: int = 3) -> nn.Sequential:
    return nn.Sequential(conv_relu(inputs, outputs // 2, 1), conv_relu(outputs // 2, outputs, kernel, stride, padding))


def adopt_vgg16(model: SSD, classifier: nn.Module) -> bool:
    """The convolutions of torchvision's or timm's vgg16 into an SSD; false where the classifier is another network.

    >>> import torchvision
    >>> adopt_vgg16(ssd300(2), torchvision.models.get_model("vgg11", weights=None, num_classes=1))
    False
    """
    own = model.backbone.state_dict()
    given = {name: value for name, value in classifier.state_dict().items() if name.startswith("features.")}
    if len(given) != _OF_VGG16 or any(name not in own or own[name].shape != given[name].shape for name in given):
        return False
    model.backbone.load_state_dict(given, strict=False)
    return True


def at_side(model: SSD, own: int, side: int) -> None:
    """The priors of an SSD for another input than its own one.

    >>> model = ssdlite_mobilenetv2(2)
    >>> at_side(model, 320, 640)
    >>> [level.stride for level in model.levels], model.levels[0].least
    ([16.0, 32.0, 64.0, 128.0, 213.33333333333334, 320.0], 48.0)
    """
    trains = model.training
    try:
        with torch.no_grad():
            # one image is nothing to a norm that takes statistics
            maps = model.eval().maps(torch.zeros(1, 3, side, side))
    except RuntimeError as error:
        raise OptionError(
            f"{side} pixels: nothing is left for the last of this SSD's {len(model.levels)} maps",
            expected=f"a larger input; its own is {own}",
            hint=f"--size {own}",
        ) from error
    finally:
        model.train(trains)
    model.levels = tuple(fitted(model.levels, own, side, [side / each.shape[2] for each in maps]))


def _ssdlite_on(classes: int, backbone: Any) -> SSD:
    return ssdlite(backbone, backbone.channels, classes)


def _bytes(side: int) -> Look:
    """As the published VGG16 wants it: bytes without the mean colour."""
    red, green, blue = (each / 255 for each in MEAN)
    return Look((side, side), mean=(red, green, blue), std=(1 / 255, 1 / 255, 1 / 255))


SSD300 = Design(lambda classes, _: ssd300(classes), _bytes(300), own="vgg16", adopt=adopt_vgg16, at=at_side)
SSD512 = Design(lambda classes, _: ssd512(classes), _bytes(512), own="vgg16", adopt=adopt_vgg16, at=at_side)
SSDLITE_MOBILENETV2 = Design(lambda classes, _: ssdlite_mobilenetv2(classes), Look((320, 320)), at=at_side)
SSDLITE = Design(_ssdlite_on, Look((320, 320)), strides=(16, 32), at=at_side)
