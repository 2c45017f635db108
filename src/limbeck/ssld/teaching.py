"""A teacher that is loaded only when it is asked something."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from limbeck.images.scope import random_scope
from limbeck.records import Preprocess
from limbeck.ssld.teacher import Teacher, TeacherSpec
from limbeck.training.portions import Portions


@dataclass(frozen=True)
class TeacherFacts:
    """What a run needs to know of its teacher without loading it."""

    description: str
    classes: int
    names: tuple[str, ...] | None
    preprocesses: tuple[Preprocess, ...]
    size: int
    licence: str | None
    parameters: int
    megabytes: float

    @classmethod
    def of(cls, teacher: Teacher, description: str) -> "TeacherFacts":
        return cls(
            description,
            teacher.classes,
            teacher.names,
            tuple(teacher.preprocesses),
            teacher.size,
            teacher.licence,
            teacher.parameters,
            teacher.megabytes,
        )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, told: dict[str, Any]) -> "TeacherFacts":
        views = tuple(Preprocess.from_dict(view) for view in told["preprocesses"])
        return cls(**told | {"preprocesses": views, "names": tuple(told["names"]) if told["names"] else None})


class Teaching:
    """The teacher of a run. `facts` come from a soft-label store where there is one, and need no weights then."""

    def __init__(
        self, spec: TeacherSpec, device: torch.device, precision: str, facts: TeacherFacts | None = None
    ) -> None:
        self._spec, self._device, self._precision = spec, device, precision
        self._teacher: Teacher | None = None
        self._portions = Portions("the teacher", "--teacher-precision bfloat16, a smaller teacher, or --device cpu")
        self.facts = facts or TeacherFacts.of(self.teacher, spec.description)

    @property
    def teacher(self) -> Teacher:
        if self._teacher is None:
            with random_scope(0):  # networks are drawn as they are built: not from the student's draws
                self._teacher = self._spec.load(self._device, self._precision)
        return self._teacher

    @property
    def fingerprint(self) -> str:
        return self._spec.fingerprint

    @property
    def loaded(self) -> bool:
        return self._teacher is not None

    def log_probabilities(self, images: Tensor) -> Tensor:
        return self.teacher.log_probabilities(images)

    def evaluate(self, views: Sequence[Tensor]) -> Tensor:
        """The answers to evaluation views, to as many at once as fit into memory."""
        return self._portions(self.teacher.evaluate, views)
