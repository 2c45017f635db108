"""The end of a run: the student with its card, and the page that shows how well it learned."""

import csv
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.checkpoints.card import read_card, save
from limbeck.checkpoints.loaded import load
from limbeck.commands.report import Report, latest, lost_photos
from limbeck.console import console
from limbeck.errors import counted
from limbeck.report.page import Compared
from limbeck.runs.folder import environment
from limbeck.ssld.answers import look
from limbeck.ssld.job import Job
from limbeck.ssld.student import checkpoint_of
from limbeck.training.log import read_metrics

Compare = Callable[[Job, nn.Module], Sequence[Compared]]
_MEASURED = ("probe_js", "probe_agreement", "top1", "top5")
_TIMED_BATCH = 32
_TIMED_SECONDS = 1.0


def ship(job: Job, model: nn.Module, done: int, numbers: dict[str, Any]) -> None:
    """Write the model as it is now: weights, and the card that tells where they come from.

    Where the best is kept, that is latest/, and student/ too if no earlier evaluation was better.
    """
    options, teaching = job.options, job.teaching
    provenance = {
        "teacher": teaching.facts.description if teaching else None,
        "teacher_fingerprint": teaching.fingerprint if teaching else None,
        "teacher_licence": teaching.facts.licence if teaching else None,
        "images": len(job.feed.photos),
        "images_fingerprint": job.images.fingerprint(),
        "started_from": options.student if checkpoint_of(options) or options.student_weights else None,
        "loss": options.loss,
        "steps": done,
        "of_steps": job.plan.steps,
        "batch": options.batch,
        "seed": options.seed,
        "versions": environment()["packages"],
    }
    folders = ["student"]
    if options.best and "top1" in numbers:
        folders = ["latest", "student"] if is_best(read_metrics(job.run), done, numbers["top1"]) else ["latest"]
    for folder in folders:
        job.student.ship(job.run / folder, model, job.classes, provenance, numbers)


def is_best(history: Sequence[Mapping[str, Any]], done: int, value: float, name: str = "top1") -> bool:
    """Whether no evaluation before this one was better; of equals the later one counts.

    >>> is_best([{"step": 1, "top1": 0.5}, {"step": 2, "top1": 0.7}], 3, 0.6)
    False
    """
    return all(value >= record[name] for record in history if name in record and record["step"] < done)


def finish(job: Job, model: nn.Module, report: Report, compare: Compare | None = None) -> None:
    """Ship the trained student, measure both models, and write report.html."""
    history = read_metrics(job.run)
    numbers = {name: value for name in _MEASURED if (value := latest(history, name)) is not None}
    report.student = replace(report.student, images_per_second=student_speed(job, model))
    if report.teacher is not None:
        report.teacher = replace(report.teacher, images_per_second=teacher_speed(job))
    speed = {"images_per_second": report.student.images_per_second}
    ship(job, model, job.plan.steps, numbers | report.beside | speed)
    if job.evaluation is not None:
        measure_shipped(job, model, report, speed)
    lost = lost_photos(job)
    if lost:
        console.print(f"{counted(len(lost), 'photo')} could not be read any more: others took the place")
        with (job.run / "skipped.csv").open("a", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows((each.path, each.reason) for each in lost)
    if job.probe is not None and (report.seen is None or job.ranks.world > 1):  # of a share, or by an earlier process
        report.seen = job.probe.look(model, job.inputs, job.ranks.device, job.feed.workers)
    path = report.finished(compare(job, model) if compare else ())
    console.print(f"student {job.run / 'student'}, report {path}", markup=False)


def measure_shipped(job: Job, model: nn.Module, report: Report, speed: dict[str, float | None]) -> None:
    """What the shipped model answers to the labelled photos, where that is not known: the best was an earlier one."""
    folder, known = job.run / "student", report.answers
    card = read_card(folder)
    if card.provenance["steps"] != job.plan.steps:
        model = load(folder, device=str(job.ranks.device)).model
        save(folder, model, replace(card, metrics={**card.metrics, **speed}))
    if known is None or job.ranks.world > 1:
        assert job.evaluation is not None
        report.answers = look(model, job.inputs, job.evaluation, job.ranks.device, job.feed.workers)


def student_speed(job: Job, model: nn.Module) -> float:
    pixels = torch.zeros(_TIMED_BATCH, 3, *job.inputs.preprocess.size, dtype=torch.uint8, device=job.ranks.device)
    model.eval()
    speed = images_per_second(lambda: job.inputs.ask(model, pixels))
    model.train()
    return speed


def teacher_speed(job: Job) -> float | None:
    """None where the teacher was not needed, and is not loaded for this."""
    if job.teaching is None or not job.teaching.loaded:
        return None
    teaching = job.teaching
    views = [
        torch.zeros(_TIMED_BATCH, 3, *each.size, dtype=torch.uint8, device=job.ranks.device)
        for each in teaching.facts.preprocesses
    ]
    return images_per_second(lambda: teaching.evaluate(views))


def images_per_second(forward: Callable[[], Tensor]) -> float:
    """Forward passes of a batch, after one to warm up, for about a second."""
    forward().sum().item()
    passes, start = 0, time.perf_counter()
    while passes == 0 or time.perf_counter() - start < _TIMED_SECONDS:
        forward().sum().item()
        passes += 1
    return passes * _TIMED_BATCH / (time.perf_counter() - start)
