"""A detector that others learn from, and what has to agree between it and its student."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from limbeck.detection.dense import Dense, Raw
from limbeck.detection.detector import Detector, Look
from limbeck.detection.loader import DetectionBatch
from limbeck.detection.step import raw_of
from limbeck.errors import OptionError, as_typed, peek


@dataclass(frozen=True)
class Teacher:
    """No module: no `train()`, moving average, device move or checkpoint of the student touches its detector."""

    name: str
    model: Dense
    look: Look
    classes: tuple[str, ...]
    precision: str

    @torch.no_grad()
    def __call__(self, batch: DetectionBatch) -> Raw:
        """What it makes of the views that the student sees, normalised as it learned."""
        raw: Raw = raw_of(self.model, self.look, self.precision, batch)
        return raw

    def to(self, device: torch.device) -> "Teacher":
        self.model.to(device)
        return self


def teacher_of(
    name: str, detector: str, model: Detector, look: Look, classes: Sequence[str], precision: str
) -> Teacher:
    """A detector of the table as a teacher, at rest."""
    if not isinstance(model, Dense):
        raise _without_distributions(f"--teacher {name}", detector)
    model.eval().requires_grad_(False)
    return Teacher(name, model, look, tuple(classes), precision)


def check(teacher: Teacher, detector: str, student: Detector, look: Look, classes: Sequence[str]) -> None:
    """Fail where the two do not speak of the same places, classes and distances; both sides are told."""
    if not isinstance(student, Dense):
        raise _without_distributions("the student", detector)
    where = f"--teacher {teacher.name}"
    if teacher.classes != tuple(classes):
        same = set(teacher.classes) == set(classes)
        raise OptionError(
            f"{where} knows {_told(teacher.classes)}; the photos have {_told(classes)}",
            expected="the same classes in the same order",
            hint=f"--classes {as_typed(teacher.classes)}" if same else "a teacher that learned these classes",
        )
    if (teacher.model.bins, teacher.model.strides) != (student.bins, student.strides):
        raise OptionError(
            f"{where} has {teacher.model.bins} bins a side at strides {as_typed(teacher.model.strides)}; "
            f"the student {student.bins} at {as_typed(student.strides)}",
            expected="the same places and distances",
            hint="a teacher of the student's kind",
        )
    if teacher.look.keep_ratio != look.keep_ratio:
        shapes = {True: "in their proportions", False: "squeezed to one shape"}
        raise OptionError(
            f"{where} learned from photos {shapes[teacher.look.keep_ratio]}; the student sees them "
            f"{shapes[look.keep_ratio]}",
            expected="the same preprocessing",
            hint="a teacher that was trained like the student",
        )


def differences(teacher: Teacher, look: Look) -> list[str]:
    """What may differ and is worth knowing.

    >>> from limbeck.detection.gfl import GFL
    >>> model = GFL(torch.nn.Identity(), [8, 8, 8], 2)
    >>> differences(teacher_of("big", "gfl", model, Look((800, 1333)), ("cat", "dog"), "float32"), Look((320, 533)))
    ['the teacher learned at 800 x 1333, and sees the views of the student: 320 x 533']
    """
    found = []
    if teacher.look.size != look.size:
        one, other = (f"{short} x {long}" for short, long in (teacher.look.size, look.size))
        found.append(f"the teacher learned at {one}, and sees the views of the student: {other}")
    if (teacher.look.mean, teacher.look.std) != (look.mean, look.std):
        found.append("the teacher sees the views of the student normalised as it learned, not as the student does")
    return found


def surest(raw: Raw) -> Tensor:
    """How sure a detector is of the surest object on each image, [B]."""
    return torch.cat(raw.logits, 1).float().sigmoid().amax((1, 2))


def _without_distributions(who: str, detector: str) -> OptionError:
    return OptionError(
        f"{who} is of the kind {detector}, which has no distributions of edges to learn from",
        expected="a detector like gfl or gfl_dcn on both sides",
        hint="--detector gfl --backbone resnet18",
    )


def _told(classes: Sequence[str]) -> str:
    return f"{len(classes)} classes ({peek(', '.join(classes))})"
