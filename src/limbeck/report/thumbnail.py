"""Small pictures for the page."""

import io

from PIL import Image
from torch import Tensor

SIDE = 160


def thumbnail(pixels: Tensor) -> bytes:
    """A uint8 image [3, H, W] as a JPEG of at most 160 pixels a side.

    >>> import torch
    >>> thumbnail(torch.zeros(3, 480, 640, dtype=torch.uint8))[:2].hex()
    'ffd8'
    """
    image = Image.fromarray(pixels.permute(1, 2, 0).cpu().numpy())
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    image.save(data, "JPEG", quality=82)
    return data.getvalue()
