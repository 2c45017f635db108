"""What a model is before it learns from labels: its weights, its classes, and what becomes of its head."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from limbeck.checkpoints.card import WEIGHTS, read_card
from limbeck.checkpoints.weights import fit_weights, read_weights
from limbeck.classification.models import Architecture, class_names, classes_in, outline, published
from limbeck.classification.names import find_classes, numbered
from limbeck.errors import CheckpointError, counted
from limbeck.ssld.options import Distill
from limbeck.ssld.student import Student, blank_student, checkpoint_of, goes_on, named_student, published_weights

PRETRAINED = "pretrained"
_SHOWN = 3


@dataclass(frozen=True)
class Origin:
    """Weights to begin with (none: random ones), the classes that they know, and whether a teacher taught them."""

    weights: Mapping[str, Tensor]
    classes: tuple[str, ...]
    source: str
    distilled: bool


@dataclass(frozen=True)
class Head:
    """The classes of the model, whether its head begins anew, and why."""

    classes: tuple[str, ...]
    anew: bool
    told: str


def origin_of(options: Distill) -> Origin:
    """What the options say that a model begins with. That of a run that goes on has its weights in the run's state."""
    folder, file = checkpoint_of(options), options.student_weights
    if folder:
        card = read_card(folder)
        weights: Mapping[str, Tensor] = {} if goes_on(options) else read_weights(folder / WEIGHTS)
        if file and file != PRETRAINED and weights:
            weights = read_weights(Path(file).expanduser())
        return Origin(weights, tuple(card.classes), str(folder), _is_distilled(card.provenance))
    architecture = named_student(options, classes=2)
    told = f"{options.student}, as its makers publish it" if file == PRETRAINED else file
    if goes_on(options) or not file:
        return Origin({}, (), "", distilled="ssld" in options.student)
    weights = published_weights(options) if file == PRETRAINED else read_weights(Path(file).expanduser())
    return Origin(weights, _known(architecture, weights), told, distilled="ssld" in f"{options.student} {file}".lower())


def choose_head(kinds: Collection[str], origin: Origin) -> Head:
    """The model's own head where the photos are of its own classes, all of them, in whatever order; else a new one.

    >>> choose_head({"dog", "cat"}, Origin({}, ("dog", "cat"), "run", False)).classes
    ('dog', 'cat')
    >>> choose_head({"dog", "cat"}, Origin({}, ("car", "bus"), "run", False)).classes
    ('cat', 'dog')
    """
    own, known = tuple(sorted(kinds)), origin.classes
    classes = counted(len(own), "class", "classes")
    if not known:
        return Head(own, True, f"the head is new: {classes}")
    places = find_classes(own, known)
    if len(places) == len(own) and set(places.values()) == set(range(len(known))):
        told = f"the {classes} are those that {origin.source} knows: its head is kept"
        if known == numbered(len(known)) and [places[name] for name in own] == list(range(len(own))) and own != known:
            told = f"{origin.source} knows {classes} without names, taken to be these in their order: its head is kept"
            return Head(own, False, told)
        if tuple(sorted(known)) != known:
            told += ", and so is their order"
        return Head(known, False, told)
    told = f"the head is replaced: {counted(len(known), 'class', 'classes')} before, {len(own):,} now"
    if len(known) == len(own):
        told += f", and called otherwise ({_some(sorted(set(known) - set(own)))} before)"
    return Head(own, True, told)


def labelled_student(options: Distill, origin: Origin, head: Head) -> Student:
    """The model with its head for these classes, begun with what it knows."""
    student = blank_student(options, head.classes)
    if origin.weights:
        own = student.model.state_dict()
        new = {name: own[name] for name in head_names(student.architecture)} if head.anew else {}
        _fit(student.model, {**origin.weights, **new}, origin.source)
    return student


def head_names(architecture: Architecture) -> list[str]:
    """The tensors of a classifier's head: those whose shape the number of classes decides.

    >>> head_names(Architecture.parse("test_resnet", classes=10))
    ['fc.weight', 'fc.bias']
    """
    few, many = (outline(replace(architecture, args={**architecture.args, "num_classes": n})) for n in (7, 11))
    shapes = {name: value.shape for name, value in many.state_dict().items()}
    return [name for name, value in few.state_dict().items() if value.shape != shapes[name]]


def _fit(model: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    try:
        fit_weights(model, weights, source)
    except CheckpointError as error:
        raise CheckpointError(
            error.found,
            expected=error.expected,
            hint="name the model that these weights were saved from; limbeck convert FILE --out CHECKPOINT tells which",
        ) from error


def _known(architecture: Architecture, weights: Mapping[str, Tensor]) -> tuple[str, ...]:
    """The classes that a file of weights was trained for, by their makers' names where these are as many."""
    count = classes_in(architecture, weights)
    if not count:
        return ()
    described: Any = published(architecture)
    names = class_names(described)
    return names if names and len(names) == count else numbered(count)


def _is_distilled(provenance: Mapping[str, Any]) -> bool:
    """By a teacher of limbeck's, or by the reference, which calls such weights ssld."""
    return bool(provenance.get("teacher")) or "ssld" in str(provenance.get("converted_from", "")).lower()


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
