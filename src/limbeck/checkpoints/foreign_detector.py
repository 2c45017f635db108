"""Which of mmdetection's or torchvision's detectors a file of weights is."""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from limbeck.checkpoints import foreign
from limbeck.checkpoints.conversion import differences, grouped
from limbeck.checkpoints.detector_card import assembled
from limbeck.checkpoints.detector_conversion import DetectorConversion
from limbeck.checkpoints.detector_kinds import KINDS, MMDETECTION, Kind
from limbeck.checkpoints.mm_meta import Meta, read_meta
from limbeck.checkpoints.renames import mmdet
from limbeck.checkpoints.signatures import UNCOUNTED, Shapes
from limbeck.checkpoints.weights import Contents
from limbeck.classification.models import Architecture, outline
from limbeck.detection import DETECTORS
from limbeck.detection.coco_names import coco_names
from limbeck.detection.detector import Look, design
from limbeck.errors import CheckpointError, counted, peek

_HEADS = re.compile(r"^(bbox_head|rpn_head|roi_head|mask_head|panoptic_head|head\.\w+_head|rpn|roi_heads)\.")
_AVERAGED = re.compile(r"^ema_(backbone|neck|bbox_head)_")
_FAMILIES = {
    "rpn_head": "a two-stage detector of mmdetection's",
    "roi_head": "a two-stage detector of mmdetection's",
    "rpn": "a two-stage detector of torchvision's",
    "roi_heads": "a two-stage detector of torchvision's",
}


def is_detector(names: Iterable[str]) -> bool:
    """Whether tensors of these names are a detector's, with its head.

    >>> is_detector(["backbone.conv1.weight"]), is_detector(["bbox_head.gfl_cls.bias"])
    (False, True)
    """
    return any(_HEADS.match(name) for name in names)


def has_mobilenet_v2(names: Iterable[str]) -> bool:
    """Whether tensors are of mmdetection's MobileNetV2, alone or below `backbone`.

    >>> has_mobilenet_v2(["layer1.0.depthwise_conv.conv.weight"])
    True
    """
    return any(name.removeprefix("backbone.") == "layer1.0.depthwise_conv.conv.weight" for name in names)


def backbone_of(contents: Contents) -> Contents:
    """The backbone of a detector under timm's names; what stays behind is counted by its part.

    >>> backbone_of(Contents({"backbone.conv1.weight": torch.zeros(1), "neck.a": torch.zeros(1)}, {})).others
    {'neck': '1 tensor'}
    """
    names = mmdet.modern(contents.weights)
    bare = not any(new.startswith("backbone.") for new in names.values())  # the backbone is all that there is
    names = {old: f"backbone.{new}" if bare else new for old, new in names.items()}
    body = "backbone.body." if any(new.startswith("backbone.body.") for new in names.values()) else "backbone."
    inner = {new: contents.weights[old] for old, new in names.items() if new.startswith(body)}
    rest = grouped([old for old, new in names.items() if new not in inner], "backbone.")
    if has_mobilenet_v2(inner):
        inner = {mmdet.renamed(name, mmdet.MOBILENET_V2): value for name, value in inner.items()}
    weights = {name.removeprefix(body): value for name, value in inner.items()}
    others = {**contents.others, **{part: counted(count, "tensor") for part, count in rest.items()}}
    return replace(contents, weights=weights, others=others)


def recognise(contents: Contents, path: Path, architecture: str = "") -> DetectorConversion:
    """The detector of a file; with `architecture`, this one or an error."""
    meta = read_meta(contents.values.get("meta"))
    averaged = [name for name in contents.weights if _AVERAGED.match(name)]
    names = mmdet.modern(contents.weights)
    weights = {names[name]: value for name, value in contents.weights.items() if name not in averaged}
    kinds = [kind for kind in KINDS if kind.head in weights]
    if not kinds:
        raise _unknown(path, contents)
    if architecture and architecture not in [kind.name for kind in kinds]:
        raise CheckpointError(
            f"{path} holds no {architecture}: it has the head of {' or '.join(kind.name for kind in kinds)}",
            expected=f"--architecture {' or '.join(kind.name for kind in kinds)}, or a classifier, for its backbone",
            hint=shlex.join(["limbeck", "convert", str(path), "--out", "CHECKPOINT"]),
        )
    kind, backbone, state = _fitting(kinds, weights, path, contents)
    if kind.family == MMDETECTION:
        _check(kind, meta, path)
    classes = kind.classes(weights)
    named = meta.classes if len(meta.classes) == classes else ()
    dropped = {name: what for name, what in contents.others.items() if name != "meta" or not (named or meta.config)}
    if averaged:
        dropped["ema_..."] = f"{counted(len(averaged), 'tensor')}: the other side of a moving average"
    if mmdet.CONSTANT in weights:
        dropped[mmdet.CONSTANT] = "the numbers 0 to 16"
    notes = [*_notes(kind, meta, classes, contents), *([_RESIZED] if kind.family != MMDETECTION else [])]
    look = _look(design(kind.name).look, meta)
    return DetectorConversion(
        kind.family, kind.name, backbone, classes, named, look, state, dropped, notes, numbers=meta.ids
    )


_RESIZED = "torchvision resizes in fractions of a grey level, limbeck in whole ones: scores differ by that"


def _fitting(
    kinds: Sequence[Kind], weights: Mapping[str, Tensor], path: Path, contents: Contents
) -> tuple[Kind, Architecture | None, dict[str, Tensor]]:
    """The first that all tensors fit into; an error with the nearest if there is none."""
    close: list[tuple[int, str, str]] = []
    marked = [kind for kind in kinds if kind.mark and any(kind.mark in name for name in weights)]
    for kind in marked or [kind for kind in kinds if not kind.mark]:
        state, classes = kind.ours(weights), kind.classes(weights)
        shapes = {name: tuple(value.shape) for name, value in state.items() if not name.endswith(UNCOUNTED)}
        theirs = {mmdet.renamed(name, kind.patterns): name for name in weights}
        backbone = _nearest_backbone(kind.backbones, shapes)
        own = _shapes(kind, classes, backbone)
        missing = [each for each in own if each not in shapes]
        unexpected = [theirs.get(each, each) for each in shapes if each not in own]
        odd = [
            f"{theirs.get(each, each)}: {shapes[each]} instead of {own[each]}"
            for each in own
            if shapes.get(each, own[each]) != own[each]
        ]
        apart = len(missing) + len(unexpected) + len(odd)
        if not apart and classes:
            return kind, backbone, state
        name = kind.name + (f" on {backbone.name}" if backbone else "")
        close.append((apart, name, differences(missing, unexpected, odd)))
    _, name, told = min(close)
    raise CheckpointError(
        f"{path} holds no detector that limbeck knows; the nearest is {name}: {told}",
        expected=_known(),
        hint=_backbone_alone(path, contents),
    )


def _nearest_backbone(names: Sequence[str], shapes: Shapes) -> Architecture | None:
    """Of these classifiers the one whose tensors a file has most of; None where the detector has its own."""
    body = {(name.removeprefix("backbone.model."), shape) for name, shape in shapes.items() if "backbone." in name}
    found = min(names, key=lambda name: len(body ^ _body(name)), default=None)
    return Architecture("timm", found, {"num_classes": 0}) if found else None


@cache
def _body(name: str) -> frozenset[tuple[str, tuple[int, ...]]]:
    state = outline(Architecture("timm", name, {"num_classes": 0})).state_dict()
    return frozenset((name, tuple(value.shape)) for name, value in state.items() if not name.endswith(UNCOUNTED))


def _shapes(kind: Kind, classes: int, backbone: Architecture | None) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        model = assembled(kind.name, max(classes, 1), outline(backbone) if backbone else None)
    return {name: tuple(value.shape) for name, value in model.state_dict().items() if not name.endswith(UNCOUNTED)}


def _backbone_alone(path: Path, contents: Contents) -> str:
    """What to type for the backbone of a file whose head limbeck has not."""
    architecture = "mobilenetv2_100" if has_mobilenet_v2(contents.weights) else ""
    try:
        found = foreign.recognise(backbone_of(contents), path, "", architecture).architecture
    except CheckpointError:
        return "the file of one of these: its backbone is none that limbeck knows either"
    words = ["limbeck", "convert", str(path), "--architecture", found.full_name, "--out", "CHECKPOINT"]
    return f"{shlex.join(words)}, for its backbone"


def _unknown(path: Path, contents: Contents) -> CheckpointError:
    weights = contents.weights
    parts = grouped(list(weights))
    family = next((_FAMILIES[part] for part in parts if part in _FAMILIES), "a detector")
    begin = ", ".join([name for name in weights if _HEADS.match(name)][:3])
    return CheckpointError(
        f"{path} holds {family} that limbeck has not: {begin}, ...",
        expected=_known(),
        hint=_backbone_alone(path, contents),
    )


def _known() -> str:
    return "mmdetection's SSD300, SSD512, SSDLite, GFL or RetinaNet, or torchvision's SSDs"


def _check(kind: Kind, meta: Meta, path: Path) -> None:
    """What no tensor tells, where the file's own config does."""
    again = "the file of a model that limbeck has"
    if re.match(r"[01]\.", meta.version):
        raise CheckpointError(
            f"{path} is of mmdetection {meta.version}, which counted classes and boxes otherwise",
            expected="mmdetection 2 or 3",
            hint="its tools/model_converters/upgrade_model_version.py first",
        )
    head = meta.get("model", "bbox_head", "anchor_generator")
    told: Mapping[str, Any] = head if isinstance(head, Mapping) else {}
    odd = [key for key, value in kind.priors.items() if key in told and not _says(told[key], value)]
    if odd:
        raise CheckpointError(
            f"{path} has other priors than {kind.name}: {odd[0]} {peek(told[odd[0]])}",
            expected=f"{odd[0]} {kind.priors[odd[0]]}",
            hint=again,
        )
    if meta.get("model", "backbone", "style") == "caffe" or (meta.pixels and not meta.pixels[2]):
        raise CheckpointError(
            f"{path} has a backbone in the manner of Caffe, which computes otherwise with the same tensors",
            expected="style='pytorch', and colours in the order of RGB",
            hint=again,
        )


def _says(told: Any, value: Any) -> bool:
    """Whether a config has this value, be its lists tuples."""
    if isinstance(value, list):
        alike = isinstance(told, list | tuple) and len(told) == len(value)
        return alike and all(map(_says, told, value))
    return type(told) in (str, int, float, bool) and bool(told == value)


def _look(own: Look, meta: Meta) -> Look:
    """How the file's config wants its images, where it says so."""
    look = own
    if meta.pixels:
        mean, deviation = ([value / 255 for value in values] for values in meta.pixels[:2])
        look = replace(look, mean=(mean[0], mean[1], mean[2]), std=(deviation[0], deviation[1], deviation[2]))
    if meta.size and own.keep_ratio and meta.size[1]:
        look = replace(look, size=(min(meta.size[0]), max(meta.size[0])))
    return look


def _notes(kind: Kind, meta: Meta, classes: int, contents: Contents) -> list[str]:
    notes = []
    if "ema_state_dict" in contents.values:
        notes.append(
            "state_dict is the moving average, as mmengine saves it; ema_state_dict are the last step's weights"
        )
    if meta.classes and len(meta.classes) != classes:
        notes.append(f"meta names {counted(len(meta.classes), 'class', 'classes')}, and the head has {classes:,}")
    if "ssd" in kind.name and kind.family == MMDETECTION and not meta.config and classes != len(coco_names()):
        notes.append("taken to have the priors that it has for COCO; for Pascal VOC mmdetection has others")
    return notes


def takes(architecture: str) -> bool:
    """Whether `--architecture` asks for a detector.

    >>> takes("gfl"), takes("resnet50"), takes("")
    (True, False, True)
    """
    return not architecture or architecture in DETECTORS
