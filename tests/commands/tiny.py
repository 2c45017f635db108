"""A distillation small enough to run many times: photos of four patterns, and the options that all the runs share."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from limbeck.checkpoints.loaded import Loaded
from limbeck.commands.distill import distill

CLASSES = ("bars", "disc", "plain", "rows")


def draw(root: Path, each: int, *, seed: int = 0, folders: bool = False) -> Path:
    """Small JPEG photos of four patterns in noisy colours, in a folder for each pattern or all in one."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:40, 0:48]
    for name in CLASSES:
        folder = root / name if folders else root
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(each):
            phase = rng.integers(0, 10)
            mask = {
                "bars": (x + phase) // 5 % 2 == 0,
                "rows": (y + phase) // 5 % 2 == 0,
                "disc": (x - 24) ** 2 + (y - 20) ** 2 < (8 + phase) ** 2,
                "plain": np.zeros_like(x, bool),
            }[name]
            dark, light = rng.uniform(0, 90, 3), rng.uniform(150, 255, 3)
            pixels = np.where(mask[..., None], light, dark) + rng.normal(0, 12, (40, 48, 3))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{name}_{number}.jpg", quality=90)
    return root


def options(photos: Path, teacher: Any, out: Path, **changes: Any) -> dict[str, Any]:
    """A run of four epochs of six steps."""
    shared: dict[str, Any] = {
        "images": str(photos),
        "teacher": teacher if not isinstance(teacher, Path) else str(teacher),
        "student": "test_resnet",
        "student_size": 32,
        "out": str(out),
        "batch": 16,
        "epochs": 4,
        "lr": 0.8,
        "workers": 0,
        "probe": 0.0,
        "log_every": 1,
        "save_every": 6,
        "evaluate_every": 1,
        "track": ("none",),
        "precision": "float32",
        "teacher_precision": "float32",
        "device": "cpu",
        "crop_scale": (0.5, 1.0),
    }
    return shared | changes


def run(photos: Path, teacher: Any, out: Path, **changes: Any) -> Loaded:
    return distill(**options(photos, teacher, out, **changes))


def line(given: dict[str, Any]) -> list[str]:
    """The options as a command line."""
    words = ["distill"]
    for name, value in given.items():
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            words.append(flag if value else flag.replace("--", "--no-", 1))
        else:
            words += [flag, *(str(part) for part in (value if isinstance(value, tuple) else (value,)))]
    return words


def command(
    words: list[str], *, before: str = "", launcher: tuple[str, ...] = (), **kept: Any
) -> subprocess.Popen[str]:
    """`limbeck WORDS` in a process of its own; `before` is code that runs first in it."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default"}
    if before:
        program = [sys.executable, "-c", f"{before}\nfrom limbeck.cli import main\nmain()"]
    else:
        program = [sys.executable, *launcher, "-m", "limbeck"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([*program, *words], env=environment, **pipes | kept)


def finished(process: subprocess.Popen[str], *, expect: int = 0) -> str:
    """Everything that the process said, once it ended as expected."""
    out, err = process.communicate(timeout=400)
    assert process.returncode == expect, f"ended with {process.returncode}\n{out}\n{err}"
    return out + err


def weights(run: Path) -> bytes:
    return (run / "student" / "model.safetensors").read_bytes()


def records(run: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl that tell of steps."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if "loss" in line]
