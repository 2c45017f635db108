"""What a user may give as a picture or name as a device."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from limbeck.errors import ImagesError, OptionError
from limbeck.images.decode import decode


def device_named(name: str) -> torch.device:
    """`cpu`, `cuda`, `mps`, or `auto` for the best there is.

    >>> device_named("cpu")
    device(type='cpu')
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "auto": True}
    if not there.get(name.partition(":")[0]):
        known = ", ".join(each for each, available in there.items() if available)
        raise OptionError(f"device '{name}': there is none on this machine", expected=known, hint="--device auto")
    if name != "auto":
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def many(images: Any) -> Sequence[Any]:
    """One picture as a list of one, many as they are.

    >>> many("a.jpg"), many(("a.jpg", "b.jpg"))
    (['a.jpg'], ['a.jpg', 'b.jpg'])
    """
    if isinstance(images, str | Path | bytes | Image.Image | np.ndarray):
        return [images]
    return list(images)


def pixels_of(image: Any) -> Tensor:
    """uint8 [3, H, W] of whatever shows a picture."""
    if isinstance(image, str | Path):
        return decode(Path(image).read_bytes())
    if isinstance(image, bytes):
        return decode(image)
    if isinstance(image, Image.Image):
        return decode(_png(image))
    if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim in (2, 3):
        grey = image if image.ndim == 3 else image[:, :, None]
        if grey.shape[2] in (1, 3, 4):
            colours = np.repeat(grey, 3, axis=2) if grey.shape[2] == 1 else grey[:, :, :3]
            return torch.from_numpy(np.ascontiguousarray(colours.transpose(2, 0, 1)))
    found = (
        f"an array of {image.dtype}, {image.shape}" if isinstance(image, np.ndarray) else f"a {type(image).__name__}"
    )
    raise ImagesError(
        f"{found} is no image",
        expected="a path, bytes, a PIL image, or a uint8 array (height, width, 3)",
        hint="its path",
    )


def _png(image: Image.Image) -> bytes:
    # through the one decoder: it knows turned, 16-bit, palette and alpha images
    upright = ImageOps.exif_transpose(image)
    stream = io.BytesIO()
    keeps = upright.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
    (upright if keeps else upright.convert("RGB")).save(stream, format="PNG", compress_level=0)
    return stream.getvalue()
