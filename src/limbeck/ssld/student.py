"""The student of a run: built, warm-started, and shipped."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.checkpoints.card import WEIGHTS, Card, find, is_checkpoint, named, read_card, save
from limbeck.checkpoints.weights import fit_weights, read_weights
from limbeck.classification.models import Architecture, check_pretrained, preprocess_of, size_args
from limbeck.console import console
from limbeck.errors import OptionError
from limbeck.records import Preprocess
from limbeck.ssld.options import Distill
from limbeck.ssld.teacher import check_classes
from limbeck.training.state import state_file


@dataclass(frozen=True)
class Student:
    """A model with all that is needed to build it again."""

    model: nn.Module
    architecture: Architecture
    preprocess: Preprocess

    def ship(
        self,
        folder: Path,
        model: nn.Module,
        classes: tuple[str, ...],
        provenance: Mapping[str, Any],
        metrics: Mapping[str, Any],
    ) -> None:
        """Write the student as a checkpoint: weights that plain timm loads, and the card."""
        save(folder, model, Card(vars(self.architecture), classes, self.preprocess, provenance, metrics))


def make_student(options: Distill, classes: tuple[str, ...]) -> Student:
    """The student that the options name: a classifier by name, or a checkpoint of the same classes to go on from.

    That of a run that goes on is not started from weights: its saved state has them all.
    """
    folder = checkpoint_of(options)
    if folder:
        check_classes(read_card(folder).classes, classes)
    student = blank_student(options, classes)
    if not goes_on(options):
        if folder:
            start(student.model, read_weights(folder / WEIGHTS), str(folder))
        if options.student_weights == "pretrained":
            start(student.model, published_weights(options), options.student)
        elif options.student_weights:
            start(student.model, read_weights(Path(options.student_weights).expanduser()), options.student_weights)
    return student


def blank_student(options: Distill, classes: tuple[str, ...]) -> Student:
    """The student with random weights."""
    torch.manual_seed(options.seed)
    args, size = parse_args(options.student_args), options.student_size or None
    folder = checkpoint_of(options)
    if folder:
        card = read_card(folder)
        architecture = card.build_from()
        architecture = replace(architecture, args=architecture.args | args | {"num_classes": len(classes)})
        model, preprocess = architecture.build(), card.preprocess
    else:
        architecture = named_student(options, len(classes))
        model = architecture.build()
        preprocess = preprocess_of(model)
    if size:
        preprocess = replace(preprocess, size=(size, size))
    if options.test_view:
        preprocess = replace(preprocess, crop=1.0)
    return Student(model, architecture, preprocess)


def published_weights(options: Distill) -> Mapping[str, Tensor]:
    """What the makers of a student that is named publish, with their own head."""
    size = options.student_size
    args = (size_args(options.student, size) if size else {}) | parse_args(options.student_args)
    return Architecture.parse(options.student, args=args).build(pretrained=True).state_dict()


def check_student(options: Distill) -> None:
    """Stop at a name or arguments that nobody knows, before anything takes long."""
    parse_args(options.student_args)
    if checkpoint_of(options) is None:
        named_student(options, classes=2)
        if options.student_weights == "pretrained":
            check_pretrained(Architecture.parse(options.student))


def checkpoint_of(options: Distill) -> Path | None:
    """The checkpoint that says what the student is: the run's own where it goes on, else the one that is named."""
    own, given = Path(options.out), Path(options.student).expanduser()
    if goes_on(options) and is_checkpoint(own):
        return find(own)
    return find(given) if is_checkpoint(given) else None


def goes_on(options: Distill) -> bool:
    """Whether the run has a saved state, which has all weights."""
    return options.resume and state_file(Path(options.out)).exists()


def named_student(options: Distill, classes: int) -> Architecture:
    """The architecture of a student that is no checkpoint."""
    args, size = parse_args(options.student_args), options.student_size or None
    return named(options.student, classes=classes, args=args, size=size)


def start(model: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Start a model from weights; a head of another class count begins anew, and that is said."""
    anew = fit_weights(model, weights, source, new_head=True)
    if anew:
        console.print(f"{source} has other classes: {', '.join(anew)} start anew", markup=False)


def parse_args(text: str, option: str = "--student-args") -> dict[str, Any]:
    """The arguments of a network's builder, as they are typed.

    >>> parse_args('{"drop_rate": 0.2}')
    {'drop_rate': 0.2}
    """
    if not text:
        return {}
    try:
        args = json.loads(text)
    except ValueError:
        args = None
    if not isinstance(args, dict):
        raise OptionError(f"{option} is {text!r}", expected="a JSON object", hint="'{\"drop_rate\": 0.2}'")
    return args
