"""The card of a detector: how it is built, what it finds, how it wants its images."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from torch import nn

from limbeck.backbones.features import Features
from limbeck.checkpoints.card import CARD, WEIGHTS, find, refuse_tricks, save_as
from limbeck.checkpoints.weights import fit_weights, read_weights
from limbeck.classification.models import Architecture
from limbeck.detection import DETECTORS
from limbeck.detection.detector import Detector, Look, design
from limbeck.errors import CheckpointError, UnsafeFile

TASK = "detection"
_MAKE = "limbeck train ssdlite --data LABELLED --out RUN"


@dataclass(frozen=True)
class DetectorCard:
    """`detector` is a name of the table, `backbone` the classifier under it; None: the detector has its own.

    >>> card = DetectorCard("ssd300", None, ("cat", "dog"), (3, 7), Look((300, 300)))
    >>> DetectorCard.from_dict(json.loads(json.dumps(card.to_dict()))) == card
    True
    """

    detector: str
    backbone: Mapping[str, Any] | None
    classes: Sequence[str]
    ids: Sequence[int]  # of the classes in the set that it learned from
    look: Look
    provenance: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    task: str = TASK
    format: int = 1

    def build(self) -> Detector:
        """The detector, with random weights."""
        backbone = None if self.backbone is None else Architecture(**self.backbone).build()
        return assembled(self.detector, len(self.classes), backbone, self.look)

    def to_dict(self) -> dict[str, Any]:
        return {
            "format": self.format,
            "task": self.task,
            "load": "limbeck.load('.').model",
            "architecture": {"builder": "detector", "name": self.detector, "backbone": self.backbone},
            "look": self.look.to_dict(),
            "provenance": dict(self.provenance),
            "metrics": dict(self.metrics),
            "classes": list(self.classes),
            "ids": list(self.ids),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "DetectorCard":
        known = ({each.name for each in fields(cls)} - {"detector", "backbone"}) | {"architecture", "load"}
        odd = sorted(set(content) - known)
        if odd or content.get("format") != 1:
            raise CheckpointError(
                f"a card of format {content.get('format')}" + (f" with unknown keys: {', '.join(odd)}" if odd else ""),
                expected=f"format 1 with {', '.join(sorted(known))}",
                hint="pip install --upgrade limbeck",
            )
        architecture = content["architecture"]
        classes, ids = tuple(content["classes"]), tuple(content["ids"])
        if len(ids) != len(classes):
            raise CheckpointError(
                f"a card with {len(classes)} classes and {len(ids)} ids", expected="an id for each class", hint=_MAKE
            )
        look = Look.from_dict(content["look"])
        told = content["provenance"], content["metrics"]
        return cls(architecture["name"], architecture["backbone"], classes, ids, look, *told)


def assembled(name: str, classes: int, backbone: nn.Module | None, look: Look | None = None) -> Detector:
    """A detector of the table on the maps of a classifier, which is copied; for its own look where none is given."""
    found = design(name)
    model = found.make(classes, Features(backbone, found.strides) if backbone is not None else None)
    own, side = found.look.size[0], (look or found.look).size[0]
    if found.at is not None and side != own:
        found.at(model, own, side)
    return model


def is_detector(path: str | Path) -> bool:
    """Whether a run or checkpoint folder holds a detector.

    >>> is_detector("no/such/run")
    False
    """
    try:
        content = json.loads((find(path) / CARD).read_text("utf-8"))
    except (CheckpointError, ValueError, OSError):
        return False  # what reads it tells why
    return isinstance(content, dict) and content.get("task") == TASK


def save_detector(folder: str | Path, model: nn.Module, card: DetectorCard) -> None:
    """Write a checkpoint; what was there stays whole until the new one is."""
    save_as(folder, model, card.to_dict())


def read_detector_card(path: str | Path) -> DetectorCard:
    """The card of a run or checkpoint of a detector."""
    file = find(path) / CARD
    try:
        card = DetectorCard.from_dict(json.loads(file.read_text("utf-8")))
        if card.backbone is not None:
            refuse_tricks(Architecture(**card.backbone), file)
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{file} is no card: {error}", expected="the card.json of a limbeck checkpoint", hint=_MAKE
        ) from error
    if card.detector not in DETECTORS:
        raise UnsafeFile(
            f"{file} is refused: it is built as {card.detector!r}",
            expected=f"one of {', '.join(DETECTORS)}",
            hint="ask its maker for a checkpoint that limbeck wrote",
        )
    if (card.backbone is None) == bool(design(card.detector).strides):
        raise CheckpointError(
            f"{file}: {card.detector} {'without' if card.backbone is None else 'with'} a backbone",
            expected="a backbone where the detector has none of its own, and only there",
            hint=_MAKE,
        )
    return card


def read_detector(path: str | Path) -> tuple[Detector, DetectorCard]:
    """A detector with its weights, and its card."""
    folder = find(path)
    card = read_detector_card(folder)
    model = card.build()
    fit_weights(model, read_weights(folder / WEIGHTS), str(folder))
    return model, card
