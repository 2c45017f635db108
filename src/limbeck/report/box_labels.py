"""Where the names of boxes are written in a picture: at their boxes, over no other name and over little of a box."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import ImageFont

_LEAST = 11  # pixels of a letter that can be read
_COVERED = 0.3  # of a box, its own or another
_WRITTEN = 0.15  # of the picture
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Label:
    """A text, the ground under it, and the height of its letters."""

    ground: Box
    text: str
    letters: int


def labels(
    size: tuple[int, int], boxes: Sequence[Sequence[float]], classes: Sequence[int], texts: Sequence[str]
) -> list[Label | None]:
    """A label for each box, the first boxes first and one of each class before all; None where there is no room.

    >>> found = labels((200, 200), [(50, 50, 90, 90)] * 9, [0] * 9, ["cat"] * 9)
    >>> [each is not None for each in found].count(True)
    4
    """
    corners = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    found: list[Label | None] = [None] * len(corners)
    taken = np.zeros((0, 4))
    for place in _in_turn(classes):
        if (taken[:, 2:] - taken[:, :2]).prod(1).sum() > _WRITTEN * size[0] * size[1]:
            break
        label = _label(size, corners, taken, place, texts[place]) if texts[place] else None
        found[place] = label
        taken = taken if label is None else np.vstack([taken, label.ground])
    return found


def _in_turn(classes: Sequence[int]) -> list[int]:
    first = {label: place for place, label in reversed(list(enumerate(classes)))}
    heads = sorted(first.values())
    return [*heads, *(place for place in range(len(classes)) if place not in set(heads))]


def _label(
    size: tuple[int, int], boxes: NDArray[np.float64], taken: NDArray[np.float64], place: int, text: str
) -> Label | None:
    box = boxes[place]
    most = min(28, max(_LEAST, max(size) // 30))
    letters = int(np.clip(min(box[2] - box[0], box[3] - box[1]) // 7, _LEAST, most))
    left, _, right, low = ImageFont.load_default(letters).getbbox(text)
    wide, tall = int(right - left) + 6, int(low) + 4
    areas = np.maximum((boxes[:, 2:] - boxes[:, :2]).prod(1), 1.0)
    for ground in _grounds(size, box.tolist(), wide, tall):
        free = not (_shared(ground, taken) > 0).any()
        if free and (_shared(ground, boxes) <= _COVERED * areas).all():
            return Label(ground, text, letters)
    return None


def _grounds(size: tuple[int, int], box: Sequence[float], wide: int, tall: int) -> Iterator[Box]:
    """Above the box, in it, and below it, as far as that is in the picture."""
    left, top, right, bottom = box
    for y in (top - tall, top, bottom + 1, bottom - tall):
        if 0 <= y <= size[1] - tall:
            for wish in (left, right - wide + 1):
                x = min(max(0.0, wish), max(0.0, size[0] - wide))
                yield x, y, x + wide, y + tall


def _shared(one: Box, others: NDArray[np.float64]) -> NDArray[np.float64]:
    """The area that a box has in common with each of others."""
    sides = np.minimum(one[2:], others[:, 2:]) - np.maximum(one[:2], others[:, :2])
    area: NDArray[np.float64] = sides.clip(0).prod(1)
    return area
