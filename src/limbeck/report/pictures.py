"""Photos as the page shows them: small, with boxes drawn, pairs side by side, masks in colours."""

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from limbeck.images.decode import decode

SIDE = 320
_LEAST = 128
_RING = 12
_BOX, _HALO = (226, 62, 30), (255, 255, 255)
_BEYOND = (128, 128, 128)
_MOST_BEYOND = 0.5  # of the photo, shown around it where a box lies outside

Box = tuple[float, float, float, float]


def photo_of(data: bytes) -> Image.Image:
    """An image upright, in RGB."""
    return Image.fromarray(decode(data).permute(1, 2, 0).numpy())


def small(photo: Image.Image, side: int = SIDE) -> Image.Image:
    """At most `side` pixels a side; what is much smaller is enlarged without smoothing.

    >>> small(Image.new("RGB", (640, 480))).size, small(Image.new("RGB", (32, 32))).size
    ((320, 240), (128, 128))
    """
    width, height = photo.size
    times = min(side / max(width, height), max(1, -(-_LEAST // max(width, height))))
    size = max(1, round(width * times)), max(1, round(height * times))
    return photo.resize(size, Image.Resampling.NEAREST if times > 1 else Image.Resampling.LANCZOS)


def marked(photo: Image.Image, boxes: Sequence[tuple[Box, str]]) -> Image.Image:
    """A small copy with boxes and their names; one too small to be seen is ringed, one outside is shown beside."""
    thumb = small(photo)
    times = thumb.width / photo.width
    far = 4 * max(thumb.size)
    scaled = [(tuple(min(max(value * times, -far), far) for value in box), label) for box, label in boxes]
    ends = [0, 0, thumb.width, thumb.height]
    for (left, top, right, bottom), _ in scaled:
        over = _MOST_BEYOND * max(thumb.size)
        ends[0] = min(ends[0], max(int(left) - 4, int(-over)))
        ends[1] = min(ends[1], max(int(top) - 4, int(-over)))
        ends[2] = max(ends[2], min(int(right) + 4, int(thumb.width + over)))
        ends[3] = max(ends[3], min(int(bottom) + 4, int(thumb.height + over)))
    inside = all(-1 <= end <= limit + 1 for end, limit in zip(ends, (thumb.width, thumb.height) * 2))
    if inside:
        ends = [0, 0, thumb.width, thumb.height]
    canvas = Image.new("RGB", (ends[2] - ends[0], ends[3] - ends[1]), _BEYOND)
    canvas.paste(thumb, (-ends[0], -ends[1]))
    pen = ImageDraw.Draw(canvas)
    for (left, top, right, bottom), label in scaled:
        _frame(pen, (left - ends[0], top - ends[1], right - ends[0], bottom - ends[1]), label)
    return small(canvas)


def _frame(pen: ImageDraw.ImageDraw, box: Box, label: str) -> None:
    left, right = sorted((box[0], box[2]))
    top, bottom = sorted((box[1], box[3]))
    if right - left < 4 or bottom - top < 4:
        across, down = (left + right) / 2, (top + bottom) / 2
        for grown, colour, width in ((2, _HALO, 5), (0, _BOX, 3)):
            pen.ellipse(
                (across - _RING - grown, down - _RING - grown, across + _RING + grown, down + _RING + grown),
                outline=colour,
                width=width,
            )
        left, top = across + _RING + 2, down - _RING
    else:
        pen.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=_HALO, width=4)
        pen.rectangle((left, top, right, bottom), outline=_BOX, width=2)
    text = label.encode("ascii", "replace").decode()[:24]
    if text:
        place = (max(0, left + 3), max(0, top + 2))
        pen.rectangle(pen.textbbox(place, text), fill=_BOX)
        pen.text(place, text, fill=_HALO)


def coloured(mask: NDArray[np.integer]) -> Image.Image:
    """A mask of class numbers in colours that are told apart; void is grey.

    >>> coloured(np.array([[0, 1]])).getpixel((0, 0))
    (31, 119, 180)
    """
    table = np.array(
        [(31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40), (148, 103, 189), (140, 86, 75), (227, 119, 194),
         (188, 189, 34), (23, 190, 207), (174, 199, 232), (255, 187, 120), (152, 223, 138)], np.uint8)  # fmt: skip
    pixels = table[np.asarray(mask, np.int64) % len(table)]
    pixels[np.asarray(mask) == 255] = 160
    return Image.fromarray(pixels)


def beside(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures in a row, of one height.

    >>> beside([Image.new("RGB", (10, 10)), Image.new("RGB", (20, 20))]).size
    (44, 20)
    """
    height = max(picture.height for picture in pictures)
    scaled = [picture.resize((max(1, round(picture.width * height / picture.height)), height)) for picture in pictures]
    canvas = Image.new("RGB", (sum(picture.width for picture in scaled) + 4 * (len(scaled) - 1), height), _HALO)
    at = 0
    for picture in scaled:
        canvas.paste(picture, (at, 0))
        at += picture.width + 4
    return canvas


def above(one: Image.Image, two: Image.Image) -> Image.Image:
    """One picture above the other.

    >>> above(Image.new("RGB", (10, 10)), Image.new("RGB", (10, 20))).size
    (10, 34)
    """
    turned = [picture.transpose(Image.Transpose.ROTATE_90) for picture in (one, two)]
    return beside(turned).transpose(Image.Transpose.ROTATE_270)


def jpeg(picture: Image.Image) -> bytes:
    data = io.BytesIO()
    picture.convert("RGB").save(data, "JPEG", quality=80)
    return data.getvalue()
