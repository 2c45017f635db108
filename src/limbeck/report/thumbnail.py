"""Small pictures for the page."""

import io

from PIL import Image
from torch import Tensor

SIDE = 160


def thumbnail(pixels: Tensor, side: int = SIDE) -> bytes:
    """A uint8 image [3, H, W] as a JPEG of at most so many pixels a side.

    >>> import torch
    >>> thumbnail(torch.zeros(3, 480, 640, dtype=torch.uint8))[:2].hex()
    'ffd8'
    """
    image = Image.fromarray(pixels.permute(1, 2, 0).cpu().numpy())
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    image.save(data, "JPEG", quality=82)
    return data.getvalue()
