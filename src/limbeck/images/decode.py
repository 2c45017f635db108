"""Bytes to pixels: the formats people have, turned as their EXIF says, or a plain reason why not."""

import io
import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import simplejpeg
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from limbeck.images.limits import MOST_PIXELS

Pixels = npt.NDArray[np.uint8]

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
_ORIENTATION = 0x0112
_COARSEST = 3
# libjpeg halves up to three times, and these of its complaints mean lost pixels; Pillow judges all the others
_LOST_PIXELS = ("premature end", "bad huffman code", "resync")

_TURNS: dict[int, Callable[[Pixels], Pixels]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels[::-1].swapaxes(0, 1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: pixels[:, ::-1].swapaxes(0, 1),
}


class Unreadable(ValueError):
    """Bytes that are no whole image, with the reason in plain words."""


def decode(data: bytes, *, smallest: tuple[int, int] | None = None) -> Tensor:
    """The image as uint8 [3, H, W]: RGB, turned as its EXIF says, alpha dropped, 16 bits scaled to 8.

    `smallest` is the least (height, width) that will do: a JPEG at least twice as large comes out at 1/2, 1/4 or 1/8.

    >>> jpeg = simplejpeg.encode_jpeg(np.zeros((600, 800, 3), np.uint8))
    >>> decode(jpeg).shape, decode(jpeg, smallest=(150, 200)).shape
    (torch.Size([3, 600, 800]), torch.Size([3, 150, 200]))
    """
    pixels = _decode_jpeg(data, smallest) if _is_jpeg(data) else None
    if pixels is None:
        pixels = _decode_pillow(data)
    return torch.from_numpy(pixels).permute(2, 0, 1)


def photo_size(data: bytes) -> tuple[int, int]:
    """(height, width) as `decode` would give them, from the header alone.

    >>> photo_size(simplejpeg.encode_jpeg(np.zeros((600, 800, 3), np.uint8)))
    (600, 800)
    """
    header = _jpeg_header(data) if _is_jpeg(data) else None
    if header is not None:
        height, width, _ = header
        turned = _jpeg_orientation(data) >= 5
    else:
        with _pillow(data) as image:
            width, height = image.size
            # Pillow gives the size of a TIFF turned already
            turned = image.format != "TIFF" and image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
    return (width, height) if turned else (height, width)


def _is_jpeg(data: bytes) -> bool:
    return data[:3] == b"\xff\xd8\xff"


def _jpeg_header(data: bytes) -> tuple[int, int, str] | None:
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return None
    _refuse_bomb(height, width)
    return height, width, colours


def _decode_jpeg(data: bytes, smallest: tuple[int, int] | None) -> Pixels | None:
    """None where Pillow knows more: CMYK, rare samplings, harmless oddities."""
    header = _jpeg_header(data)
    if header is None or header[2] not in ("YCbCr", "RGB", "Gray"):
        return None
    height, width, _ = header
    orientation = _jpeg_orientation(data)
    halvings = 0
    if smallest is not None:
        halvings = _halvings(height, width, smallest if orientation < 5 else smallest[::-1])
    least = {"min_height": _halved(height, halvings), "min_width": _halved(width, halvings)} if halvings else {}
    try:
        pixels: Pixels = simplejpeg.decode_jpeg(data, **least)
    except ValueError as error:
        if any(words in str(error).lower() for words in _LOST_PIXELS):
            raise Unreadable(_reason(error)) from None
        return None
    turn = _TURNS.get(orientation)
    return np.ascontiguousarray(turn(pixels)) if turn else pixels


def _halvings(height: int, width: int, smallest: tuple[int, int]) -> int:
    fitting = (
        times
        for times in range(_COARSEST, 0, -1)
        if _halved(height, times) >= smallest[0] and _halved(width, times) >= smallest[1]
    )
    return next(fitting, 0)


def _halved(length: int, times: int) -> int:
    return -(-length >> times)


def _jpeg_orientation(data: bytes) -> int:
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        if data[at + 1] == 0xFF:
            at += 1
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        segment = data[at + 4 : at + 2 + length]
        if data[at + 1] == 0xE1 and segment.startswith(b"Exif\0\0"):
            return _exif_orientation(segment)
        at += 2 + length
    return 1


def _exif_orientation(segment: bytes) -> int:
    exif = Image.Exif()
    try:
        exif.load(segment)
        orientation = int(exif.get(_ORIENTATION, 1))
    except Exception:  # damaged EXIF must not cost the photo
        return 1
    return orientation if orientation in _TURNS else 1


def _refuse_bomb(height: int, width: int) -> None:
    if height * width > MOST_PIXELS:
        raise Unreadable(f"declares {height * width:,} pixels, the limit is {MOST_PIXELS:,}")


@contextmanager
def _pillow(data: bytes) -> Iterator[Image.Image]:
    """An image opened lazily by Pillow: its warnings stay inside, its many exceptions come out as one."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=_FORMATS)
            _refuse_bomb(image.height, image.width)
            yield image
    except (Unreadable, MemoryError):
        raise
    except Exception as error:
        raise Unreadable(_reason(error)) from None


def _decode_pillow(data: bytes) -> Pixels:
    with _pillow(data) as image:
        image.load()
        upright = ImageOps.exif_transpose(image)
        if upright.mode in ("F", "I") or upright.mode.startswith("I;16"):
            grey = _eight_bits(np.asarray(upright), upright.mode)
            return np.repeat(grey[:, :, None], 3, axis=2)
        return np.array(upright.convert("RGB"))


def _eight_bits(values: npt.NDArray[np.generic], mode: str) -> Pixels:
    """Pillow would clip. Whole numbers count to 65535; floats to the first of 1, 255, 65535 that holds them all."""
    numbers = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    highest = numbers.max(initial=0.0)
    ranges = (1.0, 255.0, 65535.0) if mode == "F" else (65535.0,)
    white = next((limit for limit in ranges if highest <= limit), highest)
    grey: Pixels = np.rint(np.clip(numbers / white, 0, 1) * 255).astype(np.uint8)
    return grey


def _reason(error: Exception) -> str:
    words = str(error)
    if isinstance(error, UnidentifiedImageError):
        return "not an image, or of a format that is not read (JPEG, PNG, WebP, BMP, TIFF, GIF are)"
    if isinstance(error, Image.DecompressionBombError):
        return f"declares more pixels than the limit of {MOST_PIXELS:,}"
    if any(hint in words.lower() for hint in ("truncated", "premature", "unexpected end", "eof", "cut off")):
        return f"ends too early: the file is cut short ({words})"
    return f"damaged ({words or type(error).__name__})"
