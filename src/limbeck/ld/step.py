"""A dense detector learns from boxes, and from what a teacher says of the same views (arXiv 2102.12252)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from limbeck.detection.atss import Matched
from limbeck.detection.batch import Targets
from limbeck.detection.dense import Dense, Raw
from limbeck.detection.detector import Look
from limbeck.detection.loader import DetectionBatch
from limbeck.detection.rows import rows
from limbeck.detection.step import raw_of
from limbeck.ld.regions import near_objects, surroundings
from limbeck.ld.teacher import Teacher
from limbeck.ld.terms import around_objects, of_classes, of_features, on_objects, softened
from limbeck.step import Step

Region = Literal["iof", "diou"]


@dataclass(frozen=True)
class Terms:
    """What is learned from the teacher, each by its weight; 0: not at all.

    `main` are the sides at the places that own a box, `around` those at the places around boxes, `classes` the class
    scores at the former, `features` the pyramid's maps near objects. `main` and `around` are sums over a batch:
    `images` is the size of the batch that the weights are meant for, so that parts and processes that share a batch add
    up to the same (0: each counts as it is).
    """

    main: float = 0.0
    around: float = 0.0
    classes: float = 0.0
    features: float = 0.0
    region: Region = "iof"
    temperature: float = 10.0
    class_temperature: float = 2.0
    images: int = 0

    def __bool__(self) -> bool:
        return any((self.main, self.around, self.classes, self.features))


@dataclass(frozen=True)
class Lesson:
    """A batch as both have seen it; what several terms need is made once."""

    terms: Terms
    student: Dense
    mine: Raw
    theirs: Raw
    matched: Matched
    targets: Targets

    @cached_property
    def distance(self) -> Tensor:
        """How far the two are apart on all sides of each place, [B, N]."""
        mine, theirs = torch.cat(self.mine.sides, 1), torch.cat(self.theirs.sides, 1)
        return softened(mine, theirs, self.terms.temperature).sum(2)

    @cached_property
    def owned(self) -> Tensor:
        return self.matched.owner >= 0

    @property
    def share(self) -> float:
        """What a sum over this batch counts."""
        return self.terms.images / len(self.owned) if self.terms.images else 1.0

    def per_level(self, values: Tensor) -> Sequence[Tensor]:
        return torch.split(values, [len(points) for points in self.mine.points], 1)


class _Known(NamedTuple):
    """What is known of the images of a batch that have true boxes."""

    raw: Raw
    targets: Targets
    frames: Tensor
    matched: Matched
    images: int


class DistilledDetectionStep(Step):
    """The detector's own losses on the images that have true boxes, and the teacher's terms on all.

    Of the photos of a set the first `labelled` have true boxes (None: all); the boxes of the others are the teacher's,
    and only say where it is asked.
    """

    student: Dense

    def __init__(
        self,
        student: Dense,
        teacher: Teacher,
        look: Look,
        precision: str,
        terms: Terms,
        labelled: int | None = None,
    ) -> None:
        super().__init__()
        self.student, self.teacher, self.terms = student, teacher, terms
        self.look, self.precision, self.labelled = look, precision, labelled
        self.divided = student.divided + (labelled is not None)
        self.watched: dict[str, Tensor] = {}

    def forward(self, batch: DetectionBatch) -> dict[str, Tensor]:
        raw, matched = self._seen(batch)
        lesson = Lesson(self.terms, self.student, raw, self.teacher(batch), matched, batch.targets)
        return self._from_boxes(batch, self._known(batch, raw, matched)) | learned(lesson)

    def divisors(self, batch: DetectionBatch) -> Tensor:
        return self._divisors(self._known(batch, *self._seen(batch)))

    def _seen(self, batch: DetectionBatch) -> tuple[Raw, Matched]:
        raw: Raw = raw_of(self.student, self.look, self.precision, batch)
        return raw, self.student.assign(raw, batch.targets, batch.frames)

    def _from_boxes(self, batch: DetectionBatch, known: _Known) -> dict[str, Tensor]:
        """The student's own losses, by the share of images that have true boxes: each image counts as in any batch."""
        student, (raw, targets, frames, matched, images) = self.student, known
        agreed = self.agree(self._divisors(known)) if self.agree else None
        divisors = None if agreed is None else agreed[: student.divided]
        losses = student.losses(raw, targets, frames, divisors, matched)
        scale: float | Tensor = 1 / self.share
        if self.labelled is not None:
            labelled = images if agreed is None else agreed[-1]  # in the whole batch
            scale = labelled / len(batch) * (images > 0)
        return {name: value * scale for name, value in losses.items()}

    def _divisors(self, known: _Known) -> Tensor:
        """The student's, then how many images have true boxes, where some have none."""
        raw, targets, frames, matched, images = known
        own = self.student.divisors(raw, targets, frames, matched) * (images > 0)
        return own if self.labelled is None else torch.cat([own, own.new_full((1,), images)])

    def _known(self, batch: DetectionBatch, raw: Raw, matched: Matched) -> _Known:
        """The images that have true boxes; where none has, one whose losses then count nothing, and have names."""
        known = np.flatnonzero(batch.indices.numpy() < (self.labelled or 0))
        if self.labelled is None or len(known) == len(batch):
            return _Known(raw, batch.targets, batch.frames, matched, len(batch))
        some = known if len(known) else np.zeros(1, np.int64)
        chosen = torch.from_numpy(some).to(batch.frames.device, non_blocking=True)
        return _Known(
            raw.of_images(chosen),
            batch.targets.of_images(chosen),
            batch.frames.index_select(0, chosen),
            matched.of_images(chosen),
            len(known),
        )


def learned(lesson: Lesson) -> dict[str, Tensor]:
    """The terms that have a weight, by name."""
    chosen = {name: getattr(lesson.terms, name) for name in TERMS}
    return {f"ld_{name}": weight * TERMS[name](lesson) for name, weight in chosen.items() if weight}


def _main(lesson: Lesson) -> Tensor:
    sure = torch.cat(lesson.mine.logits, 1).detach().float().sigmoid().amax(2)
    return on_objects(lesson.distance, sure * lesson.owned) * lesson.share


def _around(lesson: Lesson) -> Tensor:
    targets, priors = lesson.targets, lesson.student.priors(lesson.mine)
    region = surroundings(priors, targets.boxes, targets.there, lesson.matched, lesson.terms.region)
    return around_objects(lesson.distance, region) * lesson.share


def _classes(lesson: Lesson) -> Tensor:
    levels = zip(lesson.mine.logits, lesson.theirs.logits, lesson.per_level(lesson.owned), strict=True)
    cooled = lesson.terms.class_temperature
    found = [of_classes(mine.float(), theirs.float(), owned, cooled) for mine, theirs, owned in levels]
    return torch.stack(found).sum()


def _features(lesson: Lesson) -> Tensor:
    """Of the levels that own a box."""
    near = lesson.per_level(near_objects(lesson.targets.there, lesson.matched))
    levels = zip(lesson.mine.maps, lesson.theirs.maps, near, lesson.per_level(lesson.owned), strict=True)
    found = [
        of_features(rows(mine, mine.shape[1]).float(), rows(theirs, theirs.shape[1]).float(), close) * owned.any()
        for mine, theirs, close, owned in levels
    ]
    return torch.stack(found).sum()


TERMS: dict[str, Callable[[Lesson], Tensor]] = {
    "main": _main,
    "around": _around,
    "classes": _classes,
    "features": _features,
}
