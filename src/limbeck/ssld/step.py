"""The distillation step, and the labelled step that it is compared with."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.images.prepare import to_input
from limbeck.records import Preprocess, SoftLabels
from limbeck.ssld.batch import Mixed, PhotoBatch
from limbeck.step import Step
from limbeck.training.portions import Portions

# the teacher: uint8 views -> log-probabilities
Answer = Callable[[Tensor], Tensor]
# where fresh labels go: the batch they belong to, and the labels
Keep = Callable[[PhotoBatch, SoftLabels], None]
Distance = Callable[..., Tensor]


def _portions() -> Portions:
    return Portions("the student", "a smaller --student-size, a smaller student, or --device cpu")


@dataclass(frozen=True)
class StudentInput:
    """How views become the student's input, and the precision that it computes in."""

    preprocess: Preprocess
    precision: str
    portions: Portions = field(default_factory=_portions, compare=False, repr=False)

    def run(self, student: nn.Module, images: Tensor, mixed: Mixed | None = None) -> Tensor:
        """Logits in float32."""
        look = self.preprocess
        pixels = to_input(images, look.size, look.mean, look.std)
        if mixed is not None:
            share = mixed.share[:, None, None, None]
            pixels = to_input(mixed.images, look.size, look.mean, look.std).lerp(pixels, share)
        with torch.autocast(images.device.type, getattr(torch, self.precision), enabled=self.precision != "float32"):
            logits: Tensor = student(pixels)
        return logits.float()

    def ask(self, student: nn.Module, images: Tensor) -> Tensor:
        """Logits without a gradient, of as many images at once as fit into memory."""
        with torch.inference_mode():
            return self.portions(lambda parts: self.run(student, parts[0]), [images])


class SoftLabelStep(Step):
    """The paper's step: the student's answer to a view is drawn to the teacher's answer to the same view."""

    def __init__(
        self, student: nn.Module, inputs: StudentInput, distance: Distance, name: str, labels: "LabelSource"
    ) -> None:
        super().__init__()
        self.student, self.inputs, self.distance, self.name, self.labels = student, inputs, distance, name, labels
        self.watched: dict[str, Tensor] = {}

    def forward(self, batch: PhotoBatch) -> dict[str, Tensor]:
        labels = self.labels(batch)
        logits = self.inputs.run(self.student, batch.images)
        self.watched = {"agreement": (logits.argmax(1) == best_class(labels)).float().mean()}
        return {self.name: self.distance(logits, labels)}


class LabelledStep(Step):
    """Cross-entropy with true labels, `smoothing` of them spread over all classes; photos may be mixed in pairs."""

    def __init__(self, student: nn.Module, inputs: StudentInput, smoothing: float = 0.0) -> None:
        super().__init__()
        self.student, self.inputs, self.smoothing = student, inputs, smoothing
        self.watched: dict[str, Tensor] = {}

    def forward(self, batch: PhotoBatch) -> dict[str, Tensor]:
        assert batch.truth is not None
        logits = self.inputs.run(self.student, batch.images, batch.mixed)
        loss, right = self._of(logits, batch.truth)
        if batch.mixed is not None:
            other_loss, other_right = self._of(logits, batch.mixed.truth)
            loss = other_loss.lerp(loss, batch.mixed.share)
            right = other_right.lerp(right, batch.mixed.share)
        self.watched = {"accuracy": right.mean()}
        return {"cross_entropy": loss.mean()}

    def _of(self, logits: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
        loss = nn.functional.cross_entropy(logits, truth, reduction="none", label_smoothing=self.smoothing)
        return loss, (logits.argmax(1) == truth).float()


@dataclass(frozen=True)
class LabelSource:
    """Soft labels of a batch: from the store where it has them all, else from the teacher.

    With a store, what the teacher says passes through the store's encoding before the loss, and a batch with any
    miss runs through the teacher whole: a run that is resumed in the middle of the filling pass sees the same labels.
    """

    teacher: Answer
    encode: Callable[[Tensor], SoftLabels] | None = None
    keep: Keep | None = None

    def __call__(self, batch: PhotoBatch) -> Tensor | SoftLabels:
        if batch.whole:
            assert batch.stored is not None
            return batch.stored
        answers = self.teacher(batch.images)
        if self.encode is None:
            return answers
        fresh = self.encode(answers)
        if self.keep is not None:
            self.keep(batch, fresh)
        if batch.stored is None or batch.hit is None:
            return fresh
        return merged(batch.stored, fresh, batch.hit)


def merged(stored: SoftLabels, fresh: SoftLabels, hit: Tensor) -> SoftLabels:
    """The stored labels where they were hit, the fresh ones elsewhere."""
    rows = hit[:, None]
    index = None
    if stored.index is not None and fresh.index is not None:
        index = torch.where(rows, stored.index, fresh.index)
    return SoftLabels(
        index,
        torch.where(rows, stored.log_probability, fresh.log_probability),
        torch.where(hit, stored.log_rest, fresh.log_rest),
        stored.classes,
    )


def best_class(labels: Tensor | SoftLabels) -> Tensor:
    """The most likely class of each row.

    >>> best_class(torch.tensor([[0.1, 0.9]])).tolist()
    [1]
    """
    if isinstance(labels, Tensor):
        return labels.argmax(1)
    column: Any = labels.log_probability.argmax(1, keepdim=True)
    best: Tensor = (column if labels.index is None else labels.index.gather(1, column))[:, 0]
    return best
