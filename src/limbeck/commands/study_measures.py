"""What a study measures beside its runs, once: its teachers' own accuracy, its students' latency."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from statistics import median
from typing import Any

import torch

from limbeck.checkpoints.loaded import load
from limbeck.commands.study_grid import Prints
from limbeck.commands.teach import student_size
from limbeck.console import console
from limbeck.files import write_atomically
from limbeck.runs.devices import reading_workers, teacher_precision
from limbeck.ssld.job import view_policy
from limbeck.ssld.labels import labels_of
from limbeck.ssld.opening import class_names, name_teacher, open_images
from limbeck.ssld.options import Distill
from limbeck.ssld.probe import teacher_accuracy
from limbeck.ssld.teaching import TeacherFacts, Teaching
from limbeck.training.ranks import Ranks

_WARM_UP, _PASSES, _SECONDS = 5, 30, 1.0


@dataclass(frozen=True)
class Taught:
    """A teacher of a study: who it is, its own top-1 where labels tell it, and the store of its labels."""

    description: str
    top1: float | None
    store: str


def taught(options: Distill, out: Path, ranks: Ranks, prints: Prints) -> Taught:
    """What a study needs to know of the teacher that some options name; it is loaded the first time only."""
    spec = name_teacher(options, None)
    told = remembered(
        out / "measured" / f"teacher-{spec.fingerprint}.json",
        {"eval": prints.get((options.eval,), "")},
        lambda: _ask(options, Teaching(spec, ranks.device, _precision(options, spec.only_float32, ranks)), ranks),
    )
    facts = TeacherFacts.from_dict(told["teacher"])
    teaching = Teaching(spec, ranks.device, _precision(options, spec.only_float32, ranks), facts)
    views = view_policy(options, student_size(options, teaching), teaching).fingerprint()
    return Taught(facts.description, told["top1"], f"{spec.fingerprint[:12]}-{views[:8]}")


def _ask(options: Distill, teaching: Teaching, ranks: Ranks) -> dict[str, Any]:
    told: dict[str, Any] = {"teacher": teaching.facts.to_dict(), "top1": None}
    if options.eval:
        photos = open_images((options.eval,), options, ranks)
        data = labels_of(photos, class_names(teaching, None))
        score = teacher_accuracy(teaching, data.photos, data.truth, ranks, reading_workers(options.workers, 1))
        told["top1"] = score.top1
        console.print(f"teacher {teaching.facts.description}: top-1 {score.top1:.2%}", markup=False)
    return told


def _precision(options: Distill, only_float32: bool, ranks: Ranks) -> str:
    return "float32" if only_float32 else teacher_precision(options.teacher_precision, ranks.device)


def latency(run: Path, out: Path, device: torch.device) -> float:
    """Milliseconds of one photo on a device: the median of single forward passes of the student."""
    loaded = load(run, device=str(device))
    size = loaded.preprocess.size
    about = {"architecture": dict(loaded.card.architecture), "size": list(size), "threads": torch.get_num_threads()}
    about["device"] = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    name = blake2b(json.dumps(about, sort_keys=True).encode(), digest_size=6).hexdigest()

    def measure() -> dict[str, Any]:
        image = torch.zeros(1, 3, *size, device=device)
        return {"milliseconds": 1000 * _median_pass(lambda: loaded.model(image))}

    return float(remembered(out / "measured" / f"latency-{name}.json", about, measure)["milliseconds"])


@torch.inference_mode()
def _median_pass(forward: Callable[[], torch.Tensor]) -> float:
    seconds: list[float] = []
    while len(seconds) < _WARM_UP + _PASSES or sum(seconds) < _SECONDS:
        start = time.perf_counter()
        forward().sum().item()  # which waits for the device
        seconds.append(time.perf_counter() - start)
    return median(seconds[_WARM_UP:])


def remembered(file: Path, about: dict[str, Any], measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What was measured before of the same thing, else what is measured now.

    >>> from tempfile import mkdtemp
    >>> file = Path(mkdtemp()) / "measured.json"
    >>> remembered(file, {"of": "a"}, lambda: {"top1": 1})["top1"]
    1
    >>> remembered(file, {"of": "a"}, lambda: {"top1": 2})["top1"]
    1
    """
    try:
        told: dict[str, Any] = json.loads(file.read_text())
    except (OSError, ValueError):
        told = {}
    if told.get("about") != about:
        told = {"about": about, **measure()}
        write_atomically(file, (json.dumps(told, indent=2) + "\n").encode())
    return told
