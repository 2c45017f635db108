"""Which of the networks are timm's own, and what is known of all of them without building one."""

from collections.abc import Mapping
from typing import Any

import timm
from torch import nn

# the timm model that computes the same function, and the arguments that it takes for that
SAME_IN_TIMM: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "mobilenet_v1": ("mobilenetv1_100", {"act_layer": "relu"}),
    "hrnet_w18_c": ("hrnet_w18_ssld", {}),
    "resnet50_vd": ("resnet50d", {}),
    "resnet101_vd": ("resnet101d", {}),
    "resnet200_vd": ("resnet200d", {"layers": (3, 12, 48, 3)}),
    "resnext101_32x16d": ("resnext101_32x16d", {}),
}

# the paper's own weights of these are on timm's hub
PUBLISHED = {
    "hrnet_w18_c": "hrnet_w18_ssld.paddle_in1k",
    "resnext101_32x16d": "resnext101_32x16d.fb_wsl_ig1b_ft_in1k",
}


def config_of(name: str, num_classes: int = 1000) -> dict[str, Any]:
    """What the reference evaluates a network with, in timm's terms.

    >>> config_of("resnet50_vd")["crop_pct"]
    0.875
    """
    return {
        "architecture": name,
        "tag": "in1k",
        "num_classes": num_classes,
        "input_size": (3, 224, 224),
        "mean": (0.485, 0.456, 0.406),
        "std": (0.229, 0.224, 0.225),
        "interpolation": "bilinear",
        "crop_pct": 0.875,
    }


def described(model: nn.Module, name: str, num_classes: int) -> nn.Module:
    """The model, with what is known of its network beside it, where timm looks for that."""
    model.pretrained_cfg = model.default_cfg = config_of(name, num_classes)  # type: ignore[assignment]
    return model


def from_timm(name: str, num_classes: int, args: Mapping[str, Any], *, pretrained: bool = False) -> nn.Module:
    """A network that is timm's, with random weights, or those that its makers publish.

    >>> sum(p.numel() for p in from_timm("mobilenet_v1", 10, {}).parameters())
    3217226
    """
    same, own = SAME_IN_TIMM[name]
    same = PUBLISHED[name] if pretrained else same
    model = timm.create_model(same, pretrained=pretrained, num_classes=num_classes, **{**own, **args})
    return described(model, name, num_classes)
