"""Photos with boxes: what is there, and what was found."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from limbeck.report.box_labels import Label, labels

HUES = (
    "#c81e3a", "#1f7a34", "#3457c8", "#b3540a", "#7f1fa0", "#00707a",
    "#7a4b14", "#c2187e", "#4a5a00", "#5a2ca0", "#0a5ca8", "#8a1c00",
)  # fmt: skip
SIDE = 420
_LEAST = 300  # a smaller photo is enlarged, so that what is written on it can be read
_GAP = 6
_TITLE = 14


@dataclass(frozen=True)
class Marked:
    """A box of a picture: corners in its pixels, the number of its class, and what is written at it."""

    box: Sequence[float]
    label: int
    text: str


def drawn(photo: Image.Image, boxes: Sequence[Marked], side: int | None = None) -> Image.Image:
    """A copy with boxes, the first on top; at most `side` pixels a side, and enlarged where it is much smaller.

    >>> drawn(Image.new("RGB", (60, 30)), [Marked((5, 5, 25, 25), 0, "cat")], side=420).size
    (300, 150)
    """
    image = photo.convert("RGB")
    if side is not None:
        longest = max(image.size)
        times = min(side, max(longest, _LEAST)) / longest
        size = max(1, round(image.width * times)), max(1, round(image.height * times))
        image = image.resize(size, Image.Resampling.LANCZOS)
    else:
        image = image.copy()
    times = image.width / photo.width
    corners = [[value * times for value in each.box] for each in boxes]
    pen = ImageDraw.Draw(image)
    for box, each in reversed(list(zip(corners, boxes, strict=True))):
        _frame(pen, box, _hue(each.label), max(image.size))
    written = labels(image.size, corners, [each.label for each in boxes], [each.text for each in boxes])
    for name, each in zip(written, boxes, strict=True):  # on top of all boxes
        if name is not None:
            _write(pen, name, _hue(each.label))
    return image


def _hue(label: int) -> str:
    return HUES[label % len(HUES)]


def _frame(pen: ImageDraw.ImageDraw, corners: Sequence[float], colour: str, longest: int) -> None:
    left, top, right, bottom = corners
    right, bottom = max(left, right), max(top, bottom)
    thick = int(min(max(2, longest // 200), max(1, min(right - left, bottom - top) // 12)))
    # a light rim, so that a box is seen on any ground
    pen.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline="white", width=thick + 2)
    pen.rectangle((left, top, right, bottom), outline=colour, width=thick)


def _write(pen: ImageDraw.ImageDraw, label: Label, colour: str) -> None:
    pen.rectangle(label.ground, fill=colour)
    pen.text(
        (label.ground[0] + 3, label.ground[1] + 1), label.text, font=ImageFont.load_default(label.letters), fill="white"
    )


def side_by_side(photo: Image.Image, columns: Sequence[Sequence[Marked]]) -> bytes:
    """The same photo with one set of boxes after the other, as a JPEG.

    >>> side_by_side(Image.new("RGB", (60, 30)), [[], []])[:2].hex()
    'ffd8'
    """
    data = io.BytesIO()
    _row([drawn(photo, boxes, SIDE) for boxes in columns]).save(data, "JPEG", quality=82)
    return data.getvalue()


def as_png(picture: Image.Image) -> bytes:
    data = io.BytesIO()
    picture.save(data, "PNG")
    return data.getvalue()


def sheet(rows: Sequence[tuple[str, Sequence[Image.Image]]]) -> Image.Image:
    """Rows of pictures, each under its title.

    >>> sheet([("there", [Image.new("RGB", (60, 30))] * 2), ("found", [Image.new("RGB", (60, 30))] * 2)]).width
    138
    """
    font = ImageFont.load_default(_TITLE)
    lines = [(title, _row(pictures)) for title, pictures in rows]
    tall = _TITLE + 2 * _GAP
    width = max(line.width for _, line in lines) + 2 * _GAP
    whole = Image.new("RGB", (width, sum(line.height + tall for _, line in lines) + _GAP), "white")
    pen = ImageDraw.Draw(whole)
    y = 0
    for title, line in lines:
        pen.text((_GAP, y + _GAP - 1), title, font=font, fill="#1f1b17")
        whole.paste(line, (_GAP, y + tall))
        y += line.height + tall
    return whole


def _row(pictures: Sequence[Image.Image]) -> Image.Image:
    width = sum(each.width for each in pictures) + _GAP * (len(pictures) - 1)
    line = Image.new("RGB", (width, max(each.height for each in pictures)), "white")
    x = 0
    for each in pictures:
        line.paste(each, (x, 0))
        x += each.width + _GAP
    return line
