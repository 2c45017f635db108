"""The end of a run: the student with its card, and the page that shows how well it learned."""

import csv
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.checkpoints.card import is_checkpoint, read_card
from limbeck.classification.models import count
from limbeck.console import console
from limbeck.divergence import js
from limbeck.images.decode import decode
from limbeck.records import Skipped, SoftLabels
from limbeck.report.page import Compared, HeldOut, ModelFacts, Page, write_report
from limbeck.report.thumbnail import SIDE, thumbnail
from limbeck.ssld.folder import environment
from limbeck.ssld.job import Job
from limbeck.ssld.probe import answers_of
from limbeck.ssld.step import best_class
from limbeck.training.log import read_metrics
from limbeck.training.state import read_progress

Compare = Callable[[Job, nn.Module], Sequence[Compared]]
SHOWN = 48
TOP = 3
_TIMED_BATCH = 32
_TIMED_SECONDS = 1.0


def ship(job: Job, model: nn.Module, done: int, numbers: dict[str, Any]) -> None:
    """Write the student as it is now: weights, and the card that tells where they come from."""
    options, teaching = job.options, job.teaching
    provenance = {
        "teacher": teaching.facts.description if teaching else None,
        "teacher_fingerprint": teaching.fingerprint if teaching else None,
        "teacher_licence": teaching.facts.licence if teaching else None,
        "images": len(job.feed.photos),
        "images_fingerprint": job.images.fingerprint(),
        "loss": options.loss,
        "steps": done,
        "of_steps": job.plan.steps,
        "batch": options.batch,
        "seed": options.seed,
        "versions": environment()["packages"],
    }
    job.student.ship(job.run, model, job.classes, provenance, numbers)


def finish(job: Job, model: nn.Module, compare: Compare | None = None) -> None:
    """Ship the trained student, measure both models, and write report.html."""
    records = read_metrics(job.run)
    numbers: dict[str, Any] = {}
    for record in records:
        numbers |= {name: record[name] for name in ("probe_js", "probe_agreement", "top1", "top5") if name in record}
    student, teacher = student_facts(job, model, numbers.get("top1")), teacher_facts(job)
    ship(job, model, job.plan.steps, numbers | {"images_per_second": student.images_per_second})
    lost = lost_photos(job)
    if lost:
        console.print(f"{len(lost):,} photos could not be read any more and gave their places to others")
        with (job.run / "skipped.csv").open("a", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows((each.path, each.reason) for each in lost)
    photos, agreeing = held_out(job, model)
    page = Page(
        title=job.run.name,
        classes=len(job.classes),
        student=student,
        teacher=teacher,
        history=records,
        held_out=photos,
        agreeing=agreeing,
        skipped=[*job.images.skipped, *lost],
        replaced=len(lost),
        comparison=compare(job, model) if compare else (),
        commands=[
            ("Ask it", f"limbeck predict {job.run} PHOTO..."),
            ("Measure it", f"limbeck evaluate {job.run} --images FOLDER"),
            ("Load it in Python", f"limbeck.load({str(job.run)!r})"),
        ],
        config=vars(job.options),
        environment=environment(),
    )
    path = write_report(job.run, page)
    console.print(f"student {job.run / 'student'}, report {path}", markup=False)


def lost_photos(job: Job) -> list[Skipped]:
    """Photos that vanished or turned unreadable while the run went on."""
    unread = "could not be read when its turn came"
    bad = sorted(read_progress(job.run).replaced)
    return [Skipped(job.feed.photos.path(index), job.feed.lost.get(index, unread)) for index in bad]


def student_facts(job: Job, model: nn.Module, top1: float | None) -> ModelFacts:
    size = job.inputs.preprocess.size
    counted = count(model, size)
    pixels = torch.zeros(_TIMED_BATCH, 3, *size, dtype=torch.uint8, device=job.ranks.device)
    model.eval()
    with torch.inference_mode():
        speed = images_per_second(lambda: job.inputs.run(model, pixels))
    model.train()
    return ModelFacts(
        name=job.student.architecture.name,
        parameters=counted.parameters,
        megabytes=counted.megabytes,
        images_per_second=speed,
        top1=top1,
        input_size=size,
    )


def teacher_facts(job: Job) -> ModelFacts | None:
    if job.teaching is None:
        return None
    facts = job.teaching.facts
    speed = None
    if job.teaching.loaded:
        pixels = torch.zeros(_TIMED_BATCH, 3, facts.size, facts.size, dtype=torch.uint8, device=job.ranks.device)
        teacher = job.teaching.teacher
        speed = images_per_second(lambda: teacher.log_probabilities(pixels))
    return ModelFacts(
        name=facts.description,
        parameters=facts.parameters,
        megabytes=facts.megabytes,
        images_per_second=speed,
        top1=known_top1(job.options.teacher),
        licence=facts.licence,
        input_size=facts.preprocesses[0].size,
    )


def known_top1(teacher: str) -> float | None:
    """The accuracy that a teacher's own card tells, where it has one."""
    return read_card(teacher).metrics.get("top1") if is_checkpoint(teacher) else None


def images_per_second(forward: Callable[[], Tensor]) -> float:
    """Forward passes of a batch, after one to warm up, for about a second."""
    forward().sum().item()
    passes, start = 0, time.perf_counter()
    while passes == 0 or time.perf_counter() - start < _TIMED_SECONDS:
        forward().sum().item()
        passes += 1
    return passes * _TIMED_BATCH / (time.perf_counter() - start)


def held_out(job: Job, model: nn.Module) -> tuple[list[HeldOut], tuple[int, int] | None]:
    """The held-out photos on which student and teacher differ most, and on how many of all they agree."""
    probe = job.probe
    if probe is None or job.teaching is None:
        return [], None
    answers = list(answers_of(model, job.inputs, probe.photos, job.ranks.device, job.feed.workers))
    if not answers:
        return [], None
    logits = torch.cat([part.cpu() for part, _ in answers])
    rows = torch.cat([part for _, part in answers])
    told = probe.answers[rows]
    distance = js(logits, told, reduction="none")
    shown = []
    for place in distance.argsort(descending=True)[:SHOWN].tolist():
        row = int(rows[place])
        try:
            small = thumbnail(decode(probe.photos.read(row), smallest=(SIDE, SIDE)))
        except (OSError, ValueError):
            continue
        best = logits[place].softmax(0).topk(min(TOP, len(job.classes)))
        student = [(job.classes[c], p) for p, c in zip(best.values.tolist(), best.indices.tolist(), strict=True)]
        teacher = top_answers(told, place, job.classes)
        folder = probe.photos.folder(row)
        truth = folder if folder in job.classes else None
        shown.append(HeldOut(probe.photos.path(row), small, teacher, student, float(distance[place]), truth))
    return shown, (int((logits.argmax(1) == best_class(told)).sum()), len(rows))


def top_answers(labels: SoftLabels, row: int, classes: tuple[str, ...]) -> list[tuple[str, float]]:
    """The best classes of one row of soft labels, with their probabilities."""
    best = labels.log_probability[row].exp().topk(min(TOP, labels.log_probability.shape[1]))
    index = best.indices if labels.index is None else labels.index[row][best.indices]
    return [(classes[c], p) for p, c in zip(best.values.tolist(), index.tolist(), strict=True)]
