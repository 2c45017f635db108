"""The student of a run: built, warm-started, and shipped."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from limbeck.checkpoints.card import Card, find, read_card, save
from limbeck.checkpoints.weights import fit_weights, read_weights
from limbeck.classification.models import build, preprocess_of
from limbeck.errors import OptionError
from limbeck.records import Preprocess
from limbeck.ssld.options import Distill


@dataclass(frozen=True)
class Student:
    """A model with all that is needed to build it again."""

    model: nn.Module
    builder: str
    name: str
    args: dict[str, Any]
    preprocess: Preprocess

    def ship(
        self, run: Path, model: nn.Module, classes: tuple[str, ...], provenance: dict[str, Any], metrics: dict[str, Any]
    ) -> None:
        """Write the student into its run: weights that plain timm loads, and the card."""
        architecture = {"builder": self.builder, "name": self.name, "args": self.args}
        save(
            run / "student",
            model,
            Card(
                architecture=architecture,
                classes=list(classes),
                preprocess=self.preprocess,
                provenance=provenance,
                metrics=metrics,
            ),
        )


def make_student(options: Distill, classes: int) -> Student:
    """The student that the options name: a timm classifier, or a checkpoint to go on from."""
    torch.manual_seed(options.seed)
    folder = find(options.student) if Path(options.student).exists() else None
    if folder is not None:
        card = read_card(folder)
        architecture, preprocess = card.architecture, card.preprocess
        args = architecture["args"] | _args(options)
        model = build(_named(architecture), classes=classes, args=args)
        fit_weights(model, read_weights(folder / "model.safetensors"), str(folder), new_head=True)
    else:
        args = _args(options)
        model = build(options.student, classes=classes, args=args)
        preprocess = preprocess_of(model)
        builder, _, name = options.student.rpartition("/")
        architecture = {"builder": builder or "timm", "name": name}
        if options.student.startswith("hf-hub:"):
            architecture = {"builder": "timm", "name": options.student}
    if options.student_weights:
        fit_weights(model, read_weights(Path(options.student_weights)), options.student_weights, new_head=True)
    if options.student_size:
        preprocess = replace(preprocess, size=(options.student_size, options.student_size))
    return Student(model, architecture["builder"], architecture["name"], args, preprocess)


def _named(architecture: dict[str, Any]) -> str:
    name: str = architecture["name"]
    return name if architecture["builder"] == "timm" else f"{architecture['builder']}/{name}"


def _args(options: Distill) -> dict[str, Any]:
    if not options.student_args:
        return {}
    try:
        args = json.loads(options.student_args)
    except ValueError as error:
        args = error
    if not isinstance(args, dict):
        raise OptionError(
            f"--student-args is {options.student_args!r}", expected="a JSON object", hint="'{\"drop_rate\": 0.2}'"
        )
    return args
