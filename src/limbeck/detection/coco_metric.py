"""COCO's numbers over images that come one by one, on one process or several."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from limbeck.detection.coco_library import LIMITS, MOST, OVERLAPS, RECALLS, SIZES, Evaluated, Truth, evaluated
from limbeck.detection.kept import Kept, Key, answers_of, truth_of
from limbeck.records import Detections, Target

_ALL = slice(None)


class ClassRow(NamedTuple):
    """One class: COCO's numbers, -1 where it has no object, and how many objects and detections there are."""

    name: str
    ap: float
    ap50: float
    ap75: float
    ar: float
    truth: int  # without crowds
    found: int


class SizeRow(NamedTuple):
    """Objects of one size: `low` to `high` is the square root of their area, in pixels."""

    name: str
    low: float
    high: float
    ap: float
    ar: float
    recall50: float  # the share that is found at all, at an overlap of 0.5
    truth: int  # without crowds


class Curve(NamedTuple):
    """Precision of one class over its recall, and the score at which that recall is reached."""

    name: str
    recall: NDArray[np.float64]
    precision: NDArray[np.float64]
    score: NDArray[np.float64]


class CocoMetric:
    """What was found in each image is kept, packed, until the numbers are asked for: some 3 kB an image of boxes.

    Images are told apart by `key`; one that comes again, from a sampler that fills up the last batch, counts once. Keys
    are of one kind: in their order, detections of equal scores are counted, as in COCO by the images' ids.

    >>> import torch
    >>> metric = CocoMetric(["cat", "dog"])
    >>> boxes, labels = torch.tensor([[0.0, 0.0, 9.0, 9.0]]), torch.tensor([1])
    >>> metric.add("a photo", Detections(boxes, torch.tensor([0.9]), labels), Target(boxes, labels))
    >>> round(metric.numbers()["AP"], 6), [round(row.ap50, 6) for row in metric.per_class()]
    (1.0, [-1.0, 1.0])
    """

    def __init__(self, classes: Sequence[str], masks: bool = False) -> None:
        self.classes = tuple(classes)
        self.masks = masks
        self._images: dict[Key, Kept] = {}
        self._table: _Table | None = None

    def __len__(self) -> int:
        return len(self._images)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_table": None}  # large, and soon counted again

    def add(self, key: Key, found: Detections, truth: Target) -> None:
        """One image with what was found on it and what is on it, both in the pixels of the image itself."""
        if key not in self._images:
            self._images[key] = Kept.of(found, truth, self.masks)
            self._table = None

    def images(self) -> Mapping[Key, Kept]:
        """What is kept of each image."""
        return MappingProxyType(self._images)

    def merge(self, other: "CocoMetric") -> None:
        """Take in what another process has seen: a metric travels between processes by pickle."""
        assert (self.classes, self.masks) == (other.classes, other.masks), "metrics of different things"
        self._images = other._images | self._images
        self._table = None

    def numbers(self) -> dict[str, float]:
        """COCO's twelve; -1 where there is nothing to be found.

        APs, APm, APl and ARs, ARm, ARl: objects of up to 32 x 32 pixels, up to 96 x 96, larger.
        """
        table = self._counted()
        sizes = [(name[0], size) for size, name in enumerate(SIZES) if size]
        numbers = {"AP": table.ap(), "AP50": table.ap(0), "AP75": table.ap(5)}
        numbers |= {f"AP{name}": table.ap(size=size) for name, size in sizes}
        numbers |= {f"AR{most}": table.ar(most=column) for column, most in enumerate(MOST)}
        return numbers | {f"AR{name}": table.ar(size=size) for name, size in sizes}

    def per_class(self) -> list[ClassRow]:
        """A row for each class, in the order of the classes."""
        table = self._counted()
        columns = zip(self.classes, table.objects[0].tolist(), table.detections.tolist(), strict=True)
        return [
            ClassRow(name, table.ap(only=n), table.ap(0, only=n), table.ap(5, only=n), table.ar(only=n), true, found)
            for n, (name, true, found) in enumerate(columns)
        ]

    def by_size(self) -> list[SizeRow]:
        """How well objects of each size are found; one on the border of two sizes is in both, as COCO has it."""
        table = self._counted()
        rows = []
        for size, (name, (low, high)) in enumerate(zip(SIZES, LIMITS, strict=True)):
            limits = low**0.5, high**0.5 if high < LIMITS[0][1] else float("inf")
            numbers = table.ap(size=size), table.ar(size=size), table.ar(0, size=size)
            rows.append(SizeRow(name, *limits, *numbers, int(table.objects[size].sum())))
        return rows

    def curves(self, overlap: float = 0.5) -> list[Curve]:
        """Precision over recall of every class that has objects, at one of COCO's overlaps, 0.5 to 0.95."""
        at = int(np.abs(OVERLAPS - overlap).argmin())
        assert abs(OVERLAPS[at] - overlap) < 1e-6, f"{overlap} is none of COCO's overlaps"
        counts = self._counted().counts
        rows = zip(self.classes, counts.precision[at, :, :, 0, -1].T, counts.scores[at, :, :, 0, -1].T, strict=True)
        return [Curve(name, RECALLS, precision, score) for name, precision, score in rows if precision[0] >= 0]

    def _counted(self) -> "_Table":
        if self._table is None:
            images = [self._images[key] for key in sorted(self._images)]
            truth, answers = truth_of(images, self.masks), answers_of(images, self.masks)
            counts = evaluated(truth, answers, len(images), len(self.classes))
            detections = np.bincount(answers.label, minlength=len(self.classes))
            self._table = _Table(counts, _objects(truth, len(self.classes)), detections)
        return self._table


class _Table(NamedTuple):
    counts: Evaluated
    objects: NDArray[np.intp]  # [sizes, classes], without crowds
    detections: NDArray[np.intp]  # [classes]

    def ap(self, overlap: int | slice = _ALL, size: int = 0, only: int | slice = _ALL) -> float:
        return _mean(self.counts.precision[overlap, :, only, size, -1])

    def ar(self, overlap: int | slice = _ALL, size: int = 0, only: int | slice = _ALL, most: int = -1) -> float:
        return _mean(self.counts.recall[overlap, only, size, most])


def _objects(truth: Truth, classes: int) -> NDArray[np.intp]:
    within = [~truth.crowd & (truth.area >= low) & (truth.area <= high) for low, high in LIMITS]
    return np.stack([np.bincount(truth.label[there], minlength=classes) for there in within])


def _mean(values: NDArray[np.float64]) -> float:
    there = values[values > -1]
    return float(there.mean()) if there.size else -1.0
