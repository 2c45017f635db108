"""uint8 images to what a network takes, and an image as it is shown at evaluation."""

from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import interpolate
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from limbeck.errors import unknown_name
from limbeck.images.decode import decode
from limbeck.records import Preprocess

INTERPOLATIONS = {
    "bilinear": InterpolationMode.BILINEAR,
    "bicubic": InterpolationMode.BICUBIC,
    "nearest": InterpolationMode.NEAREST,
}
_CURE = '"interpolation": "bicubic" among the preprocess facts of the model'


def evaluation_view(preprocess: Preprocess, data: bytes) -> Tensor:
    """The image as its model evaluates it, uint8 [3, h, w]: short side resized, centre cropped.

    >>> import numpy, simplejpeg
    >>> jpeg = simplejpeg.encode_jpeg(numpy.zeros((375, 500, 3), numpy.uint8))
    >>> evaluation_view(Preprocess(size=(224, 224)), jpeg).shape
    torch.Size([3, 224, 224])
    """
    return centre_view(preprocess, decode(data))


def centre_view(preprocess: Preprocess, photo: Tensor) -> Tensor:
    """`evaluation_view` of a decoded photo, uint8 [3, H, W]."""
    if preprocess.interpolation not in INTERPOLATIONS:
        raise unknown_name("interpolation", preprocess.interpolation, INTERPOLATIONS, hint=_CURE)
    height, width = photo.shape[1:]
    shown_height, shown_width = preprocess.size
    margin = preprocess.resize_short() / min(preprocess.size)
    factor = margin * max(shown_height / height, shown_width / width)
    # the lengths are exact fractions: what rounding took off a whole number is given back
    lengths = [int(length * factor + 1e-6) for length in (height, width)]
    interpolation = INTERPOLATIONS[preprocess.interpolation]
    resized = F.resize(photo, lengths, interpolation=interpolation, antialias=True)
    view: Tensor = F.center_crop(resized, [shown_height, shown_width])
    return view


def to_input(
    images: Tensor,
    size: tuple[int, int],
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
) -> Tensor:
    """Images from 0 to 255 [B, 3, H, W] to normalised float32 [B, 3, h, w], channels last, on their device.

    Bytes as a rule; floats where colours were changed beyond the range of bytes.

    >>> to_input(torch.zeros(2, 3, 64, 64, dtype=torch.uint8), (32, 32), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)).unique()
    tensor([-1.])
    """
    assert images.dtype in (torch.uint8, torch.float16, torch.float32)
    own = images.dtype == torch.float32  # which is written to below
    whole = images.to(torch.float32, memory_format=torch.channels_last, copy=own)
    if whole.shape[2:] != size:
        whole = interpolate(whole, size, mode="bilinear", antialias=True).contiguous(memory_format=torch.channels_last)
    factor, offset = _rows(size[1], mean, std, images.device)
    rows = whole.permute(0, 2, 3, 1).view(len(whole), size[0], size[1] * 3)
    rows.mul_(factor).add_(offset)
    return whole


@cache
def _rows(
    width: int, mean: tuple[float, float, float], std: tuple[float, float, float], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Factor and offset for a whole row of pixels: long rows are what the CPU does fast."""
    means, stds = torch.tensor(mean, device=device), torch.tensor(std, device=device)
    return (1 / (255 * stds)).repeat(width), (-means / stds).repeat(width)
