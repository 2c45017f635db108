"""MobileNetV1, V2 and V3 as the reference defines them."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch.nn.functional as F
from timm.models._efficientnet_blocks import SqueezeExcite
from timm.models._efficientnet_builder import decode_arch_def
from timm.models.efficientnet import EfficientNet
from timm.models.mobilenetv3 import MobileNetV3
from torch import Tensor, nn

from limbeck.backbones.same import described, from_timm

# blocks in timm's words; where the reference has an expansion of 1, it has the convolution too: ir_..._e1, not ds_
_V2 = (
    ("ir_r1_k3_s1_e1_c16",),
    ("ir_r2_k3_s2_e6_c24",),
    ("ir_r3_k3_s2_e6_c32",),
    ("ir_r4_k3_s2_e6_c64",),
    ("ir_r3_k3_s1_e6_c96",),
    ("ir_r3_k3_s2_e6_c160",),
    ("ir_r1_k3_s1_e6_c320",),
)
_V3_SMALL = (
    ("ir_r1_k3_s2_e1_c16_se0.25_nre",),
    ("ir_r1_k3_s2_e4.5_c24_nre", "ir_r1_k3_s1_e3.67_c24_nre"),
    ("ir_r1_k5_s2_e4_c40_se0.25", "ir_r2_k5_s1_e6_c40_se0.25"),
    ("ir_r2_k5_s1_e3_c48_se0.25",),
    ("ir_r3_k5_s2_e6_c96_se0.25",),
    ("cn_r1_k1_s1_c576",),
)
_V3_LARGE = (
    ("ir_r1_k3_s1_e1_c16_nre",),
    ("ir_r1_k3_s2_e4_c24_nre", "ir_r1_k3_s1_e3_c24_nre"),
    ("ir_r3_k5_s2_e3_c40_se0.25_nre",),
    ("ir_r1_k3_s2_e6_c80", "ir_r1_k3_s1_e2.5_c80", "ir_r2_k3_s1_e2.3_c80"),
    ("ir_r2_k3_s1_e6_c112_se0.25",),
    ("ir_r3_k5_s2_e6_c160_se0.25",),
    ("cn_r1_k1_s1_c960",),
)


class HardSigmoid(nn.Module):
    """The reference's: its slope is 0.2, where torch's is 1/6.

    >>> import torch
    >>> HardSigmoid()(torch.tensor([-3.0, 1.0, 3.0]))
    tensor([0.0000, 0.7000, 1.0000])
    """

    def forward(self, values: Tensor) -> Tensor:
        return (0.2 * values + 0.5).clamp(0, 1)


class Dropout(nn.Module):
    """The reference's dropout: what it keeps it leaves as it is in training, and at inference all is scaled down.

    >>> import torch
    >>> Dropout(0.2).eval()(torch.ones(2))
    tensor([0.8000, 0.8000])
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, values: Tensor) -> Tensor:
        return F.dropout(values, self.rate, self.training) * (1 - self.rate)

    def extra_repr(self) -> str:
        return f"rate={self.rate}"


def mobilenet_v1(num_classes: int = 1000, **args: Any) -> nn.Module:
    """MobileNetV1 with ReLU: timm's has ReLU6."""
    return from_timm("mobilenet_v1", num_classes, args)


def mobilenet_v2(num_classes: int = 1000, **args: Any) -> nn.Module:
    """MobileNetV2 with ReLU6, and an expanding convolution in its first block too."""
    network = EfficientNet(
        _blocks(_V2),
        num_classes=num_classes,
        num_features=1280,
        stem_size=32,
        **{"act_layer": nn.ReLU6, **args},
    )
    return described(network, "mobilenet_v2")


def mobilenet_v3_small(num_classes: int = 1000, *, drop_rate: float = 0.2, **args: Any) -> nn.Module:
    """MobileNetV3-small. With a `drop_rate` of 0 nothing is scaled at inference either."""
    return _v3("mobilenet_v3_small", _V3_SMALL, num_classes, drop_rate, args)


def mobilenet_v3_large(num_classes: int = 1000, *, drop_rate: float = 0.2, **args: Any) -> nn.Module:
    """MobileNetV3-large. With a `drop_rate` of 0 nothing is scaled at inference either."""
    return _v3("mobilenet_v3_large", _V3_LARGE, num_classes, drop_rate, args)


def _v3(
    name: str, stages: Sequence[Sequence[str]], num_classes: int, drop_rate: float, args: dict[str, Any]
) -> nn.Module:
    gates = partial(SqueezeExcite, gate_layer=HardSigmoid, force_act_layer=nn.ReLU, rd_round_fn=int)
    network = MobileNetV3(
        _blocks(stages),
        num_classes=num_classes,
        num_features=1280,
        head_bias=False,
        **{"act_layer": nn.Hardswish, "se_layer": gates, **args},
    )
    network.act2 = nn.Sequential(network.act2, Dropout(drop_rate))  # type: ignore[assignment]
    _end_at_the_last_block(network)
    return described(network, name)


def _blocks(stages: Sequence[Sequence[str]]) -> Any:
    return decode_arch_def([list(stage) for stage in stages])  # type: ignore[no-untyped-call]


def _end_at_the_last_block(network: MobileNetV3) -> None:
    """The reference's detectors take the last block's map, where timm takes that of the convolution behind it."""
    network.stage_ends[-1] -= 1
    place = network.stage_ends[-1]
    block: Any = network.blocks[place - 1]
    network.feature_info[-1] |= {
        "stage": place,
        "module": f"blocks.{place - 1}",
        "num_chs": block[-1].conv_pwl.out_channels,
    }
