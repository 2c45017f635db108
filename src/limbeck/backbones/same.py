"""Which of the networks are timm's own, and what is known of all of them without building one."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import timm
from torch import nn

from limbeck.backbones import BACKBONES

# the timm model that computes the same function, and the arguments that it takes for that
SAME_IN_TIMM: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "mobilenet_v1": ("mobilenetv1_100", {"act_layer": "relu"}),
    "hrnet_w18_c": ("hrnet_w18_ssld", {}),
    "resnet50_vd": ("resnet50d", {}),
    "resnet101_vd": ("resnet101d", {}),
    "resnet200_vd": ("resnet200d", {"layers": (3, 12, 48, 3)}),
    "resnext101_32x16d": ("resnext101_32x16d", {}),
}

# of these, timm's hub has the weights that the paper means
PUBLISHED = {
    "hrnet_w18_c": "hrnet_w18_ssld.paddle_in1k",
    "resnext101_32x16d": "resnext101_32x16d.fb_wsl_ig1b_ft_in1k",
}


def config_of(name: str) -> dict[str, Any]:
    """What the reference evaluates a network with, and where weights are published, in timm's terms.

    >>> config_of("resnet50_vd")["crop_pct"]
    0.875
    """
    from_hub = timm.get_pretrained_cfg(PUBLISHED.get(name, ""))
    return {
        **(asdict(from_hub) if from_hub else {}),
        "architecture": name,
        "tag": "in1k",
        "num_classes": 1000,
        "input_size": (3, 224, 224),
        "mean": (0.485, 0.456, 0.406),
        "std": (0.229, 0.224, 0.225),
        "interpolation": "bilinear",
        "crop_pct": 0.875,
    }


def definition_of(name: str) -> str:
    """Whose definition of a network its name means.

    >>> definition_of("mobilenet_v2"), definition_of("resnext101_32x16d"), definition_of("resnet50d")
    ('PaddleClas', 'timm', 'timm')
    """
    return "PaddleClas" if name in BACKBONES and SAME_IN_TIMM.get(name) != (name, {}) else "timm"


def described(model: nn.Module, name: str) -> nn.Module:
    """The model, with what is known of its network beside it, where timm looks for that."""
    model.pretrained_cfg = model.default_cfg = config_of(name)  # type: ignore[assignment]
    return model


def from_timm(name: str, num_classes: int, args: Mapping[str, Any]) -> nn.Module:
    """A network that is timm's, with random weights.

    >>> sum(p.numel() for p in from_timm("mobilenet_v1", 10, {}).parameters())
    3217226
    """
    same, own = SAME_IN_TIMM[name]
    return described(timm.create_model(same, num_classes=num_classes, **{**own, **args}), name)


def with_published(name: str, num_classes: int = 1000, **args: Any) -> nn.Module:
    """One of PUBLISHED, with its weights."""
    model = timm.create_model(PUBLISHED[name], pretrained=True, num_classes=num_classes, **args)
    return described(model, name)
