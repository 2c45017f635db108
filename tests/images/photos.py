"""Photos that the image tests draw."""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def pixels(height: int = 96, width: int = 128, seed: int = 0) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Smooth colours with some grain, so that every place looks different and JPEG keeps it well."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 16 + 2, width // 16 + 2, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC), dtype=np.int16)
    return np.clip(smooth + rng.integers(-6, 7, smooth.shape), 0, 255).astype(np.uint8)


def encoded(image: Image.Image, kind: str, orientation: int = 1, **options: Any) -> bytes:
    if orientation != 1:
        exif = Image.Exif()
        exif[0x0112] = orientation
        options["exif"] = exif
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def jpeg(height: int = 96, width: int = 128, seed: int = 0, orientation: int = 1) -> bytes:
    return encoded(Image.fromarray(pixels(height, width, seed)), "JPEG", orientation, quality=90)


def folder_of(root: Path, count: int, height: int = 48, width: int = 64) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (root / f"{number:03d}.jpg").write_bytes(jpeg(height, width, seed=number))
    return root


def edit(photo: Path) -> None:
    """Change a photo in its place: other pixels, the same length."""
    before = photo.stat()
    data = bytearray(photo.read_bytes())
    data[-20] ^= 1
    with photo.open("r+b") as file:
        file.write(data)
    later = before.st_mtime_ns + 1_000_000  # the clock of a file system may stand still for some milliseconds
    os.utime(photo, ns=(before.st_atime_ns, max(photo.stat().st_mtime_ns, later)))
