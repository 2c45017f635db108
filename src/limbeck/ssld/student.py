"""The student of a run: built, warm-started, and shipped."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from limbeck.checkpoints.card import WEIGHTS, Card, find, is_checkpoint, read_card, save
from limbeck.checkpoints.weights import fit_weights, read_weights
from limbeck.classification.models import BUILDERS, Architecture, preprocess_of, size_args
from limbeck.classification.names import numbered
from limbeck.console import console
from limbeck.errors import OptionError, UnknownName
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
        run: Path,
        model: nn.Module,
        classes: tuple[str, ...],
        provenance: Mapping[str, Any],
        metrics: Mapping[str, Any],
    ) -> None:
        """Write the student into its run: weights that plain timm loads, and the card."""
        save(run / "student", model, Card(vars(self.architecture), classes, self.preprocess, provenance, metrics))


def make_student(options: Distill, classes: tuple[str, ...]) -> Student:
    """The student that the options name: a classifier by name, or a checkpoint of the same classes to go on from.

    That of a run that goes on is not started from weights: its saved state has them all.
    """
    torch.manual_seed(options.seed)
    args, size = parse_args(options.student_args), options.student_size or None
    folder = checkpoint_of(options)
    if folder:
        card = read_card(folder)
        check_classes(card.classes, classes)
        architecture = card.build_from()
        architecture = replace(architecture, args=architecture.args | args)
        model, preprocess = architecture.build(), card.preprocess
    else:
        architecture = _named(options.student, classes, args, size)
        model = architecture.build()
        preprocess = preprocess_of(model)
    if not _goes_on(options):
        if folder:
            start(model, folder / WEIGHTS)
        if options.student_weights:
            start(model, Path(options.student_weights).expanduser())
    if size:
        preprocess = replace(preprocess, size=(size, size))
    return Student(model, architecture, preprocess)


def check_student(options: Distill) -> None:
    """Stop at a name or arguments that nobody knows, before anything takes long."""
    args = parse_args(options.student_args)
    if checkpoint_of(options) is None:
        _named(options.student, numbered(2), args, options.student_size or None)


def checkpoint_of(options: Distill) -> Path | None:
    """The checkpoint that says what the student is: the run's own where it goes on, else the one that is named."""
    own, named = Path(options.out), Path(options.student).expanduser()
    if _goes_on(options) and is_checkpoint(own):
        return find(own)
    return find(named) if is_checkpoint(named) else None


def _goes_on(options: Distill) -> bool:
    return options.resume and state_file(Path(options.out)).exists()


def _named(student: str, classes: tuple[str, ...], args: dict[str, Any], size: int | None) -> Architecture:
    try:
        sized = size_args(student, size) if size else {}
        return Architecture.parse(student, classes=len(classes), args=sized | args).local()
    except UnknownName:
        path = Path(student).expanduser()
        if path.exists() or (os.sep in student and student.partition("/")[0] not in BUILDERS):
            find(path)  # which says what a checkpoint is
        raise


def start(model: nn.Module, weights: Path) -> None:
    """Start a model from weights; a head of another class count begins anew, and that is said."""
    anew = fit_weights(model, read_weights(weights), str(weights), new_head=True)
    if anew:
        console.print(f"{weights} has other classes: {', '.join(anew)} start anew", markup=False)


def parse_args(text: str) -> dict[str, Any]:
    """The arguments of --student-args.

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
        raise OptionError(f"--student-args is {text!r}", expected="a JSON object", hint="'{\"drop_rate\": 0.2}'")
    return args
