"""What can be wrong with a box, an outline or a list of classes: pure functions, for the doctor and for training."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from limbeck.datasets.records import Box, Labels, Thing
from limbeck.datasets.rle import mask_of

_MOST_OVER = 1.0  # pixels that rounding may put a box beyond the edge
_MOSTLY, _OFTEN = 0.9, 0.1  # of a set's boxes
_LEAST_POINTS = 6  # numbers of a polygon: three corners


class Placed(NamedTuple):
    """A box as the file says it, in pixels, and the size of its image."""

    written: Box
    box: Box
    height: int
    width: int


def in_pixels(box: Box, labels: Labels, height: int, width: int) -> Box:
    """A box that may be in shares of its image.

    >>> in_pixels((0.5, 0.0, 1.0, 1.0), Labels("YOLO", "", "detection", [], shares=True), 10, 20)
    (10.0, 0.0, 20.0, 10.0)
    """
    left, top, right, bottom = box
    return (left * width, top * height, right * width, bottom * height) if labels.shares else box


def is_flat(thing: Thing, box: Box) -> bool:
    """Whether a box has no extent; VOC's readers say so themselves, as both of its corners lie inside."""
    left, top, right, bottom = box
    return thing.flaw.startswith("no extent") or right <= left or bottom <= top


def is_outside(box: Box, height: int, width: int) -> bool:
    """Whether nothing of a box is on the image.

    >>> is_outside((10, 0, 20, 5), 10, 10), is_outside((9, 0, 20, 5), 10, 10)
    (True, False)
    """
    left, top, right, bottom = box
    return right <= 0 or bottom <= 0 or left >= width or top >= height


def sticks_out(box: Box, height: int, width: int) -> bool:
    """Whether a box reaches over the edge by more than rounding would.

    >>> sticks_out((0, 0, 11, 5), 10, 10), sticks_out((0, 0, 11.5, 5), 10, 10)
    (False, True)
    """
    left, top, right, bottom = box
    return max(-left, -top, right - width, bottom - height) > _MOST_OVER


def other_units(labels: Labels, boxes: Sequence[Placed]) -> tuple[str, str]:
    """What is wrong, and the cure, where a set's boxes make no sense as they stand and would in other units."""
    if labels.shares and _mostly(boxes, lambda each: max(each.written) > 2):
        return (
            "boxes in pixels, where shares of the image (0 to 1) are expected",
            "divide by width and height",
        )
    if not labels.shares and _mostly(boxes, lambda each: 0 < max(each.box) <= 1):
        return "boxes in shares of the image, where pixels are expected", "multiply by width and height"
    if labels.format == "COCO" and _mostly(boxes, _as_corners) and _often(boxes, _over):
        return (
            "boxes as left, top, right, bottom, where left, top, width, height are expected",
            "subtract left and top from the last two numbers",
        )
    return "", ""


def outline_flaw(thing: Thing, height: int, width: int) -> str:
    """Why an outline is no mask of an image of this size; nothing where it is one."""
    if isinstance(thing.outline, dict):
        try:
            if tuple(thing.outline["size"]) != (height, width):
                return f"its mask is {thing.outline['size']}, the image [{height}, {width}]"
            return "" if mask_of(thing.outline).any() else "its mask is empty"
        except (ValueError, KeyError, TypeError) as error:
            return f"its run lengths cannot be read: {error}"
    polygons = thing.outline
    if not isinstance(polygons, list) or not all(isinstance(polygon, list) for polygon in polygons):
        return "its segmentation is no list of polygons"
    if any(len(polygon) < _LEAST_POINTS or len(polygon) % 2 for polygon in polygons):
        return "a polygon of fewer than three corners, or of an odd count of numbers"
    return ""


def same_names(classes: Mapping[int, str]) -> dict[str, list[int]]:
    """The names that several ids have.

    >>> same_names({1: "cat", 2: "dog", 3: "cat"})
    {'cat': [1, 3]}
    """
    numbers: dict[str, list[int]] = {}
    for number, name in sorted(classes.items()):
        numbers.setdefault(name, []).append(number)
    return {name: several for name, several in numbers.items() if len(several) > 1}


def _as_corners(each: Placed) -> bool:
    """Whether its width and height would do as right and bottom."""
    left, top, right, bottom = each.box
    return left < right - left <= each.width + 1 and top < bottom - top <= each.height + 1


def _over(each: Placed) -> bool:
    return sticks_out(each.box, each.height, each.width)


def _mostly(boxes: Sequence[Placed], fits: Callable[[Placed], bool]) -> bool:
    return bool(boxes) and sum(map(fits, boxes)) > _MOSTLY * len(boxes)


def _often(boxes: Sequence[Placed], fits: Callable[[Placed], bool]) -> bool:
    return sum(map(fits, boxes)) > _OFTEN * len(boxes)
