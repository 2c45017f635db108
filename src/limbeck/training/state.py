"""Everything that a run needs to go on, in one file that is replaced whole or not at all."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from limbeck.errors import RunError
from limbeck.files import write_atomically
from limbeck.step import Step
from limbeck.training.ema import Average
from limbeck.training.optimizer import momentum_of, restore_momentum


@dataclass
class Progress:
    """How far a run has come: steps done, parts a batch is taken in, images replaced by others on the way."""

    done: int = 0
    parts: int = 1
    replaced: dict[int, int] = field(default_factory=dict)


def state_file(run: Path) -> Path:
    return run / "last" / "state.safetensors"


def save_state(run: Path, step: Step, optimizer: torch.optim.SGD, average: Average | None, progress: Progress) -> None:
    tensors = {f"student/{name}": value for name, value in step.student.state_dict().items()}
    tensors |= {f"momentum/{name}": value for name, value in momentum_of(optimizer, step.student).items()}
    if average is not None:
        tensors |= {f"average/{name}": value for name, value in average.model.state_dict().items()}
    told = {
        "done": progress.done,
        "parts": progress.parts,
        "replaced": {str(bad): used for bad, used in progress.replaced.items()},
    }
    file = state_file(run)
    file.parent.mkdir(parents=True, exist_ok=True)
    # clones: safetensors refuses tensors that share memory, and wants plain layout
    plain = {name: value.detach().cpu().clone(memory_format=torch.contiguous_format) for name, value in tensors.items()}
    write_atomically(file, save(plain, {"progress": json.dumps(told)}))


def load_state(run: Path, step: Step, optimizer: torch.optim.SGD, average: Average | None) -> Progress:
    """Put a run's saved state back, and tell how far it had come."""
    tensors, metadata = read_state(run)
    step.student.load_state_dict(_under("student/", tensors), strict=True)
    restore_momentum(optimizer, step.student, _under("momentum/", tensors))
    if average is not None:
        average.model.load_state_dict(_under("average/", tensors), strict=True)
    return _progress(metadata)


def read_progress(run: Path) -> Progress:
    """How far a run has come, without its weights; a run that saved nothing yet is at the start."""
    return _progress(read_state(run)[1]) if state_file(run).exists() else Progress()


def read_state(run: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    file = state_file(run)
    try:
        with safe_open(file, "pt") as opened:
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
            return tensors, json.loads(opened.metadata()["progress"])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise RunError(
            f"{file} cannot be read ({error})",
            expected="the state that a run saves as it goes",
            hint="start again with another --out",
        ) from error


def _progress(told: dict[str, Any]) -> Progress:
    return Progress(told["done"], told["parts"], {int(bad): used for bad, used in told["replaced"].items()})


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
