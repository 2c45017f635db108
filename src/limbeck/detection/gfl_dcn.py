"""GFL on a ResNet whose later stages look where they choose to: the strong teacher of localization distillation."""

from typing import Any

from limbeck.detection.detector import Design
from limbeck.detection.gfl import DESIGN as PLAIN
from limbeck.detection.gfl import GFL
from limbeck.errors import OptionError
from limbeck.layers.deformable import deformed


def _on(classes: int, backbone: Any) -> GFL:
    try:
        deformed(backbone.model)
    except (AttributeError, AssertionError):
        raise OptionError(
            f"gfl_dcn on a {type(backbone.model).__name__}", expected="a ResNet of timm's", hint="--backbone resnet50"
        ) from None
    return GFL(backbone, backbone.channels, classes)


DESIGN = Design(_on, PLAIN.look, PLAIN.strides)
