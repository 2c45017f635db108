"""A checkpoint: `model.safetensors`, and the card that says what it is. Enough by itself."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor, nn

from limbeck.backbones.same import SAME_IN_TIMM
from limbeck.classification.models import BUILDERS, Architecture, size_args
from limbeck.errors import CheckpointError, UnknownName, UnsafeFile
from limbeck.files import write_atomically
from limbeck.records import Preprocess

WEIGHTS, CARD = "model.safetensors", "card.json"
_MAKE = "limbeck distill --images PHOTOS --teacher TEACHER --student STUDENT --out RUN"
_NAME = re.compile(r"[\w.\-]+")
# what the builders take that is about files, downloads or another kind of model
_TRICK = re.compile(
    r"(pretrained|weights).*|checkpoint_path|cache_dir|features_only|feature_cfg|model_cfg|kwargs_filter"
)


@dataclass(frozen=True)
class Card:
    """What a checkpoint is: how to build it, what it answers, how it wants its images, where it comes from.

    >>> resnet = {"builder": "timm", "name": "resnet18", "args": {}}
    >>> card = Card(architecture=resnet, classes=["cat", "dog"], preprocess=Preprocess((224, 224)))
    >>> card.load_line
    "timm.create_model('resnet18', num_classes=2, checkpoint_path='model.safetensors')"
    """

    architecture: Mapping[str, Any]
    classes: Sequence[str]
    preprocess: Preprocess
    provenance: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    format: int = 1

    @property
    def load_line(self) -> str:
        """What to type in the checkpoint's folder to have the model; without limbeck, where timm or torchvision can."""
        architecture = self.build_from()
        builder, name, given = architecture.builder, architecture.name, architecture.args
        if builder == "limbeck":
            if name not in SAME_IN_TIMM:
                return "limbeck.load('.').model"
            builder, (name, own) = "timm", SAME_IN_TIMM[name]
            given = {**own, **given}
        args = "".join(f", {key}={value!r}" for key, value in given.items())
        if builder == "timm":
            return f"timm.create_model('{name}'{args}, checkpoint_path='{WEIGHTS}')"
        made = f"torchvision.models.get_model('{name.partition('.')[0]}'{args})"
        return f"model = {made}; model.load_state_dict(safetensors.torch.load_file('{WEIGHTS}'))"

    def build_from(self) -> Architecture:
        """The architecture with its class count."""
        args = {"num_classes": len(self.classes), **self.architecture["args"]}
        return Architecture(self.architecture["builder"], self.architecture["name"], args)

    def to_dict(self) -> dict[str, Any]:
        return {
            "format": self.format,
            "load": self.load_line,
            "architecture": dict(self.architecture),
            "preprocess": self.preprocess.to_dict(),
            "provenance": dict(self.provenance),
            "metrics": dict(self.metrics),
            "classes": list(self.classes),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Card":
        known = {each.name for each in fields(cls)} | {"load"}
        odd = sorted(set(content) - known)
        if odd or content.get("format") != 1:
            raise CheckpointError(
                f"a card of format {content.get('format')}" + (f" with unknown keys: {', '.join(odd)}" if odd else ""),
                expected=f"format 1 with {', '.join(sorted(known))}",
                hint="pip install --upgrade limbeck",
            )
        return cls(
            architecture=content["architecture"],
            classes=tuple(content["classes"]),
            preprocess=Preprocess.from_dict(content["preprocess"]),
            provenance=content["provenance"],
            metrics=content["metrics"],
        )


def versions() -> dict[str, str]:
    """The versions that made a checkpoint.

    >>> sorted(versions())
    ['limbeck', 'timm', 'torch']
    """
    return {name: version(name) for name in ("limbeck", "torch", "timm")}


def save(folder: str | Path, model: nn.Module, card: Card) -> None:
    """Writes a checkpoint; what was there stays whole until the new one is."""
    save_as(folder, model, card.to_dict())


def save_as(folder: str | Path, model: nn.Module, card: Mapping[str, Any]) -> None:
    """Writes weights and the content of a card."""
    weights = safetensors.torch.save(_own_memory(model.state_dict()), metadata={"format": "pt"})
    text = json.dumps(card, indent=2, ensure_ascii=False)
    write_atomically(Path(folder) / WEIGHTS, weights)
    write_atomically(Path(folder) / CARD, text.encode())


def read_card(path: str | Path) -> Card:
    """The card of a run or checkpoint."""
    file = find(path) / CARD
    try:
        content = json.loads(file.read_text("utf-8"))
        if content.get("task"):
            raise CheckpointError(
                f"{file.parent} is a model for {content['task']}",
                expected="a classifier",
                hint=f"limbeck evaluate {path} --data LABELLED, or limbeck predict {path} PHOTO...",
            )
        card = Card.from_dict(content)
        refuse_tricks(card.build_from(), file)
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{file} is no card: {error}", expected="the card.json of a limbeck checkpoint", hint=_MAKE
        ) from error
    return card


def refuse_tricks(architecture: Architecture, file: Path) -> None:
    """A card may come from anywhere: it describes a model, and makes nobody fetch or open a file."""
    tricks = sorted(filter(_TRICK.fullmatch, architecture.args))
    reason = ""
    if architecture.builder not in BUILDERS:
        reason = f"the builder is {architecture.builder!r}"
    elif not _NAME.fullmatch(architecture.name):
        reason = f"{architecture.name!r} names a place, and no model"
    elif tricks:
        reason = f"it sets {', '.join(tricks)}, which would read other files or make another kind of model"
    if reason:
        raise UnsafeFile(
            f"{file} is refused: {reason}",
            expected=f"a model of {' or '.join(BUILDERS)}, by its name, with arguments of its own",
            hint="ask its maker for a checkpoint that limbeck wrote",
        )


def named(
    source: str, *, classes: int | None = None, args: Mapping[str, Any] | None = None, size: int | None = None
) -> Architecture:
    """The architecture that a name means, built for an input size where it fixes one; a path is told as a path.

    >>> named("resnet50_vd", classes=10).full_name
    'limbeck/resnet50_vd'
    """
    try:
        sized = size_args(source, size) if size else {}
        return Architecture.parse(source, classes=classes, args={**sized, **(args or {})}).local()
    except UnknownName:
        path = Path(source).expanduser()
        if path.exists() or (os.sep in source and source.partition("/")[0] not in BUILDERS):
            find(path)  # which says what a checkpoint is
        raise


def is_checkpoint(path: str | Path) -> bool:
    """Whether a path is a run or checkpoint folder."""
    return any((Path(path) / inner / CARD).is_file() for inner in ("", "student"))


def find(path: str | Path) -> Path:
    """The checkpoint folder of a run, or the folder itself."""
    for folder in (Path(path), Path(path) / "student"):
        if (folder / CARD).is_file() and (folder / WEIGHTS).is_file():
            return folder
    raise CheckpointError(
        f"no checkpoint in {path}",
        expected=f"{WEIGHTS} and {CARD}, in this folder or in its folder student",
        hint=f"limbeck convert {path} --out CHECKPOINT" if Path(path).is_file() else _MAKE,
    )


def _own_memory(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Each tensor whole and by itself: what two names share is written twice, so that strict loading finds both."""
    return {name: value.detach().cpu().clone().contiguous() for name, value in state.items()}
