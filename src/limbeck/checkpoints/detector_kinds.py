"""The detectors of others that limbeck has: how theirs is told, how its tensors are called, what it may be made on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import torch
from torch import Tensor

from limbeck.checkpoints.renames import mmdet, torchvision_ssd
from limbeck.checkpoints.renames.mmdet import Patterns, renamed

MMDETECTION: Final = "mmdetection"
TORCHVISION: Final = "torchvision"
_RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d", "resnext101_32x4d")
_RESNEXT = "resnext101_64x4d"


@dataclass(frozen=True)
class Kind:
    """A detector of limbeck's table and whose names it has there. `head` gives the logits, `per_class` of a class.

    `per_class` counts the boxes of a place; `background` says where the class of nothing is; `priors` are what their
    config says of boxes that come before any answer, and what no tensor tells.
    """

    name: str
    family: Literal["mmdetection", "torchvision"]
    patterns: Patterns
    head: str
    per_class: int
    background: Literal["none", "first", "last"] = "none"
    backbones: tuple[str, ...] = ()
    priors: Mapping[str, Any] = field(default_factory=dict)
    mark: str = ""  # a part of a name that only its tensors have

    def classes(self, weights: Mapping[str, Tensor]) -> int:
        """How many classes a file's head has, without that of nothing; 0 where it has none."""
        head = weights.get(self.head)
        channels = len(head) if head is not None and head.ndim else 0
        return max(channels // self.per_class - (self.background != "none"), 0)

    def ours(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors under limbeck's names, the background's channel last."""
        state = {renamed(name, self.patterns): value for name, value in weights.items() if name != mmdet.CONSTANT}
        scales = [name for name in state if mmdet.SCALES.match(name)]
        if scales:
            state["scales"] = torch.stack([state.pop(name).reshape(()) for name in scales])
        if self.background != "first":
            return state
        classes = self.classes(weights) + 1
        return {name: _rolled(value, classes) if _is_logits(name) else value for name, value in state.items()}


def _is_logits(name: str) -> bool:
    """Whether this is of the last layer of a class head: `class_heads.0.bias`, `class_heads.0.1.bias`."""
    return name.startswith("class_heads.") and name.rpartition(".")[0].split(".")[2:] in ([], ["1"])


def _rolled(value: Tensor, classes: int) -> Tensor:
    if not value.ndim or len(value) % classes:
        return value  # which does not fit, and is told so
    return value.reshape(-1, classes, *value.shape[1:]).roll(-1, 1).reshape(value.shape)


_SSD, _LITE = "bbox_head.cls_convs.0.0.weight", "bbox_head.cls_convs.0.1.weight"
_THEIRS, _THEIR_LITE = (f"head.classification_head.module_list.0.{last}weight" for last in ("", "1."))

_300 = {"basesize_ratio_range": [0.15, 0.9], "strides": [8, 16, 32, 64, 100, 300]}
_512 = {"basesize_ratio_range": [0.1, 0.9], "strides": [8, 16, 32, 64, 128, 256, 512]}
_320 = {"min_sizes": [48, 100, 150, 202, 253, 304], "max_sizes": [100, 150, 202, 253, 304, 320]}
_SQUARES = {"octave_base_scale": 8, "scales_per_octave": 1, "ratios": [1.0], "strides": [8, 16, 32, 64, 128]}
_NINE = {"octave_base_scale": 4, "scales_per_octave": 3, "ratios": [0.5, 1.0, 2.0], "strides": [8, 16, 32, 64, 128]}
_GFL, _RETINA = "bbox_head.gfl_cls.weight", "bbox_head.retina_cls.weight"

KINDS = (
    Kind("ssd300", MMDETECTION, mmdet.SSD, _SSD, 4, "last", priors=_300),
    Kind("ssd512", MMDETECTION, mmdet.SSD, _SSD, 4, "last", priors=_512),
    Kind("ssdlite_mobilenetv2", MMDETECTION, mmdet.SSDLITE, _LITE, 6, "last", priors=_320),
    Kind("gfl", MMDETECTION, mmdet.GFL, _GFL, 1, backbones=(*_RESNETS, _RESNEXT), priors=_SQUARES),
    Kind("gfl_dcn", MMDETECTION, mmdet.GFL, _GFL, 1, backbones=_RESNETS[:5], priors=_SQUARES, mark="conv_offset"),
    Kind("retinanet", MMDETECTION, mmdet.RETINANET, _RETINA, 9, backbones=(*_RESNETS, _RESNEXT), priors=_NINE),
    Kind("ssd300_vgg16", TORCHVISION, torchvision_ssd.SSD300, _THEIRS, 4, "first"),
    Kind("ssdlite320_mobilenet_v3_large", TORCHVISION, torchvision_ssd.SSDLITE320, _THEIR_LITE, 6, "first"),
    Kind("ssdlite320_mobilenet_v3_large_whole", TORCHVISION, torchvision_ssd.SSDLITE320, _THEIR_LITE, 6, "first"),
)
