"""Boxes and outlines: extents, places, scales, doubles."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from limbeck.checkup.case import Case
from limbeck.checkup.findings import ERROR, NOTE, WARNING, Finding, Marked, Place, are, have
from limbeck.checkup.labels import every, located
from limbeck.datasets.flaws import Placed, in_pixels, is_flat, is_outside, other_units, outline_flaw, sticks_out
from limbeck.datasets.records import Box, Labels, Sample, Thing
from limbeck.datasets.rle import mask_of
from limbeck.errors import counted


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
                box = in_pixels(thing.box, labels, height, width)
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
    places = [each.place for each in objects(case) if is_flat(each.thing, each.box)]
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
        if is_flat(each.thing, each.box) or id(each.labels) in strange:
            continue
        if is_outside(each.box, each.height, each.width):
            wholly.append(each.place)
        elif sticks_out(each.box, each.height, each.width):
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
        if not is_flat(each.thing, each.box):
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
            flaw = outline_flaw(thing, height, width) if thing.outline is not None and height and width else ""
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
    return row is not None and not outline_flaw(thing, *map(int, case.sizes[row]))


def _shared_pixels(things: list[Thing]) -> int:
    total = sum(mask_of(thing.outline).astype(np.uint16) for thing in things)
    return int(np.count_nonzero(total > 1))


def _scaled(case: Case) -> list[tuple[Labels, str, str]]:
    """The label sets whose boxes make no sense as they stand, and would in other units."""
    found = []
    for _, labels in case.labels:
        boxes = [
            Placed(each.thing.box or each.box, each.box, each.height, each.width)
            for each in objects(case)
            if each.labels is labels
        ]
        title, cure = other_units(labels, boxes)
        if title:
            found.append((labels, title, cure))
    return found


def _class(each: Object) -> str:
    return each.thing.label or str(each.thing.number)


def _told(check: str, severity: str, title: str, places: list[Place], why: str, cure: str, case: Case) -> list[Finding]:
    if not places:
        return []
    of = sum(len(sample.things) for _, _, sample, _ in every(case))
    return [Finding(check, severity, title, places, why, cure, of)]
