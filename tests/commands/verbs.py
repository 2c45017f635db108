"""The verbs that train through the one loop, each as a run of four epochs of six steps: what one does when things go
wrong, the other does."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import timm
from torch import nn

import limbeck
from limbeck.detection.ssd import SSD
from tests.commands import tiny

STEPS = 24
TOY = "from limbeck.detection import DETECTORS\nDETECTORS['toy'] = 'tests.detection.toy_detector:TOY'\n"


@dataclass(frozen=True)
class Verb:
    """A verb with all that a run of it is given but --out."""

    name: str
    call: Callable[..., Any]
    given: dict[str, Any]
    source: str  # the option that names the photos
    picky: dict[str, Any]  # draws and averages: all that a state must have to go on
    calm: dict[str, Any]  # a model whose answers do not depend on the rest of its batch
    network: type[nn.Module]  # the class of that model
    wild: dict[str, Any]  # no number stays finite

    @property
    def photos(self) -> Path:
        return Path(self.given[self.source])

    @property
    def files(self) -> list[Path]:
        return sorted(self.photos.rglob("*.jpg"))

    @property
    def batch(self) -> int:
        return int(self.given["batch"])

    def options(self, out: Path, **changes: Any) -> dict[str, Any]:
        return self.given | {"out": str(out)} | changes

    def job(self, out: Path, **changes: Any) -> dict[str, Any]:
        """A run that is cut off: it saves after every fourth step."""
        return self.options(out, save_every=4) | self.picky | changes

    def run(self, out: Path, **changes: Any) -> Any:
        return self.call(**self.options(out, **changes))

    def go_on(self, out: Path, **changes: Any) -> Any:
        return self.call(out=out, resume=True, **changes)

    def line(self, given: dict[str, Any]) -> list[str]:
        words = tiny.line({name: value for name, value in given.items() if name != "recipe"})
        return [self.name, *([given["recipe"]] if "recipe" in given else []), *words[1:]]

    def resume(self, out: Path) -> list[str]:
        return [self.name, "--out", str(out), "--resume"]

    def elsewhere(self, folder: Path) -> "Verb":
        """The same with photos of its own, to harm."""
        shutil.copytree(self.photos, folder, dirs_exist_ok=True)
        changed = {name: str(folder) for name, value in self.given.items() if value == str(self.photos)}
        return replace(self, given=self.given | changed)


def distill(photos: Path, teacher: Path) -> Verb:
    return Verb(
        "distill",
        limbeck.distill,
        {name: value for name, value in tiny.options(photos, teacher, Path()).items() if name != "out"},
        "images",
        picky={"student_args": '{"drop_rate": 0.3}', "views": 2},
        calm={"student": "test_vit", "probe": 0.1, "lr": 0.4},
        network=type(timm.create_model("test_vit")),
        wild={"lr": 1e22, "warmup_epochs": 0.0},
    )


def train(scenes: Path) -> Verb:
    given: dict[str, Any] = {
        "recipe": "ssdlite",
        "data": str(scenes),
        "val": str(scenes),
        "split": "",
        "detector": "ssdlite",
        "backbone": "test_resnet",
        "size": 64,
        "epochs": 4,
        "batch": 4,
        "workers": 0,
        "log_every": 1,
        "save_every": 6,
        "track": ("none",),
        "precision": "float32",
        "device": "cpu",
        "cache": str(scenes.parent / "cache"),
    }
    return Verb(
        "train",
        limbeck.train,
        given,
        "data",
        picky={"ema": 0.9, "clip": 5.0, "evaluate_every": 2},
        calm={"detector": "toy", "backbone": "", "size": 0},
        network=SSD,
        wild={"lr": 1e30, "warmup": 0},
    )


def weights(run: Path) -> bytes:
    """All models that a run has made."""
    return b"".join(file.read_bytes() for file in sorted(run.glob("*/model.safetensors")))
