"""A detector's tensors as mmdetection names them."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import BinaryIO

import torch
from torch import Tensor

from limbeck.checkpoints.card import versions
from limbeck.checkpoints.detector_card import DetectorCard
from limbeck.checkpoints.detector_kinds import KINDS, MMDETECTION, Kind
from limbeck.checkpoints.renames import mmdet
from limbeck.detection.detector import Look, design
from limbeck.detection.gfl import BINS
from limbeck.errors import CheckpointError


def kind_of(card: DetectorCard, source: str) -> Kind:
    """What mmdetection has that is this detector; an error where it has none."""
    kinds = {kind.name: kind for kind in KINDS if kind.family == MMDETECTION}
    kind = kinds.get(card.detector)
    if kind is None:
        raise CheckpointError(
            f"{card.detector} of {source} is none of mmdetection's detectors",
            expected=", ".join(kinds),
            hint="limbeck export, for other runtimes",
        )
    backbone = card.backbone["name"].partition(".")[0] if card.backbone else ""
    built = card.backbone or {}
    changed = built.get("builder") not in (None, "timm") or set(built.get("args", {})) - {"num_classes"}
    if kind.backbones and (backbone not in kind.backbones or changed):
        raise CheckpointError(
            f"{card.detector} of {source} is on {backbone}"
            + (" of another make" if changed else "")
            + ", which is named otherwise in mmdetection, if it is there",
            expected=", ".join(kind.backbones),
            hint="limbeck export, for other runtimes",
        )
    own = design(card.detector).look
    if not own.keep_ratio and card.look.size != own.size:
        raise CheckpointError(
            f"{card.detector} of {source} is fitted to {card.look.size[0]} pixels; in mmdetection it has {own.size[0]}",
            expected="the detector at its own size",
            hint=f"limbeck train without --size {card.look.size[0]}",
        )
    return kind


def respelt(kind: Kind, weights: Mapping[str, Tensor]) -> "OrderedDict[str, Tensor]":
    """The tensors under the names of mmdetection 3.

    >>> kind = next(kind for kind in KINDS if kind.name == "gfl")
    >>> list(respelt(kind, {"pyramid.coarser.0.bias": torch.zeros(1), "scales": torch.ones(1)}))[:2]
    ['neck.fpn_convs.3.conv.bias', 'bbox_head.scales.0.scale']
    """
    found: OrderedDict[str, Tensor] = OrderedDict()
    for name, value in weights.items():
        if name == "scales":
            found.update({f"bbox_head.scales.{level}.scale": each.clone() for level, each in enumerate(value)})
        else:
            found[mmdet.original(name, kind.patterns)] = value
    if kind.patterns is mmdet.GFL:
        found[mmdet.CONSTANT] = torch.linspace(0, BINS - 1, BINS)
    return found


def write(stream: BinaryIO, card: DetectorCard, tensors: Mapping[str, Tensor]) -> None:
    """As mmdetection publishes a model: every version of it, and of torch, reads it."""
    classes = list(card.classes)
    told = {
        "dataset_meta": {"classes": classes, "ids": list(card.ids)},
        "CLASSES": classes,
        "cfg": config_of(card.look),
    }
    tree = {"meta": told | {"limbeck": versions()["limbeck"]}, "state_dict": tensors}
    torch.save(tree, stream, _use_new_zipfile_serialization=False)


def config_of(look: Look) -> str:
    """How images are shown, in the words of mmdetection's configs.

    >>> config_of(Look((320, 533), keep_ratio=True)).splitlines()[1]
    "test_pipeline = [dict(type='Resize', scale=(533, 320), keep_ratio=True)]"
    """
    mean, std = ([round(255 * value, 6) for value in part] for part in (look.mean, look.std))
    scale = (max(look.size), min(look.size))
    return (
        f"model = dict(data_preprocessor=dict(mean={mean}, std={std}, bgr_to_rgb=True))\n"
        f"test_pipeline = [dict(type='Resize', scale={scale}, keep_ratio={look.keep_ratio})]\n"
    )
