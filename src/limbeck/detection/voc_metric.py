"""Pascal VOC's average precision over images that come one by one, on one process or several."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from limbeck.detection.kept import Key, answer_rows, object_rows, overlaps_of, surest_first
from limbeck.errors import OptionError
from limbeck.records import Detections, Target

POINTS = ("area", "11")
_RIGHT, _WRONG, _NEITHER = 1, 0, -1


class VocRow(NamedTuple):
    """One class; its average precision is -1 where it has no object."""

    name: str
    ap: float
    truth: int  # without difficult ones
    found: int
    recall: NDArray[np.float64]  # after each detection, the surest first, without those of difficult objects
    precision: NDArray[np.float64]
    score: NDArray[np.float64]


class _Judged(NamedTuple):
    scores: NDArray[np.float32]
    labels: NDArray[np.unsignedinteger]
    verdicts: NDArray[np.int8]
    objects: NDArray[np.unsignedinteger]  # the labels of all that is to be found


class VocMetric:
    """Of each image only scores and verdicts are kept: 6 bytes a detection. An image whose key comes again counts once.

    An object marked `crowd` is what VOC calls difficult: neither finding it nor missing it counts.

    Boxes end where their last pixel ends, as `limbeck.datasets.voc` reads them, so widths are right as they are. Where
    corners are numbers of pixels, both within the box, as VOC's files have them, `inclusive` adds the missing one.

    >>> import torch
    >>> metric = VocMetric(["cat", "dog"])
    >>> boxes, labels = torch.tensor([[0.0, 0.0, 9.0, 9.0]]), torch.tensor([1])
    >>> metric.add("a photo", Detections(boxes, torch.tensor([0.9]), labels), Target(boxes, labels))
    >>> metric.ap(), [row.ap for row in metric.per_class()]
    (1.0, [-1.0, 1.0])
    """

    def __init__(self, classes: Sequence[str], *, overlap: float = 0.5, inclusive: bool = False) -> None:
        self.classes = tuple(classes)
        self.overlap, self.inclusive = overlap, inclusive
        self._label = np.min_scalar_type(len(self.classes))
        self._images: dict[Key, _Judged] = {}

    def __len__(self) -> int:
        return len(self._images)

    def add(self, key: Key, found: Detections, truth: Target) -> None:
        """One image with what was found on it and what is on it, both in the pixels of the image itself."""
        if key in self._images:
            return
        answers, objects = surest_first(answer_rows(found)), object_rows(truth)
        easy = objects[:, 6] == 0
        labels, true = answers[:, 5].astype(np.int64), objects[:, 4].astype(np.int64)
        shared = overlaps_of(answers, objects, self.inclusive)
        shared[labels[:, None] != true] = -1.0
        verdicts = self._verdicts(shared, easy)
        # copies: a column of the answers would keep all of them
        small = labels.astype(self._label), verdicts, true[easy].astype(self._label)
        self._images[key] = _Judged(answers[:, 4].copy(), *small)

    def merge(self, other: "VocMetric") -> None:
        """Take in what another process has seen: a metric travels between processes by pickle."""
        own, its = ((each.classes, each.overlap, each.inclusive) for each in (self, other))
        assert own == its, "metrics of different things"
        self._images = other._images | self._images

    def ap(self, points: str = "area") -> float:
        """The mean over the classes that have objects; `points` as in `per_class`."""
        there = [row.ap for row in self.per_class(points) if row.ap >= 0]
        return float(np.mean(there)) if there else -1.0

    def per_class(self, points: str = "area") -> list[VocRow]:
        """A row for each class, in the order of the classes.

        `points`: "area", under the curve, as from 2010 on, or "11", the mean over eleven recalls, as before.
        """
        if points not in POINTS:
            raise OptionError(f"VOC's average precision over '{points}'", expected=" or ".join(POINTS))
        images = [self._images[key] for key in sorted(self._images)]
        empty = _Judged(
            np.zeros(0, np.float32), np.zeros(0, self._label), np.zeros(0, np.int8), np.zeros(0, self._label)
        )
        every = _Judged(*(np.concatenate(column) for column in zip(empty, *images)))
        order = np.argsort(-every.scores, kind="stable")
        scores, labels, verdicts = every.scores[order], every.labels[order], every.verdicts[order]
        objects = np.bincount(every.objects, minlength=len(self.classes)).tolist()
        rows = []
        for number, name in enumerate(self.classes):
            own = labels == number
            counted = own & (verdicts != _NEITHER)
            right = np.cumsum(verdicts[counted] == _RIGHT)
            recall, precision = right / max(objects[number], 1), right / np.arange(1, len(right) + 1)
            ap = _average(recall, precision, points) if objects[number] else -1.0
            own_scores = scores[counted].astype(np.float64)
            rows.append(VocRow(name, ap, objects[number], int(own.sum()), recall, precision, own_scores))
        return rows

    def _verdicts(self, shared: NDArray[np.float64], easy: NDArray[np.bool_]) -> NDArray[np.int8]:
        """A detection, the surest first, answers for the object of its class that it overlaps most, taken or not."""
        verdicts = np.full(len(shared), _WRONG, np.int8)
        if not shared.size:
            return verdicts
        meant = shared.argmax(1)
        near = shared.max(1) >= self.overlap
        verdicts[near & ~easy[meant]] = _NEITHER
        for_easy = np.flatnonzero(near & easy[meant])
        _, first = np.unique(meant[for_easy], return_index=True)
        verdicts[for_easy[first]] = _RIGHT
        return verdicts


def _average(recall: NDArray[np.float64], precision: NDArray[np.float64], points: str) -> float:
    best = np.maximum.accumulate(precision[::-1])[::-1]  # at this recall or any higher one
    if points == "11":
        # summed, as the references have them: 3 in 10 does not reach the fourth, 0.30000000000000004
        places = np.searchsorted(recall, np.arange(0, 1.05, 0.1))
        return float(np.append(best, 0.0)[places].mean())
    return float((np.diff(recall, prepend=0.0) * best).sum())
