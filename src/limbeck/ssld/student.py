"""The student of a run: built, warm-started, and shipped."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from limbeck.checkpoints.card import WEIGHTS, Card, find, read_card, save
from limbeck.checkpoints.weights import fit_weights, read_weights
from limbeck.classification.models import Architecture, preprocess_of, size_args
from limbeck.console import console
from limbeck.errors import OptionError
from limbeck.records import Preprocess
from limbeck.ssld.options import Distill
from limbeck.ssld.teacher import check_classes


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
    """The student that the options name: a classifier by name, or a checkpoint of the same classes to go on from."""
    torch.manual_seed(options.seed)
    args, size = parse_args(options.student_args), options.student_size or None
    if Path(options.student).exists():
        folder = find(options.student)
        card = read_card(folder)
        check_classes(card.classes, classes)
        architecture = card.build_from()
        architecture = replace(architecture, args=architecture.args | args)
        model, preprocess = architecture.build(), card.preprocess
        start(model, folder / WEIGHTS)
    else:
        if size:
            args = size_args(options.student, size) | args
        architecture = Architecture.parse(options.student, classes=len(classes), args=args).local()
        model = architecture.build()
        preprocess = preprocess_of(model)
    if options.student_weights:
        start(model, Path(options.student_weights))
    if size:
        preprocess = replace(preprocess, size=(size, size))
    return Student(model, architecture, preprocess)


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
