"""Boxes and outlines: extents, places, scales, doubles."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from limbeck.checkup.case import Case
from limbeck.checkup.findings import ERROR, NOTE, WARNING, Finding, Marked, Place, are, have
from limbeck.checkup.labels import every, located
from limbeck.datasets.records import Box, Labels, Sample, Thing
from limbeck.datasets.rle import mask_of
from limbeck.errors import counted

_MOST_OVER = 1.0  # pixels that rounding may put a box beyond the edge
_MOSTLY, _OFTEN = 0.9, 0.1  # of a set's boxes
_LEAST_POINTS = 6  # numbers of a polygon: three corners


class Object(NamedTuple):
    """A thing with its box in pixels, on an image of a known size."""

    labels: Labels
    sample: Sample
    thing: Thing
    row: int | None
    box: Box
    height: int
    width: int

    @property
    def place(self) -> Place:
        box = ",".join(f"{value:.5g}" for value in self.thing.box or self.box)
        name = self.thing.label or f"class {self.thing.number}"
        what = f"{name} {self.thing.flaw.partition(': ')[2] or box} ({located(self.sample, self.thing)})"
        rows = () if self.row is None else (self.row,)
        return Place(self.sample.source, what, rows, (Marked(self.box, name),))


def objects(case: Case) -> Iterator[Object]:
    """Every thing with a box, on an image whose size is known."""
    for _, labels, sample, row in every(case):
        height, width = map(int, case.sizes[row]) if row is not None else sample.size or (0, 0)
        for thing in sample.things if height and width else ():
            if thing.box is not None:
                left, top, right, bottom = thing.box
                box = (left * width, top * height, right * width, bottom * height) if labels.shares else thing.box
                yield Object(labels, sample, thing, row, box, height, width)


def unreadable_boxes(case: Case) -> list[Finding]:
    """Boxes that are no four numbers."""
    places = [
        Place(sample.source, f"{located(sample, thing)}: {thing.flaw}", () if row is None else (row,))
        for _, _, sample, row in every(case)
        for thing in sample.things
        if thing.flaw and not thing.flaw.startswith("no extent")
    ]
    number = len(places)
    return _told(
        "unreadable-boxes",
        ERROR,
        f"{counted(number, 'object')} {have(number)} a box that cannot be read",
        places,
        "Loaders fail on them.",
        "correct the lines",
        case,
    )


def no_extent(case: Case) -> list[Finding]:
    """Boxes without width or height."""
    places = [each.place for each in objects(case) if _flat(each)]
    number = len(places)
    return _told(
        "boxes-without-extent",
        ERROR,
        f"{counted(number, 'box', 'boxes')} {have(number)} no extent",
        places,
        "Training stops on them (torchvision), or a loss divides by zero.",
        "draw them anew, or take them out",
        case,
    )


def outside(case: Case) -> list[Finding]:
    """Boxes that lie wholly or partly outside of their image."""
    findings: list[Finding] = []
    wholly, partly = [], []
    strange = {id(labels) for labels, *_ in _scaled(case)}
    for each in objects(case):
        if _flat(each) or id(each.labels) in strange:
            continue
        left, top, right, bottom = each.box
        if right <= 0 or bottom <= 0 or left >= each.width or top >= each.height:
            wholly.append(each.place)
        elif _sticks_out(each):
            partly.append(each.place)
    number = len(wholly)
    findings += _told(
        "boxes-outside",
        ERROR,
        f"{counted(number, 'box', 'boxes')} {are(number)} outside of the image",
        wholly,
        "Cut to the image nothing is left of them: a box of no extent.",
        "see whether the labels belong to this image and this size of it",
        case,
    )
    number = len(partly)
    findings += _told(
        "boxes-over-the-edge",
        WARNING,
        f"{counted(number, 'box', 'boxes')} {'reaches' if number == 1 else 'reach'} over the edge of the image",
        partly,
        "Some loaders refuse them, others cut them.",
        "cut them to the image, if the labels fit it otherwise",
        case,
    )
    return findings


def wrong_scale(case: Case) -> list[Finding]:
    """Label sets whose boxes are in other units than their format's."""
    findings = []
    for labels, title, cure in _scaled(case):
        places = [each.place for each in objects(case) if each.labels is labels]
        why = "Read as they stand the boxes are elsewhere: nothing can be learned from them."
        findings.append(Finding("box-units", ERROR, f"{labels.format}: {title}", places, why, cure, len(places)))
    return findings


def doubles(case: Case) -> list[Finding]:
    """Boxes drawn twice, with the same class or another."""
    same: list[tuple[Object, Object]] = []
    other: list[tuple[Object, Object]] = []
    groups: defaultdict[tuple[int, str, tuple[float, ...]], list[Object]] = defaultdict(list)
    for each in objects(case):
        if not _flat(each):
            groups[id(each.labels), each.sample.image, tuple(round(value, 1) for value in each.box)].append(each)
    for group in groups.values():
        for first, second in pairwise(group):
            (same if _class(first) == _class(second) else other).append((first, second))
    number = len(same)
    findings = _told(
        "double-boxes",
        WARNING,
        f"{counted(number, 'box', 'boxes')} {are(number)} there twice",
        [second.place for _, second in same],
        "They count twice in training, and one of the two is missed in every score.",
        "keep one of each",
        case,
    )
    places = [
        second.place._replace(
            what=f"{second.place.what} is also {_class(first)}",
            marked=(Marked(first.box, f"{_class(first)} / {_class(second)}"),),
        )
        for first, second in other
    ]
    number = len(other)
    return findings + _told(
        "boxes-of-two-classes",
        WARNING,
        f"{counted(number, 'box', 'boxes')} {have(number)} two classes",
        places,
        "A detector cannot learn both.",
        "keep the right one",
        case,
    )


def outlines(case: Case) -> list[Finding]:
    """COCO masks that are no masks of this image: of another size, empty, broken."""
    places = []
    for _, _, sample, row in every(case):
        height, width = map(int, case.sizes[row]) if row is not None else sample.size or (0, 0)
        for thing in sample.things:
            flaw = _outline_flaw(thing, height, width) if thing.outline is not None and height and width else ""
            if flaw:
                marked = (Marked(thing.box, thing.label),) if thing.box and max(thing.box) > 1 else ()
                rows = () if row is None else (row,)
                places.append(Place(sample.source, f"{located(sample, thing)}: {flaw}", rows, marked))
    number = len(places)
    return _told(
        "broken-outlines",
        ERROR,
        f"{counted(number, 'mask')} {'does' if number == 1 else 'do'} not match the image",
        places,
        "Loaders fail on them, or teach what is not there.",
        "make them again from the image as it is",
        case,
    )


def overlaps(case: Case) -> list[Finding]:
    """Pixels that belong to two run-length masks of one image."""
    places = []
    for _, labels, sample, row in every(case):
        masks = [
            thing
            for thing in sample.things
            if isinstance(thing.outline, dict) and not thing.crowd and _fits(thing, case, row)
        ]
        if len(masks) > 1 and labels.format == "COCO":
            pixels = _shared_pixels(masks)
            if pixels:
                rows = () if row is None else (row,)
                places.append(Place(sample.image, f"{counted(pixels, 'pixel')} in two masks", rows))
    number = len(places)
    return _told(
        "overlapping-masks",
        NOTE,
        f"{counted(number, 'image')} {have(number)} masks that overlap",
        places,
        "A pixel of two objects has no one answer where instances are told apart by pixels.",
        "nothing, if objects may lie over each other",
        case,
    )


def _fits(thing: Thing, case: Case, row: int | None) -> bool:
    return row is not None and not _outline_flaw(thing, *map(int, case.sizes[row]))


def _shared_pixels(things: list[Thing]) -> int:
    total = sum(mask_of(thing.outline).astype(np.uint16) for thing in things)
    return int(np.count_nonzero(total > 1))


def _outline_flaw(thing: Thing, height: int, width: int) -> str:
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


def _scaled(case: Case) -> list[tuple[Labels, str, str]]:
    """The label sets whose boxes make no sense as they stand, and would in other units."""
    found = []
    for _, labels in case.labels:
        boxes = [each for each in objects(case) if each.labels is labels]
        title = cure = ""
        if labels.shares and _mostly(boxes, lambda each: max(each.thing.box or (0,)) > 2):
            title, cure = (
                "boxes in pixels, where shares of the image (0 to 1) are expected",
                "divide by width and height",
            )
        elif not labels.shares and _mostly(boxes, lambda each: 0 < max(each.box) <= 1):
            title, cure = "boxes in shares of the image, where pixels are expected", "multiply by width and height"
        elif labels.format == "COCO" and _mostly(boxes, _as_corners) and _often(boxes, _sticks_out):
            title = "boxes as left, top, right, bottom, where left, top, width, height are expected"
            cure = "subtract left and top from the last two numbers"
        if title:
            found.append((labels, title, cure))
    return found


def _as_corners(each: Object) -> bool:
    """Whether its width and height would do as right and bottom."""
    left, top, right, bottom = each.box
    return left < right - left <= each.width + 1 and top < bottom - top <= each.height + 1


def _sticks_out(each: Object) -> bool:
    left, top, right, bottom = each.box
    return max(-left, -top, right - each.width, bottom - each.height) > _MOST_OVER


def _mostly(boxes: list[Object], fits: Callable[[Object], bool]) -> bool:
    return bool(boxes) and sum(map(fits, boxes)) > _MOSTLY * len(boxes)


def _often(boxes: list[Object], fits: Callable[[Object], bool]) -> bool:
    return sum(map(fits, boxes)) > _OFTEN * len(boxes)


def _flat(each: Object) -> bool:
    left, top, right, bottom = each.box
    return each.thing.flaw.startswith("no extent") or right <= left or bottom <= top


def _class(each: Object) -> str:
    return each.thing.label or str(each.thing.number)


def _told(check: str, severity: str, title: str, places: list[Place], why: str, cure: str, case: Case) -> list[Finding]:
    if not places:
        return []
    of = sum(len(sample.things) for _, _, sample, _ in every(case))
    return [Finding(check, severity, title, places, why, cure, of)]
