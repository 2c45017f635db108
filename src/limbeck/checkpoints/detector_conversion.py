"""What a foreign file of a detector turned out to be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from limbeck.checkpoints.conversion import check_finite
from limbeck.checkpoints.detector_card import DetectorCard, save_detector
from limbeck.checkpoints.weights import fit_weights
from limbeck.classification.models import Architecture
from limbeck.classification.names import numbered
from limbeck.detection.coco_names import coco_names
from limbeck.detection.detector import Detector, Look

_NOTHING: Mapping[str, Any] = {}
_CATEGORIES = 90  # of COCO, ten of them without an object


@dataclass(frozen=True)
class DetectorConversion:
    """A recognised detector: which of the table, on what, and its tensors under limbeck's names."""

    family: str
    detector: str
    backbone: Architecture | None
    classes: int
    named: tuple[str, ...]  # the classes, where the file tells them
    look: Look
    weights: Mapping[str, Tensor]
    dropped: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    drawn: Sequence[str] = ()
    numbers: Sequence[int] = ()  # of the classes in their set, where the file tells them

    @property
    def definition(self) -> str:
        return self.family

    @property
    def full_name(self) -> str:
        return self.detector + (f" on {self.backbone.full_name}" if self.backbone else "")

    @property
    def own_names(self) -> tuple[str, ...]:
        """The classes as the file names them, else COCO's where there are as many."""
        known = coco_names()
        if self.named:
            return self.named
        if self.classes == len(known):
            return tuple(known.values())
        if self.classes == _CATEGORIES and self.family == "torchvision":
            return tuple(known.get(number, f"unused {number}") for number in range(1, _CATEGORIES + 1))
        return numbered(self.classes)

    def build(self, source: str) -> Detector:
        """The detector with these weights."""
        model = self.card().build()
        fit_weights(model, self.weights, source)
        check_finite(model, source)
        return model

    def save(self, out: Path, model: nn.Module, names: Sequence[str], provenance: Mapping[str, Any]) -> None:
        save_detector(out, model, self.card(names, provenance))

    def card(self, names: Sequence[str] = (), provenance: Mapping[str, Any] = _NOTHING) -> DetectorCard:
        """How it is built and what it finds; its own names of classes where none are given."""
        chosen = tuple(names) or self.own_names
        known = {name: number for number, name in coco_names().items()}
        of_coco = len(chosen) == len(known) and all(name in known for name in chosen)
        ids = tuple(known[name] for name in chosen) if of_coco else tuple(range(1, len(chosen) + 1))
        if len(self.numbers) == len(chosen):
            ids = tuple(self.numbers)
        built = vars(self.backbone) if self.backbone else None
        return DetectorCard(self.detector, built, chosen, ids, self.look, provenance)
