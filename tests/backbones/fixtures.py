"""What the reference computed: its weights, images and numbers, made again from names and a seed."""

import importlib.util
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

REFERENCE = {
    "mobilenet_v1": "MobileNetV1",
    "mobilenet_v2": "MobileNetV2",
    "mobilenet_v3_small": "MobileNetV3_small_x1_0",
    "mobilenet_v3_large": "MobileNetV3_large_x1_0",
    "hrnet_w18_c": "HRNet_W18_C",
    "se_hrnet_w64_c": "SE_HRNet_W64_C",
    "resnet50_vd": "ResNet50_vd",
    "resnet101_vd": "ResNet101_vd",
    "resnet200_vd": "ResNet200_vd",
}
_DEPTHS = {"resnet50_vd": (3, 4, 6, 3), "resnet101_vd": (3, 4, 23, 3), "resnet200_vd": (3, 12, 48, 3)}
_BLOCKS = {
    "mobilenet_v1": (1, 2, 2, 6, 2),
    "mobilenet_v3_small": (1, 2, 3, 2, 3),
    "mobilenet_v3_large": (1, 2, 3, 4, 2, 3),
}


@dataclass(frozen=True)
class Fixture:
    """One network of the reference at one seed."""

    name: str
    told: Mapping[str, Any]
    arrays: Mapping[str, Any]
    folder: Path

    @property
    def weights(self) -> dict[str, Tensor]:
        """By the reference's names, in its order."""
        made = _module(self.folder, "named_weights_paddle")
        shapes, seed = self.told["state_dict"], self.told["seed"]
        return {name: torch.from_numpy(made.tensor(name, shape, seed)) for name, shape in shapes.items()}

    @property
    def images(self) -> Tensor:
        batch = _module(self.folder, "named_inputs_paddle").batch(self.told["image_shapes"], self.told["seed"])
        return torch.from_numpy(batch)

    def error(self, key: str, values: Tensor) -> float:
        """The largest error of an array, or of the part of it that was kept, against its largest absolute value."""
        if key == "logits":
            expected = self.arrays[key]
            return float(np.abs(values.numpy() - expected).max() / np.abs(expected).max())
        about = self.told["arrays"][key]
        assert list(values.shape) == about["shape"], f"{key}: {list(values.shape)} instead of {about['shape']}"
        kept = _module(self.folder, "named_inputs_paddle").subset(values.numel(), about["keep"])
        found = values.flatten().numpy()[kept]
        return float(np.abs(found - self.arrays[f"sub.{key}"]).max() / about["absmax"])


def fixture(shared: Path, name: str, seed: int = 0) -> Fixture:
    folder = shared / "fixtures" / "parity_paddle"
    file = REFERENCE[name]
    told = json.loads((folder / f"{file}.json").read_text())
    return Fixture(name, told, np.load(folder / f"{file}_s{seed}.npz"), folder)


def in_order(model: nn.Module, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The reference's weights by our names: both have the same tensors in the same order."""
    own = {name: value for name, value in model.state_dict().items() if not name.endswith("num_batches_tracked")}
    assert len(own) == len(weights)
    turned = [value.T if value.ndim == 2 else value for value in weights.values()]
    named = dict(zip(own, turned, strict=True))
    assert {name: value.shape for name, value in named.items()} == {name: value.shape for name, value in own.items()}
    return named


def taps(name: str, layers: list[str]) -> dict[str, tuple[str, int | None]]:
    """Where our network has the output of the reference's layers: a module, and which of its outputs."""
    return {layer: _tap(name, layer.removeprefix("stage.")) for layer in layers if layer != "stage.pooled"}


def _tap(name: str, layer: str) -> tuple[str, int | None]:
    kind, _, number = layer.rpartition(".")
    if name.startswith("resnet"):
        if kind != "blocks":
            return {"stem": "act1", "max_pool": "maxpool"}[layer], None
        return "layer{}.{}".format(*_place(_DEPTHS[name], int(number), 1)), None
    if "hrnet" in name:
        if not kind:
            return {"conv_layer1_2": "act2", "layer1": "layer1", "conv_last": "final_layer"}[layer], None
        stage, branch = int(kind.removeprefix("st")), int(number)
        # the reference appends the next stage's new branch to this stage's list
        return (f"stage{stage}", branch) if branch < stage else (f"transition{stage}.{branch}", None)
    if name == "mobilenet_v2":
        count = int(layer.removeprefix("conv"))
        return {1: "bn1", 9: "bn2"}.get(count, f"blocks.{count - 2}"), None
    if kind == "blocks":
        return "blocks.{}.{}".format(*_place(_BLOCKS[name], int(number), 0)), None
    last = len(_BLOCKS.get(name, ()))
    return {"conv": "bn1", "last_second_conv": f"blocks.{last}.0", "last_conv": "conv_head"}[layer], None


def _place(depths: tuple[int, ...], block: int, first: int) -> tuple[int, int]:
    for stage, depth in enumerate(depths, start=first):
        if block < depth:
            return stage, block
        block -= depth
    raise AssertionError("more blocks than the network has")


def _module(folder: Path, name: str) -> ModuleType:
    if name not in sys.modules:
        sys.path.insert(0, str(folder))  # they import each other
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
        sys.path.remove(str(folder))
    return sys.modules[name]
