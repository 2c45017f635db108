"""Whole detectors with the reference's weights: raw outputs, losses, final detections."""

import json
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn

from limbeck.backbones.features import Features
from limbeck.checkpoints.renames import mmdet as names
from limbeck.detection.batch import Targets, stacked
from limbeck.detection.gfl import GFL
from limbeck.detection.retinanet import RetinaNet
from limbeck.detection.ssd_models import ssd300, ssd512, ssdlite_mobilenetv2
from limbeck.layers.deformable import deformed
from limbeck.records import Frame, Target


def resnet(depth: int) -> Features:
    return Features(timm.create_model(f"resnet{depth}", num_classes=0), (8, 16, 32))


def gfl(depth: int) -> GFL:
    maps = resnet(depth)
    return GFL(maps, maps.channels, 80)


def gfl_r101_dcn() -> GFL:
    maps = Features(deformed(timm.create_model("resnet101", num_classes=0)), (8, 16, 32))
    return GFL(maps, maps.channels, 80)


def retinanet() -> RetinaNet:
    maps = resnet(50)
    return RetinaNet(maps, maps.channels, 80)


MODELS: dict[str, tuple[Callable[[], nn.Module], names.Patterns]] = {
    "ssd300": (lambda: ssd300(80), names.SSD),
    "ssd512": (lambda: ssd512(80), names.SSD),
    "ssdlite_mobilenetv2": (lambda: ssdlite_mobilenetv2(80), names.SSDLITE),
    "gfl_r18": (lambda: gfl(18), names.GFL),
    "gfl_r34": (lambda: gfl(34), names.GFL),
    "gfl_r50": (lambda: gfl(50), names.GFL),
    "gfl_r101": (lambda: gfl(101), names.GFL),
    "gfl_r101_dcn": (gfl_r101_dcn, names.GFL),
    "retinanet_r50_fpn": (retinanet, names.RETINANET),
}
QUICK = ("ssdlite_mobilenetv2", "gfl_r18")
ROWS = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in MODELS]


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    return shared / "fixtures" / "parity_mm"


@pytest.fixture(scope="module")
def drawn(folder: Path) -> tuple[ModuleType, ModuleType]:
    """What makes weights and images out of names and seeds."""
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(str(folder))
        for name in ("named_weights", "named_inputs"):
            sys.modules.pop(name, None)
        return import_module("named_weights"), import_module("named_inputs")


def loaded(name: str, meta: dict[str, Any], tensor: Callable[..., Any]) -> nn.Module:
    build, table = MODELS[name]
    weights = {key: torch.from_numpy(tensor(key, shape, 0)) for key, shape in meta["state_dict"].items()}
    state = {names.renamed(key, table): value for key, value in weights.items() if "integral" not in key}
    scales = [key for key in state if key.startswith("bbox_head.scales.")]
    if scales:
        state["scales"] = torch.stack([state.pop(key) for key in scales])
    model = build()
    model.load_state_dict(state, strict=True)
    return model.eval()


def pixels(meta: dict[str, Any], image: Callable[..., Any]) -> Tensor:
    told = meta["preprocessing"]
    mean, std = (torch.tensor(told[key], dtype=torch.float32)[:, None, None] for key in ("mean", "std"))
    batch = torch.zeros(meta["batch_shape"])
    for index, each in enumerate(meta["images"]):
        height, width = each["img_shape"]
        shown = torch.from_numpy(image(index, height, width, 0)).permute(2, 0, 1).float()
        batch[index, :, :height, :width] = (shown - mean) / std
    return batch


@pytest.mark.parametrize("name", ROWS)
def test_a_whole_detector_is_the_reference_s(name: str, folder: Path, drawn: tuple[ModuleType, ModuleType]) -> None:
    weights, inputs = drawn
    meta = json.loads((folder / f"{name}_s0.json").read_text())
    with np.load(folder / f"{name}_s0.npz") as arrays:
        told = dict(arrays)
    model: Any = loaded(name, meta, weights.tensor)
    assert sum(parameter.numel() for parameter in model.parameters()) == meta["num_parameters"]
    frames = stacked([Frame(*each["img_shape"], *each["ori_shape"]) for each in meta["images"]])
    boxes, labels = (
        [torch.from_numpy(told[f"gt.{image}.{what}"]) for image in range(len(frames))] for what in ("boxes", "labels")
    )
    with torch.inference_mode():
        raw = model(pixels(meta, inputs.image))
        losses = model.losses(raw, Targets.of([Target(*each) for each in zip(boxes, labels, strict=True)]), frames)
        found = model.boxes(raw, frames).detections()
    for what, levels in (("cls_score", raw[0]), ("bbox_pred", raw[1])):
        for level, rows in enumerate(levels):
            facts = meta["arrays"][f"head.{what}.{level}"]
            batch, channels, height, width = facts["shape"]
            flat = rows.reshape(batch, height, width, channels).permute(0, 3, 1, 2).reshape(-1).numpy()
            kept = flat[inputs.subset(flat.size, facts["keep"])]
            assert np.abs(kept - told[f"sub.head.{what}.{level}"]).max() <= 1e-4 * facts["absmax"]
    for ours, theirs in zip(losses.values(), meta["loss"].values(), strict=True):
        assert float(ours) == pytest.approx(sum(theirs), rel=1e-4)
    for index, each in enumerate(found):
        close = matched(each, {key: told[f"dets.{index}.{key}"] for key in ("boxes", "scores", "labels", "stable")})
        assert close >= 0.99


def matched(found: Any, told: dict[str, Any]) -> float:
    """The share of the reference's stable detections that are here: class, box and score."""
    rows = np.flatnonzero(told["stable"])
    hits = 0
    for row in rows:
        same = found.labels.numpy() == told["labels"][row]
        near = np.abs(found.boxes.numpy() - told["boxes"][row]).max(1) < 0.05
        hits += bool((same & near & (np.abs(found.scores.numpy() - told["scores"][row]) < 1e-4)).any())
    return hits / len(rows)
