"""Does it work? The student against the teacher on held-out photos, and against true labels where there are some."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

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

_BATCH = 128
_FEW = 512


@dataclass(frozen=True)
class Probe:
    """Held-out photos and the teacher's answers to them, each model seeing its own evaluation crop."""

    photos: ImageSet
    answers: SoftLabels

    def __call__(self, student: nn.Module, inputs: StudentInput, ranks: Ranks, workers: int) -> dict[str, float]:
        """Mean Jensen-Shannon divergence and top-1 agreement."""
        distance, agreed, count = 0.0, 0, 0
        mine = np.arange(ranks.rank, len(self.photos), ranks.world)
        for logits, rows in answers_of(student, inputs, self.photos.take(mine), ranks.device, workers):
            told = self.answers[torch.from_numpy(mine)[rows]].to(ranks.device)
            distance += float(js(logits, told, reduction="none").sum())
            agreed += int((logits.argmax(1) == best_class(told)).sum())
            count += len(rows)
        distance, hits, total = ranks.sum((distance, agreed, count))
        return {"probe_js": distance / max(1.0, total), "probe_agreement": hits / max(1.0, total)}


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
            parts.append(encode(teaching.teacher.evaluate(batch.views)).to("cpu"))
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
            with torch.inference_mode():
                logits = inputs.run(student, batch.views[0].to(device))
            yield logits, batch.indices
    finally:
        student.train(training)


def _hands(photos: ImageSet, workers: int) -> int:
    """A handful of photos is decoded sooner than a worker starts."""
    return workers if len(photos) > _FEW else 0


def accuracy(
    student: nn.Module,
    inputs: StudentInput,
    photos: ImageSet,
    truth: Tensor,
    ranks: Ranks,
    workers: int,
) -> dict[str, float]:
    """Top-1 and top-5 on labelled photos, a share of them on each process."""
    mine = np.arange(ranks.rank, len(photos), ranks.world)
    score = Accuracy()
    for logits, rows in answers_of(student, inputs, photos.take(mine), ranks.device, workers):
        score.update(logits.cpu(), truth[torch.from_numpy(mine)[rows]])
    top1, top5, total = ranks.sum((score.first, score.first_five, score.count))
    return {"top1": top1 / max(1.0, total), "top5": top5 / max(1.0, total)}
