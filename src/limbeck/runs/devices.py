"""Devices, processes and precision."""

import os
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import InitProcessGroupKwargs, ProjectConfiguration
from torch import nn

from limbeck.errors import OptionError
from limbeck.runs.choices import Precision, TeacherPrecision
from limbeck.training.ranks import Ranks


def start_ranks(device: str, track: tuple[str, ...], run: Path) -> Ranks:
    """This process among those that torchrun or accelerate launch started, on its device."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True, "auto": True}
    if not available[device]:
        there = ", ".join(name for name, there in available.items() if there)
        raise OptionError(f"--device {device}: there is none on this machine", expected=there, hint="--device auto")
    names = [name for name in track if name != "none"]
    for name in names:
        spec = find_spec(name)
        if spec is None or spec.origin is None:  # a folder of that name, as wandb makes here, is not the package
            raise OptionError(f"--track {name}: it is not installed", expected=name, hint=f"pip install {name}")
    if PartialState().num_processes == 1:  # what an earlier run in this process chose must not bind this one
        AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = Accelerator(
        cpu=device == "cpu" or not (available["cuda"] or available["mps"]),
        log_with=names or None,
        project_config=ProjectConfiguration(project_dir=str(run), logging_dir=str(run / "tensorboard")),
        # one process may look at millions of photos while the others wait
        kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(hours=24))],
    )
    return Ranks(accelerator)


def student_precision(asked: Precision, device: torch.device, model: nn.Module | None = None) -> Precision:
    """bfloat16 where the hardware multiplies it: on CUDA, and on such a CPU for a model that has no depthwise layers,
    which it would slow down by half."""
    if asked != "auto":
        return asked
    if device.type == "cpu":
        return "bfloat16" if model is not None and _multiplies_bfloat16() and not _has_depthwise(model) else "float32"
    return "bfloat16" if device.type == "cuda" and torch.cuda.is_bf16_supported(False) else "float32"


def teacher_precision(asked: TeacherPrecision, device: torch.device) -> TeacherPrecision:
    """bfloat16 where the hardware multiplies it: a forward pass alone gains by it even on a CPU."""
    if asked != "auto":
        return asked
    if device.type == "cpu":
        return "bfloat16" if _multiplies_bfloat16() else "float32"
    return student_precision("auto", device)


def _multiplies_bfloat16() -> bool:
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def _has_depthwise(model: nn.Module) -> bool:
    return any(isinstance(each, nn.Conv2d) and each.groups == each.in_channels > 1 for each in model.modules())


def reading_workers(asked: int, world: int) -> int:
    if asked >= 0:
        return asked
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(8, usable // max(1, world)))
