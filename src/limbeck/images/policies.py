"""Colour policies by name: what is drawn on a view after its crop and flip. They draw from torch's CPU generator."""

from collections.abc import Callable
from functools import cache

from torch import Tensor
from torchvision.transforms import v2

from limbeck.tables import look_up

Colour = Callable[[Tensor], Tensor]

COLOURS = {
    "none": "limbeck.images.policies:none",
    "autoaugment": "limbeck.images.policies:autoaugment",
    "randaugment": "limbeck.images.policies:randaugment",
    "jitter": "limbeck.images.policies:jitter",
}

_GREY = [128.0, 128.0, 128.0]


@cache
def colour(name: str) -> Colour:
    """The colour policy of a name: uint8 [3, S, S] in and out.

    >>> import torch
    >>> colour("jitter")(torch.zeros(3, 8, 8, dtype=torch.uint8)).shape
    torch.Size([3, 8, 8])
    """
    make: Callable[[], Colour] = look_up("colour policy", name, COLOURS)
    return make()


def none() -> Colour:
    return lambda image: image


def autoaugment() -> Colour:
    bilinear = v2.InterpolationMode.BILINEAR
    return v2.AutoAugment(v2.AutoAugmentPolicy.IMAGENET, interpolation=bilinear, fill=_GREY)  # type: ignore[no-any-return]


def randaugment() -> Colour:
    return v2.RandAugment(2, 9, interpolation=v2.InterpolationMode.BILINEAR, fill=_GREY)  # type: ignore[no-any-return]


def jitter() -> Colour:
    return v2.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4)  # type: ignore[no-any-return]
