"""From a file of Paddle's to a checkpoint by the command, and its numbers against those that the reference computed."""

import json
import pickle
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import limbeck
from limbeck.cli import main
from tests.backbones.fixtures import REFERENCE, Fixture, fixture, taps

CLASSIFIERS = tuple(REFERENCE)
LARGE = {"hrnet_w18_c", "se_hrnet_w64_c", "resnet101_vd", "resnet200_vd"}
DETECTORS = {
    "faster_rcnn_r50_vd_fpn_ssld": (4, 8, 16, 32),
    "mask_rcnn_r50_vd_fpn_ssld": (4, 8, 16, 32),
    "cascade_rcnn_r50_vd_fpn_ssld": (4, 8, 16, 32),
    "cascade_mask_rcnn_r50_vd_fpn_ssld": (4, 8, 16, 32),
    "retinanet_r50_fpn": (8, 16, 32),
    "yolov3_mobilenet_v1_ssld": (8, 16, 32),
    "yolov3_mobilenet_v1_ssld_voc": (8, 16, 32),
    "yolov3_mobilenet_v3_large_ssld": (8, 16, 32),
    "yolov3_mobilenet_v3_large_ssld_voc": (8, 16, 32),
}
# YOLOv3 looks at the first blocks of two stages of MobileNetV1, where a backbone's maps are those of the last
_V1_MAPS = ("blocks.2.0", "blocks.3.0", "blocks.4")


def tolerance(name: str) -> float:
    """What the fixtures' README advises; ResNet200's depth adds up float32's rounding."""
    return 1e-3 if name == "resnet200_vd" or name in DETECTORS else 1e-4


def detector(shared: Path, name: str, seed: int = 0) -> Fixture:
    folder = shared / "fixtures" / "parity_paddle"
    told = json.loads((folder / f"{name}.json").read_text())
    return Fixture(name, told, np.load(folder / f"{name}_s{seed}.npz"), folder)


def saved(found: Fixture, folder: Path) -> Path:
    """The file that paddle.save would have written."""
    weights = {name: value.numpy() for name, value in found.weights.items()}
    names = {name: f"parameter_{number}" for number, name in enumerate(weights)}
    file = folder / f"{found.told['model']}.pdparams"
    with file.open("wb") as stream:
        pickle.dump({**weights, "StructuredToParameterName@@": names}, stream, protocol=4)
    return file


def converted(found: Fixture, folder: Path) -> Path:
    main(["convert", str(saved(found, folder)), "--out", str(folder / found.name)])
    return folder / found.name


def classifier_errors(shared: Path, name: str, folder: Path) -> dict[str, float]:
    """The largest relative error of the logits, and of the output of each layer that the reference kept."""
    found = fixture(shared, name)
    model = limbeck.load(converted(found, folder)).model
    layers = taps(name, [key for key in found.told["arrays"] if key.startswith("stage.")])
    return {key: found.error(key, value) for key, value in _seen(model, found.images, layers).items()}


def detector_errors(shared: Path, name: str, folder: Path) -> dict[str, float]:
    """The largest relative error of each map of a detector's backbone."""
    found = detector(shared, name)
    checkpoint = converted(found, folder)
    if "mobilenet_v1" in name:
        layers: dict[str, tuple[str, int | None]] = {f"backbone.{n}": (layer, None) for n, layer in enumerate(_V1_MAPS)}
        seen = _seen(limbeck.load(checkpoint).model, found.images, layers)
        maps = [seen[layer] for layer in layers]
    else:
        with torch.no_grad():
            maps = limbeck.backbone(checkpoint, strides=DETECTORS[name]).eval()(found.images)
    return {f"backbone.{level}": found.error(f"backbone.{level}", value) for level, value in enumerate(maps)}


def _seen(model: nn.Module, images: Tensor, layers: dict[str, tuple[str, int | None]]) -> dict[str, Tensor]:
    seen: dict[str, Tensor] = {}
    for layer, (module, branch) in layers.items():

        def keep(_: nn.Module, __: object, out: list[Tensor], layer: str = layer, branch: int | None = branch) -> None:
            seen[layer] = (out if branch is None else out[branch]).clone()  # type: ignore[union-attr]

        model.get_submodule(module).register_forward_hook(keep)
    heads = [module for module in model.modules() if isinstance(module, nn.Linear)]
    for head in heads[-1:]:
        head.register_forward_pre_hook(lambda _, given: seen.update({"stage.pooled": given[0]}))
    with torch.no_grad():
        seen["logits"] = model(images)
    return seen
