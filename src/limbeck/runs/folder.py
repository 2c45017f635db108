"""The run folder: what is in it, and whose it is."""

import dataclasses
import importlib.metadata
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

import torch

from limbeck.console import console
from limbeck.errors import RunError
from limbeck.files import sweep, write_atomically
from limbeck.runs.choices import to_json
from limbeck.runs.lock import LOCK, refuse_if_running, unwritable
from limbeck.runs.resuming import resume_command

PACKAGES = ("limbeck", "torch", "torchvision", "timm", "accelerate", "numpy", "pillow", "simplejpeg", "pyarrow")


def refuse_taken(run: Path) -> None:
    """A new run gets a folder of its own."""
    if run.exists() and not run.is_dir():
        raise RunError(f"--out {run} is a file", expected="a folder, new or empty", hint="another --out")
    if any((run / name).exists() for name in ("last/state.safetensors", "metrics.jsonl", "student")):
        refuse_if_running(run)
        raise RunError(
            f"{run} already holds a run",
            expected="a folder of its own for each run",
            hint=f"another --out, or go on with it: {resume_command(run)}",
        )
    if run.is_dir() and not (run / "config.json").exists() and any(map(_foreign, run.iterdir())):
        raise RunError(
            f"{run} holds files that are not a run's", expected="a new or empty folder", hint="another --out"
        )


def _foreign(path: Path) -> bool:
    return path.name not in ("store", LOCK) and not path.name.endswith(".tmp")


def write_down(run: Path, options: Any, asked: Any) -> Path:
    """Make the run folder, with the options that run and those that were asked for."""
    told = to_json(dataclasses.replace(options, resume=False), dataclasses.replace(asked, resume=False))
    try:
        run.mkdir(parents=True, exist_ok=True)
        for folder in (run, run / "last", run / "student", run / "latest"):
            sweep(folder)
        write_atomically(run / "config.json", told.encode())
        tell_differences(run)
        write_atomically(run / "environment.json", (json.dumps(environment(), indent=2) + "\n").encode())
    except OSError as error:
        raise unwritable(run, error) from error
    return run


def tell_differences(run: Path) -> None:
    """Say when a run goes on elsewhere than it began: its result may then differ in the last bits."""
    before = run / "environment.json"
    if not before.exists():
        return
    then, now = json.loads(before.read_text()), environment()
    for name in ("processes", "threads", "packages"):
        if then.get(name) != now[name]:
            console.print(f"this run began with {name} {then.get(name)}, and goes on with {now[name]}", markup=False)


def environment() -> dict[str, Any]:
    """The machine and the versions that a run's numbers depend on."""
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "processes": int(os.environ.get("WORLD_SIZE", "1")),
        "threads": torch.get_num_threads(),
        "cuda": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
    }
