"""A contender of bench/detector_step.py: a process of its own that takes one training step for each line it is sent."""

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

LR, MOMENTUM, DECAY = 1e-7, 0.9, 5e-4  # nobody is to learn: untrained weights would overflow at a higher rate
Photos = dict[str, torch.Tensor]


def serve(make: Callable[[str, Photos, str], Callable[[], dict[str, float]]]) -> None:
    """`make(model, photos, variant)` gives a function that takes one step, and may tell seconds of parts of it."""
    model, photos, variant, core = sys.argv[1:]
    os.sched_setaffinity(0, {int(core)})
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with np.load(photos) as drawn:
        given = {name: torch.from_numpy(drawn[name]) for name in drawn.files}
    before = _resident("VmRSS")
    step = make(model, given, variant)
    step()
    _tell(ready=True, torch=torch.__version__)
    for _ in sys.stdin:
        passed, worked = time.perf_counter(), time.process_time()
        parts: dict[str, Any] = step()
        _tell(
            passed=time.perf_counter() - passed - parts.pop("aside_passed", 0.0),
            worked=time.process_time() - worked - parts.pop("aside_worked", 0.0),
            memory=_resident("VmHWM") - before,
            **parts,
        )


def _tell(**values: Any) -> None:
    sys.__stdout__.write(json.dumps(values) + "\n")
    sys.__stdout__.flush()


def _resident(which: str) -> float:
    """MB of this process now, or at its peak."""
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(which))
