"""The detector that a training begins with: its backbone, its first weights, and how fast its parts learn."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from limbeck.backbones.features import Features
from limbeck.checkpoints.card import WEIGHTS, find, is_checkpoint, named, read_card
from limbeck.checkpoints.detector_card import DetectorCard, assembled, read_detector_card
from limbeck.checkpoints.weights import fit_weights, read_weights
from limbeck.classification.models import Architecture, preprocess_of
from limbeck.commands.train_checks import check_backbone, no_backbone_fits
from limbeck.console import console
from limbeck.detection.detector import Design, Detector, Look, design
from limbeck.detection.gfl import GFL
from limbeck.detection.train_options import Train
from limbeck.errors import CheckpointError, OptionError, as_typed, counted
from limbeck.files import write_atomically
from limbeck.records import Preprocess
from limbeck.ssld.student import parse_args
from limbeck.training.rates import RESIDUAL_DETECTION, parts_of, reference_rates, spread, tell_rates
from limbeck.training.state import state_file

_KEPT = "detector.json"


class Start(NamedTuple):
    """A detector, how its backbone is built again (None: it has its own), and how it wants its images."""

    model: Detector
    architecture: Mapping[str, Any] | None
    look: Look


class Backbone(NamedTuple):
    """A classifier that goes under a detector; `normalised`: as its weights want it, None for random ones."""

    model: nn.Module
    architecture: Architecture
    normalised: Preprocess | None


def begun(options: Train, classes: Sequence[str]) -> tuple[Start, Mapping[str, float]]:
    """What a training begins with, and the rates of its parts; one that goes on needs only what its run has kept."""
    file = Path(options.out) / "last" / _KEPT
    if goes_on(options) and file.exists():
        told = json.loads(file.read_text())
        card = DetectorCard.from_dict(told["card"])
        return Start(as_told(card.build(), options), card.backbone, card.look), told["rates"]
    start = student_of(options, len(classes))
    as_told(start.model, options)
    if options.weights and not goes_on(options):
        begin_with(start.model, options.weights, classes)
    return start, rates_of(start.model, options)


def as_told(model: Detector, options: Train) -> Detector:
    """What of the options is no weight but a way to train."""
    features = getattr(model, "backbone", None)
    if options.norm_eval and not isinstance(features, Features):
        raise OptionError(
            f"--norm-eval with {options.detector}, which has a backbone of its own",
            expected="a detector on --backbone",
            hint="leave --norm-eval out",
        )
    if isinstance(features, Features):
        features.norms_rest = options.norm_eval
    if isinstance(model, GFL):
        model.weighing = replace(model.weighing, least=options.least_weight or None)
    return model


def refuse_frozen_noise(options: Train) -> None:
    """Parts that do not learn must have learned."""
    kept = [name for name, on in (("--frozen", options.frozen), ("--norm-eval", options.norm_eval)) if on]
    known = options.pretrained or options.weights or is_checkpoint(Path(options.backbone).expanduser())
    if kept and not known:
        raise OptionError(
            f"{' and '.join(kept)} with a backbone of random weights",
            expected="a backbone that has learned",
            hint="--backbone CHECKPOINT, or --scratch: nothing is frozen, and norms learn",
        )


def goes_on(options: Train) -> bool:
    """Whether the run has a saved state, which has all weights."""
    return options.resume and state_file(Path(options.out)).exists()


def keep(run: Path, card: DetectorCard, rates: Mapping[str, float]) -> None:
    """How the detector is built, for those who resume when its backbone is no longer where it was."""
    told = {"card": card.to_dict(), "rates": dict(rates)}
    write_atomically(run / "last" / _KEPT, (json.dumps(told, indent=1) + "\n").encode())


def student_of(options: Train, classes: int) -> Start:
    """The detector on its backbone, which keeps the normalisation that it was trained with."""
    kind = design(options.detector)
    look = look_of(options)
    check_backbone(options)
    if not options.backbone:
        return Start(assembled(options.detector, classes, None, look), None, look)
    backbone = backbone_of(options)
    if backbone.normalised is not None and not options.weights:
        look = replace(look, mean=backbone.normalised.mean, std=backbone.normalised.std)
    if not kind.strides:
        return Start(adopted(options, kind, classes, backbone, look), None, look)
    try:
        return Start(assembled(options.detector, classes, backbone.model, look), vars(backbone.architecture), look)
    except OptionError as error:
        raise OptionError(
            f"--backbone {options.backbone} under {options.detector}: {error.found}",
            expected=f"a network with maps of strides {as_typed(kind.strides)}, which has {error.expected}",
            hint="--backbone mobilenet_v3_large, resnet50_vd, or another of limbeck models",
        ) from error


def look_of(options: Train) -> Look:
    """The detector's own input rule, or that of the weights it begins with; at another size where one is asked for."""
    look = design(options.detector).look
    if options.weights and not goes_on(options):
        before = read_detector_card(options.weights)
        look = before.look if before.detector == options.detector else look
    if not options.size:
        return look
    short, long = look.size
    return replace(look, size=(options.size, round(options.size * long / short)))


def backbone_of(options: Train) -> Backbone:
    """The classifier that --backbone names, with its weights where it has any; a resumed run has its own."""
    source = Path(options.backbone).expanduser()
    args = parse_args(options.backbone_args, "--backbone-args")
    if is_checkpoint(source):
        if args:
            raise OptionError(
                f"--backbone-args with {options.backbone}, which says itself how it is built",
                expected="a model's name, or no arguments",
                hint="leave --backbone-args out",
            )
        folder = find(source)
        card = read_card(folder)
        architecture = card.build_from()
        model = architecture.build()
        if not goes_on(options):
            fit_weights(model, read_weights(folder / WEIGHTS), str(folder))
        normalised: Preprocess | None = card.preprocess
    else:
        architecture = named(options.backbone, args=args)
        model = built(architecture, options)
        normalised = preprocess_of(model) if options.pretrained else None
    return Backbone(
        model, Architecture(architecture.builder, architecture.name.partition(".")[0], architecture.args), normalised
    )


def built(architecture: Architecture, options: Train) -> nn.Module:
    """A network by name; with its makers' weights where they are asked for, and the run has none yet."""
    try:
        return architecture.build(pretrained=options.pretrained and not goes_on(options))
    except CheckpointError as error:
        raise CheckpointError(
            error.found,
            expected=error.expected,
            hint="--backbone CHECKPOINT, made elsewhere by limbeck convert; or --scratch, to begin from nothing",
        ) from error


def adopted(options: Train, kind: Design, classes: int, backbone: Backbone, look: Look) -> Detector:
    """A detector that has a backbone of its own, with the weights of a classifier of that kind."""
    assert kind.adopt is not None
    model = assembled(options.detector, classes, None, look)
    if not kind.adopt(model, backbone.model):
        raise no_backbone_fits(options.detector, options.backbone)
    return model


def begin_with(model: Detector, source: str, classes: Sequence[str]) -> None:
    """The weights of another training, as far as they fit: a head of other classes stays new."""
    folder = find(source)
    card = read_detector_card(folder)
    own = model.state_dict()
    given = read_weights(folder / WEIGHTS)
    if tuple(card.classes) != tuple(classes):
        given = {name: value for name, value in given.items() if name not in heads(card)}
    fitting = {name: value for name, value in given.items() if name in own and own[name].shape == value.shape}
    if not fitting:
        raise OptionError(
            f"--weights {source}: none of its weights fit",
            expected="a run or checkpoint of the same detector",
            hint="leave --weights out",
        )
    model.load_state_dict(fitting, strict=False)
    if len(fitting) < len(own):
        console.print(f"begun with {source}; new: {counted(len(own) - len(fitting), 'tensor')}", markup=False)


def heads(card: DetectorCard) -> set[str]:
    """The tensors of a detector that are its classes' own: those that one class more would change."""
    more = replace(card, classes=[*card.classes, ""], ids=[*card.ids, -1])
    with torch.device("meta"):
        small, large = (each.build().state_dict() for each in (card, more))
    return {name for name, value in small.items() if value.shape != large[name].shape}


def rates_of(model: Detector, options: Train) -> dict[str, float]:
    """The multipliers of the learning rate of the backbone's parts; those of the reference for a distilled one."""
    features: Any = getattr(model, "backbone", None)
    inner: nn.Module | None = features.model if isinstance(features, Features) else features
    if inner is None:
        return {}
    layer_rates = options.layer_rates
    if not layer_rates and not options.frozen and is_distilled(options.backbone):
        layer_rates = reference_rates(inner, [], RESIDUAL_DETECTION)
    if not layer_rates and not options.frozen:
        return {}
    parts = parts_of(inner, [])
    each = spread(layer_rates, len(parts))
    each = [0.0 if number < options.frozen else rate for number, rate in enumerate(each)]
    console.print(tell_rates(inner, [], each, rest="the rest"), markup=False)
    prefix = "backbone.model." if isinstance(features, Features) else "backbone."
    rates = {prefix + name: rate for (_, names), rate in zip(parts, each, strict=True) for name in names}
    return {name: rate for name, rate in rates.items() if rate != 1}


def is_distilled(backbone: str) -> bool:
    """Whether a teacher, here or at the reference's makers, taught a backbone."""
    source = Path(backbone).expanduser()
    if not backbone or not is_checkpoint(source):
        return False
    provenance = read_card(source).provenance
    return bool(provenance.get("teacher")) or "ssld" in str(provenance.get("converted_from", "")).lower()
