"""The teacher: one network or several, seen only through its answers. It is never part of a module tree."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Literal

import torch
from torch import Tensor, nn

from limbeck.console import console
from limbeck.errors import OptionError, TeacherError, counted
from limbeck.records import Preprocess
from limbeck.ssld.members import Member, Network, OnnxFile, Overrides, member_of

Norm = Literal["frozen", "batch"]


class Teacher:
    """Networks that answer together: the mean of their probabilities."""

    def __init__(self, members: Sequence[Network]) -> None:
        self.members = tuple(members)
        self.classes = _agreed_classes(self.members)
        self.names = _agreed_names(self.members)

    @property
    def preprocess(self) -> Preprocess:
        return self.members[0].preprocess

    @property
    def preprocesses(self) -> list[Preprocess]:
        return [member.preprocess for member in self.members]

    @property
    def sizes(self) -> list[int]:
        return [max(preprocess.size) for preprocess in self.preprocesses]

    @property
    def size(self) -> int:
        """The largest input."""
        return max(self.sizes)

    @property
    def licence(self) -> str | None:
        licences = dict.fromkeys(member.licence for member in self.members if member.licence)
        return ", ".join(licences) or None

    @property
    def parameters(self) -> int:
        return sum(member.parameters for member in self.members)

    @property
    def megabytes(self) -> float:
        return sum(member.megabytes for member in self.members)

    def log_probabilities(self, images: Tensor) -> Tensor:
        """The answers to training views, uint8 [B, 3, S, S], as float32 [B, C]."""
        return _together([member.answer(images) for member in self.members])

    def evaluate(self, views: Sequence[Tensor]) -> Tensor:
        """The answers to evaluation views: each member's own, uint8 [B, 3, h, w], in the order of `preprocesses`."""
        pairs = zip(self.members, views, strict=True)
        return _together([member.answer(view, evaluation=True) for member, view in pairs])


@dataclass(frozen=True)
class TeacherSpec:
    """What a teacher is, before anything is loaded.

    >>> spec = TeacherSpec.parse("test_resnet, test_vit", pretrained=False)
    >>> spec.description
    'timm/test_resnet (untrained) + timm/test_vit (untrained)'
    >>> spec.load().classes
    1000
    """

    members: tuple[Member, ...]
    norm: Norm = "frozen"

    @classmethod
    def parse(
        cls,
        teacher: str | nn.Module | Sequence[str | nn.Module],
        *,
        weights: str | None = None,
        size: int | None = None,
        mean: tuple[float, ...] | None = None,
        std: tuple[float, ...] | None = None,
        norm: Norm = "frozen",
        pretrained: bool = True,
    ) -> "TeacherSpec":
        """A name, a run, an `.onnx` file or a module; several, comma separated or in a list, are an ensemble.

        `weights` is a file for each, comma separated alike; size, mean and std hold for all.
        """
        given = _listed(teacher)
        files = [file.strip() for file in weights.split(",")] if weights else [""] * len(given)
        if len(files) != len(given):
            raise OptionError(
                f"{counted(len(given), 'teacher')} and {counted(len(files), 'file')} of weights",
                expected="one file for each teacher, in the same order",
                hint="--teacher A,B --teacher-weights A.safetensors,B.safetensors",
            )
        overrides = Overrides(size, tuple(mean) if mean else None, tuple(std) if std else None)
        members = [member_of(one, file or None, overrides, pretrained) for one, file in zip(given, files, strict=True)]
        return cls(tuple(members), norm)

    @cached_property
    def fingerprint(self) -> str:
        """Equal for teachers that give equal answers; no model is built for it."""
        told = "\n".join([self.norm, *(member.identity() for member in self.members)])
        return blake2b(told.encode(), digest_size=16).hexdigest()

    @property
    def description(self) -> str:
        return " + ".join(member.description for member in self.members)

    @property
    def only_float32(self) -> bool:
        """Whether no member takes another precision."""
        return all(isinstance(member, OnnxFile) for member in self.members)

    @property
    def assumptions(self) -> list[str]:
        """What nobody said of the members' inputs, and what is taken instead."""
        return [member.assumption for member in self.members if member.assumption]

    def load(self, device: torch.device | str = "cpu", precision: str = "float32") -> Teacher:
        """The networks, on their device, ready to answer."""
        batch_norm = self.norm == "batch"
        return Teacher([member.load(torch.device(device), precision, batch_norm) for member in self.members])


def check_classes(student: Sequence[str], teacher: Sequence[str]) -> None:
    """Stops a student and a teacher that answer different questions.

    >>> check_classes(["cat", "dog"], ["cat", "dog"])
    """
    if len(student) != len(teacher):
        raise OptionError(
            f"the student answers {counted(len(student), 'class', 'classes')} and the teacher {len(teacher):,}",
            expected="one class count",
            hint="a student by its timm name takes the teacher's",
        )
    odd = [f"{mine} / {its}" for mine, its in zip(student, teacher, strict=True) if mine != its]
    if odd:
        raise OptionError(
            f"student and teacher call {counted(len(odd), 'class', 'classes')} differently: {', '.join(odd[:5])}",
            expected="the same classes in the same order",
            hint="a student by its timm name takes the teacher's",
        )


_CURE = "--teacher-weights FILE, --teacher-mean R G B, --teacher-std R G B; or --no-check-teacher"


def check_answers(log_probabilities: Tensor) -> None:
    """Stops a teacher whose answers to some sixty photos cannot teach: not numbers, near uniform, or constant.

    >>> check_answers(torch.randn(64, 10, generator=torch.Generator().manual_seed(0)).mul(3).log_softmax(1))
    """
    answers = log_probabilities.cpu().double()  # in this order: MPS has no float64
    count, classes = answers.shape
    if bool(answers.isnan().any()):
        raise TeacherError(
            f"the teacher's answers to {int(answers.isnan().any(1).sum())} of {count} photos are not numbers",
            expected="probabilities",
            hint=f"--teacher-precision float32; or {_CURE}",
        )
    if count < 2 or classes < 2:
        return
    answers = answers.clamp(min=-100)
    shares = answers.exp()
    entropy = float(-(shares * answers).sum(1).mean()) / math.log(classes)
    told = float((shares * (answers - shares.mean(0).log())).sum(1).mean())  # nats an answer tells of its photo
    swing = float((answers - answers.mean(1, keepdim=True)).std(0).mean())
    # untrained networks stay below .06 nats, .35 in swing or above .96 in entropy; trained ones are far beyond
    if told < 0.1 and (entropy > 0.95 or swing < 0.35):
        flat = "near uniform" if entropy > 0.95 else "nearly the same"
        raise TeacherError(
            f"the teacher's answers to {counted(count, 'photo')} are {flat}: mean best probability "
            f"{float(shares.amax(1).mean()):.3f} over {counted(classes, 'class', 'classes')}",
            expected="answers that differ from photo to photo: trained weights, and their own normalisation",
            hint=_CURE,
        )
    best = answers.argmax(1)
    if told < 1e-3 and bool((best == best[0]).all()):
        raise TeacherError(
            f"the teacher gives one constant answer to {count} photos: class {int(best[0])}, "
            f"probability {float(shares.amax(1).mean()):.3f}",
            expected="answers that differ from photo to photo: the normalisation that the teacher was trained with",
            hint=_CURE,
        )


def _listed(teacher: str | nn.Module | Sequence[str | nn.Module]) -> list[str | nn.Module]:
    if isinstance(teacher, nn.Module):
        return [teacher]
    parts = [part.strip() for part in teacher.split(",")] if isinstance(teacher, str) else list(teacher)
    named = [part for part in parts if not isinstance(part, str) or part]
    if not named:
        raise OptionError("no teacher is named", expected="--teacher NAME", hint="--teacher resnet50d")
    return named


def _together(answers: list[Tensor]) -> Tensor:
    if len(answers) == 1:
        return answers[0]
    return torch.stack(answers).logsumexp(0) - math.log(len(answers))


def _agreed_classes(members: Sequence[Network]) -> int:
    counts = [member.classes for member in members]
    if len(set(counts)) > 1:
        told = ", ".join(f"{member.description} {member.classes:,}" for member in members)
        raise TeacherError(
            f"the teachers differ in their class counts: {told}",
            expected="one class count",
            hint="--teacher with those of one count",
        )
    return counts[0]


def _agreed_names(members: Sequence[Network]) -> tuple[str, ...] | None:
    known = [(member.description, member.names) for member in members if member.names]
    for description, names in known[1:]:
        if names != known[0][1]:
            odd = [f"'{a}' / '{b}'" for a, b in zip(known[0][1] or (), names or (), strict=True) if a != b]
            raise TeacherError(
                f"{known[0][0]} and {description} call {counted(len(odd), 'class', 'classes')} differently: "
                f"{', '.join(odd[:3])}",
                expected="teachers of the same classes in the same order",
                hint="--teacher with one of them",
            )
    if len(known) not in (0, len(members)):
        console.print("not every teacher names its classes: they are taken to be in the same order")
    return known[0][1] if known else None
