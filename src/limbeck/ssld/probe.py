"""Does it work? The student against the teacher on held-out photos, and against true labels where there are some."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor, nn

from limbeck.classification.metrics import Accuracy
from limbeck.console import console, progress
from limbeck.divergence import js
from limbeck.images.imageset import ImageSet
from limbeck.images.reader import evaluation_batches
from limbeck.records import SoftLabels
from limbeck.ssld.step import StudentInput, best_class
from limbeck.ssld.store import EVALUATION_VIEW, SoftLabelStore
from limbeck.ssld.teaching import Teaching
from limbeck.training.ranks import Ranks

TOP = 3
LEAST_STEPS = 20
LARGEST_SHARE = 0.1

_BATCH = 128
_FEW = 512


@dataclass(frozen=True)
class Seen:
    """What a student answers to held-out photos, row by row."""

    rows: Tensor  # int64 [n]: which of the probe's photos
    distance: Tensor  # float32 [n]: Jensen-Shannon divergence from the teacher's answer
    agrees: Tensor  # bool [n]
    best: Tensor  # int64 [n, k]: the student's first classes
    probability: Tensor  # float32 [n, k]


@dataclass(frozen=True)
class Probe:
    """Held-out photos and the teacher's answers to them, each model seeing its own evaluation crop."""

    photos: ImageSet
    answers: SoftLabels

    def look(
        self,
        student: nn.Module,
        inputs: StudentInput,
        device: torch.device,
        workers: int,
        rank: int = 0,
        world: int = 1,
    ) -> Seen:
        """The student's answers to this process's share of the photos."""
        mine = np.arange(rank, len(self.photos), world)
        keep = min(TOP, self.answers.classes)
        seen = [_seen(torch.zeros(0, self.answers.classes), self.answers[:0], torch.zeros(0, dtype=torch.int64), keep)]
        for logits, places in answers_of(student, inputs, self.photos.take(mine), device, workers):
            rows = torch.from_numpy(mine)[places]
            seen.append(_seen(logits, self.answers[rows].to(device), rows, keep))
        return Seen(*(torch.cat([getattr(part, each.name) for part in seen]) for each in fields(Seen)))

    def numbers(self, seen: Seen, ranks: Ranks) -> dict[str, float]:
        """Mean Jensen-Shannon divergence and top-1 agreement, over what all processes have seen."""
        counted = float(seen.distance.double().sum()), int(seen.agrees.sum()), len(seen.rows)
        distance, hits, total = ranks.sum(counted)
        return {"probe_js": distance / max(1.0, total), "probe_agreement": hits / max(1.0, total)}


def _seen(logits: Tensor, told: SoftLabels, rows: Tensor, keep: int) -> Seen:
    best = logits.softmax(1).topk(keep)
    distance = js(logits, told, reduction="none") if len(rows) else logits.new_zeros(0)
    agrees = logits.argmax(1) == best_class(told) if len(rows) else torch.zeros(0, dtype=torch.bool)
    return Seen(rows, distance.float().cpu(), agrees.cpu(), best.indices.cpu(), best.values.cpu())


def ask_teacher(
    photos: ImageSet,
    teaching: Teaching,
    encode: Callable[[Tensor], SoftLabels],
    workers: int,
    store: SoftLabelStore | None = None,
) -> Probe | None:
    """The teacher's answers to held-out photos, on its own evaluation crop; from the store where it has them all.

    Photos that can no longer be read are left out, and it is said.
    """
    numbers = np.full(len(photos), EVALUATION_VIEW, np.uint32)
    if store is not None and store.covers(photos.keys, numbers):
        return Probe(photos, store.look_up(photos.keys, numbers)[0])
    parts: list[SoftLabels] = []
    kept: list[Tensor] = []
    batches = evaluation_batches(photos, teaching.facts.preprocesses, batch=_BATCH, workers=_hands(photos, workers))
    with progress("asking the teacher about the held-out photos", len(photos)) as advance:
        for batch in batches:
            parts.append(encode(teaching.evaluate(batch.views)).to("cpu"))
            kept.append(batch.indices)
            advance(len(batch.indices))
    rows = torch.cat(kept) if kept else torch.zeros(0, dtype=torch.int64)
    if len(rows) < len(photos):
        console.print(f"{len(photos) - len(rows):,} of {len(photos):,} held-out photos can no longer be read")
    if not len(rows):
        return None
    answers = joined(parts)
    photos = photos.take(rows.numpy())
    if store is not None:
        store.add(photos.keys, numbers[: len(photos)], answers)
        store.commit()
        # what a store gives back when one photo is there twice is one of its two answers: take the same now
        answers = store.look_up(photos.keys, numbers[: len(photos)])[0]
    return Probe(photos, answers)


def joined(parts: Sequence[SoftLabels]) -> SoftLabels:
    """Batches of labels as one."""
    index = [part.index for part in parts if part.index is not None]
    return SoftLabels(
        torch.cat(index) if index else None,
        torch.cat([part.log_probability for part in parts]),
        torch.cat([part.log_rest for part in parts]),
        parts[0].classes,
    )


def answers_of(
    student: nn.Module, inputs: StudentInput, photos: ImageSet, device: torch.device, workers: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """The student's logits on its evaluation crop: (logits, rows of `photos`) a batch."""
    training = student.training
    student.eval()
    try:
        for batch in evaluation_batches(photos, [inputs.preprocess], batch=_BATCH, workers=_hands(photos, workers)):
            yield inputs.ask(student, batch.views[0].to(device)), batch.indices
    finally:
        student.train(training)


def _hands(photos: ImageSet, workers: int) -> int:
    """A handful of photos is decoded sooner than a worker starts."""
    return workers if len(photos) > _FEW else 0


def teacher_accuracy(teaching: Teaching, photos: ImageSet, truth: Tensor, ranks: Ranks, workers: int) -> Accuracy:
    """The teacher's own top-1 and top-5 on labelled photos, a share of them on each process."""
    mine = np.arange(ranks.rank, len(photos), ranks.world)
    score, share = Accuracy(), photos.take(mine)
    batches = evaluation_batches(share, teaching.facts.preprocesses, batch=_BATCH, workers=_hands(share, workers))
    with progress("asking the teacher about the labelled photos", len(share), shown=ranks.first) as advance:
        for batch in batches:
            if len(batch.indices):
                score.update(teaching.evaluate(batch.views), truth[torch.from_numpy(mine)[batch.indices]])
            advance(len(batch.indices) + len(batch.failed))
    count, first, five = ranks.sum((score.count, score.first, score.first_five))
    return Accuracy(int(count), int(first), int(five))


def epochs_between(steps_per_epoch: int, batch: int, evaluated: int) -> int:
    """How many epochs lie between two evaluations of so many photos, where nobody said.

    At least 20 steps, and at least ten times as many photos trained on as evaluated, so that evaluations cost little.

    >>> epochs_between(200, 256, evaluated=1000), epochs_between(2, 256, evaluated=10), epochs_between(30, 16, 96)
    (1, 10, 2)
    """
    steps = max(LEAST_STEPS, evaluated / LARGEST_SHARE / batch)
    return max(1, math.ceil(steps / steps_per_epoch))
