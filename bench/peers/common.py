"""What every peer is given and hands back, and the two networks with a clock that ticks when the student learns."""

import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from timm.models import register_model
from torch import Tensor, nn

from cifar_models import SmallNet, cifar_student, cifar_teacher

TICKS: list[float] = []  # when the student began each pass that it learns from
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)
CROP = (0.4, 1.0)  # the share of a photo that a view shows, for every tool without advice of its own for CIFAR-10


@dataclass(frozen=True)
class Job:
    """One training: which photos, how long, how fast; the rest is its tool's."""

    out: str
    photos: str
    start: str
    """Weights that the student starts from."""
    teacher: str
    """Its weights; none where the labels teach."""
    steps: int
    rate: float
    seed: int = 0
    variant: str = ""
    batch: int = 128

    @property
    def folder(self) -> Path:
        return Path(self.out)

    def write(self) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / "job.json"
        file.write_text(json.dumps(asdict(self), indent=1))
        return file

    def deliver(self, weights: dict[str, Tensor]) -> None:
        """The student as it is after the last step, and the clock."""
        (self.folder / "ticks.json").write_text(json.dumps(TICKS))
        part = self.folder / "student.part"
        save_file({name: value.detach().contiguous() for name, value in weights.items()}, part)
        part.replace(self.folder / "student.safetensors")


def read_job() -> Job:
    return Job(**json.loads(Path(sys.argv[1]).read_text()))


def tick(stages: nn.Module, _: Any) -> None:
    if stages.training:
        TICKS.append(time.perf_counter())


@register_model
def peer_student(pretrained: bool = False, **args: Any) -> SmallNet:
    student = cifar_student(**args)
    student.stages.register_forward_pre_hook(tick)
    return student


@register_model
def peer_teacher(pretrained: bool = False, **args: Any) -> SmallNet:
    return cifar_teacher(**args)
