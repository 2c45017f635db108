"""The objects of a set as columns: what is wrong with them is told, and left out."""

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from limbeck.datasets.flaws import (
    Placed,
    in_pixels,
    is_flat,
    is_outside,
    other_units,
    outline_flaw,
    same_names,
    sticks_out,
)
from limbeck.datasets.records import Box, Labels, Sample, Thing
from limbeck.datasets.rle import mask_of
from limbeck.detection.masks import Outlines
from limbeck.detection.problems import Problems
from limbeck.detection.sources import Listed, Source
from limbeck.errors import counted, nearest
from limbeck.images.imageset import ImageSet

_LEAST_SIDE = 0.01  # pixels: a side that float32 could round to nothing
_LOOKED_AT = 10_000  # boxes of a set, to see which units they are in


@dataclass(frozen=True)
class Columns:
    """All objects, image after image; those of image i are `spans[i, 0]` to `spans[i, 1]`."""

    boxes: NDArray[np.float32]  # [N, 4]: x1, y1, x2, y2 in the images' own pixels
    labels: NDArray[np.int64]
    crowd: NDArray[np.bool_]
    area: NDArray[np.float64]  # nan: that of the mask
    spans: NDArray[np.int64]  # [n, 2]
    outlines: Outlines | None = None


@dataclass(frozen=True)
class Classes:
    """The classes in the order of the labels, and the set's own ids (-1: a class that the set does not have)."""

    names: tuple[str, ...]
    ids: tuple[int, ...]


def classes_of(
    sources: Sequence[Source],
    samples: Sequence[tuple[Source, Sample]],
    wanted: Sequence[str] | None,
    problems: Problems,
) -> Classes:
    """The classes of all sources, those of a checkpoint where they are `wanted`; ids with gaps close up.

    Where nothing declares classes they are those of the samples: what only another split has cannot be learned.
    """
    used = Counter((thing.label, thing.number) for source in sources for thing in _things(source.labels.samples))
    names: dict[str, int] = {}
    for source in sources:
        own = [sample for owner, sample in samples if owner is source]
        for number, name in _declared(source.labels, own):
            if name not in names or used[name, number] > used[name, names[name]]:
                names[name] = number
    if wanted is None:
        return Classes(tuple(names), tuple(names.values()))
    here = Counter(thing.label for thing in _things(sample for _, sample in samples))
    for name in sorted(name for name in names if name not in wanted):
        if here[name]:
            near = nearest(name, wanted, 1)
            meant = f", the nearest that it knows is {near[0]}" if near else ""
            first = next(each.source for _, each in samples if any(thing.label == name for thing in each.things))
            problems.add("other-class-names", f"{name} ({counted(here[name], 'object')}, first in {first}){meant}")
    return Classes(tuple(wanted), tuple(names.get(name, -1) for name in wanted))


def _declared(labels: Labels, samples: Sequence[Sample]) -> list[tuple[int, str]]:
    """Ids and names as the format declares them; where it does not, the names in use."""
    if labels.classes:
        return sorted(labels.classes.items())
    used = {thing.label for thing in _things(samples) if thing.label}
    listed = list(labels.names) if len(used - set(labels.names)) * 2 <= len(used) else []
    return list(enumerate([*listed, *sorted(used - set(listed))]))


def merged(sources: Sequence[Source]) -> list[str]:
    """Several ids with one name, which are one class here."""
    lines = []
    for source in sources:
        for name, numbers in same_names(source.labels.classes).items():
            ids = " and ".join(map(str, numbers))
            lines.append(f"{source.tree.source}: {len(numbers)} classes are called {name} (ids {ids}): taken as one")
    return lines


def _things(samples: Iterable[Sample]) -> Iterator[Thing]:
    return (thing for sample in samples for thing in sample.things)


@dataclass
class Gathering:
    """Objects on their way into columns."""

    classes: Classes
    images: ImageSet
    problems: Problems
    masks: bool
    over: int = 0  # boxes cut at the edge
    kept: list[Listed] = field(default_factory=list)
    boxes: "array[float]" = field(default_factory=lambda: array("d"))
    labels: "array[int]" = field(default_factory=lambda: array("q"))
    crowd: "array[int]" = field(default_factory=lambda: array("b"))
    area: "array[float]" = field(default_factory=lambda: array("d"))
    ends: "array[int]" = field(default_factory=lambda: array("q", [0]))
    outlines: list[object] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.numbers = {name: number for number, name in enumerate(self.classes.names)}

    def add(self, listed: Listed) -> None:
        """An image with its objects; not at all where it has another size than its labels say."""
        sample, (height, width) = listed.sample, self.images.size(listed.row)
        if sample.size and 0 not in sample.size and sample.size != (height, width) and sample.things:
            said = f"{sample.size[1]}x{sample.size[0]}"
            self.problems.add("other-sizes", f"{sample.image}: {said} in the labels, the file is {width}x{height}")
            return
        for thing in sample.things:
            self._add(thing, listed, height, width)
        self.kept.append(listed)
        self.ends.append(len(self.labels))

    def _add(self, thing: Thing, listed: Listed, height: int, width: int) -> None:
        labels = listed.source.labels
        written = thing.box or _around(thing)
        where = f"{listed.sample.source}, {thing.place} of {listed.sample.image.rpartition('/')[2]}"
        if written is None or (thing.flaw and not thing.flaw.startswith("no extent")):
            self.problems.add("unreadable-boxes", f"{where}: {thing.flaw or 'there is none'}")
            return
        box = in_pixels(written, labels, height, width)
        left, top, right, bottom = max(box[0], 0.0), max(box[1], 0.0), min(box[2], width), min(box[3], height)
        kind = ""
        if is_flat(thing, box):
            kind = "boxes-without-extent"
        elif is_outside(box, height, width) or min(right - left, bottom - top) < _LEAST_SIDE:
            kind = "boxes-outside"
        elif not thing.label:
            kind = "objects-without-class" if thing.number is None else "unknown-class-ids"
        if kind and (kind != "unknown-class-ids" or labels.classes):  # a list that is missing is told as a whole
            self.problems.add(kind, f"{where}: {_words(thing, written)}")
        if kind or thing.label not in self.numbers:
            return
        outline = _scaled(thing, labels, height, width) if self.masks else None
        if outline is not None and (flaw := outline_flaw(thing._replace(outline=outline), height, width)):
            self.problems.add("broken-outlines", f"{where}: {flaw}")
            return
        self.over += sticks_out(box, height, width)
        self.boxes.extend((left, top, right, bottom))
        self.labels.append(self.numbers[thing.label])
        self.crowd.append(thing.crowd)
        self.area.append(_area(thing, (right - left) * (bottom - top), outline is not None))
        self.outlines.append(outline)

    def columns(self) -> Columns:
        ends = np.array(self.ends, np.int64)
        return Columns(
            np.array(self.boxes, np.float32).reshape(-1, 4),
            np.array(self.labels, np.int64),
            np.array(self.crowd, bool),
            np.array(self.area, np.float64),
            np.stack([ends[:-1], ends[1:]], 1),
            Outlines(self.outlines) if self.masks else None,
        )


def check_units(listed: Iterable[Listed], images: ImageSet, problems: Problems) -> set[int]:
    """Label sets whose boxes are in other units than their format's; nothing of them can be used."""
    placed: dict[int, list[Placed]] = {}
    owners: dict[int, Source] = {}
    for each in listed:
        height, width = images.size(each.row)
        owners[id(each.source)] = each.source
        boxes = placed.setdefault(id(each.source), [])
        for thing in each.sample.things if len(boxes) < _LOOKED_AT else ():
            if thing.box is not None:
                boxes.append(Placed(thing.box, in_pixels(thing.box, each.source.labels, height, width), height, width))
    strange = set()
    for owner, boxes in placed.items():
        title, cure = other_units(owners[owner].labels, boxes)
        if title:
            strange.add(owner)
            problems.add("box-units", f"{owners[owner].tree.source} ({owners[owner].labels.format}): {title}; {cure}")
    return strange


def _around(thing: Thing) -> Box | None:
    """The box of an outline that has none of its own."""
    if isinstance(thing.outline, list) and all(isinstance(part, list) and len(part) > 5 for part in thing.outline):
        across = [value for polygon in thing.outline for value in polygon[::2]]
        down = [value for polygon in thing.outline for value in polygon[1::2]]
        return min(across), min(down), max(across), max(down)
    if isinstance(thing.outline, dict):
        try:
            rows, columns = np.nonzero(mask_of(thing.outline))
        except (ValueError, KeyError, TypeError):
            return None
        if len(rows):
            return float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1)
    return None


def _scaled(thing: Thing, labels: Labels, height: int, width: int) -> object:
    if not labels.shares or not isinstance(thing.outline, list):
        return thing.outline
    return [[value * (height if place % 2 else width) for place, value in enumerate(part)] for part in thing.outline]


def _area(thing: Thing, of_box: float, masked: bool) -> float:
    """What the file says; nan where it says none and a mask, not the box, will tell."""
    if thing.area is not None:
        return thing.area
    return math.nan if masked else of_box


def _words(thing: Thing, box: Box) -> str:
    name = thing.label or ("no class" if thing.number is None else f"class {thing.number}")
    return f"{name} {','.join(f'{value:.5g}' for value in box)}"
