"""report.html of a run: while it goes on, when it stops, and when it is done."""

import json
import math
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from limbeck.checkpoints.card import is_checkpoint, read_card
from limbeck.classification.models import count
from limbeck.commands.mistakes import mistakes_and_classes
from limbeck.console import console
from limbeck.errors import Interrupted, LimbeckError
from limbeck.files import write_atomically
from limbeck.images.decode import decode
from limbeck.records import Skipped, SoftLabels
from limbeck.report.interval import FEW
from limbeck.report.page import Compared, HeldOut, ModelFacts, Page, Unfinished, write_report
from limbeck.report.thumbnail import SIDE, thumbnail
from limbeck.runs.folder import environment
from limbeck.runs.resuming import resume_command
from limbeck.ssld.answers import Answers
from limbeck.ssld.job import Job
from limbeck.ssld.probe import TOP, Seen, teacher_accuracy
from limbeck.training.log import read_metrics
from limbeck.training.state import read_progress

SHOWN = 48
_PAUSE = 30.0  # seconds between two pages of a run that goes on
_SHARE = 0.02  # of the run's time that those pages may take


class Report:
    """The page of a run, written by its first process; `seen` is what the last evaluation saw of held-out photos."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.seen: Seen | None = None
        self.answers: Answers | None = None  # of the shipped model, to the labelled photos that it is measured on
        self.student = student_facts(job)
        self.teacher = teacher_facts(job)
        self._thumbnails: dict[int, bytes | None] = {}
        self._next = 0.0

    @property
    def beside(self) -> dict[str, float]:
        """What was measured of the teacher on the photos that the student is measured on."""
        teacher = self.teacher
        if teacher is None or teacher.top1 is None or teacher.top1_note:
            return {}
        return {"teacher_top1": teacher.top1}

    def update(self, done: int, numbers: Mapping[str, float]) -> None:
        """The page of a run that goes on, now and then; `numbers` are those of this moment, not in its log yet."""
        started = time.monotonic()
        if not self.job.ranks.first or started < self._next or done == self.job.plan.steps:
            return
        self._write([*read_metrics(self.job.run), {"step": done, **numbers}], self._unfinished(done))
        spent = time.monotonic() - started
        self._next = time.monotonic() + max(_PAUSE, spent / _SHARE)

    def stopped(self, error: LimbeckError) -> None:
        """The page of a run that stopped before its end."""
        if not self.job.ranks.first:
            return
        try:
            why = "Everything is saved" if isinstance(error, Interrupted) else error.found
            self._write(read_metrics(self.job.run), self._unfinished(read_progress(self.job.run).done, why))
        except (OSError, LimbeckError) as failure:  # what matters of the run is saved elsewhere
            console.print(f"report.html could not be written: {failure}", markup=False)

    def finished(self, comparison: Sequence[Compared]) -> Path:
        """The page of a run that is done."""
        page = self.page(read_metrics(self.job.run), lost_photos(self.job))
        return write_report(self.job.run, replace(page, comparison=comparison))

    def page(self, history: Sequence[Mapping[str, Any]], lost: Sequence[Skipped]) -> Page:
        job, probe = self.job, self.job.probe
        shown, agreeing = [], None
        if self.seen is not None and len(self.seen.rows):
            shown = self._held_out(self.seen)
            agreeing = int(self.seen.agrees.sum()), len(self.seen.rows)
        labelled = mistakes_and_classes(job, self.answers, history)
        best = labelled.best if labelled else None
        return Page(
            title=job.run.name,
            labelled=labelled,
            kind="distillation" if job.teaching else "fine-tuning" if job.options.verb == "finetune" else "training",
            classes=len(job.classes),
            student=replace(self.student, top1=best[1] if best else latest(history, "top1")),
            teacher=self.teacher,
            history=history,
            held=None if job.teaching is None else len(probe.photos) if probe else 0,
            held_out=shown,
            agreeing=agreeing,
            skipped=[*job.images.skipped, *lost],
            replaced=len(lost),
            commands=next_commands(job),
            config=vars(job.options),
            environment=environment(),
        )

    def _unfinished(self, done: int, why: str = "") -> Unfinished:
        written = time.strftime("%Y-%m-%d %H:%M")
        resume = resume_command(self.job.options.out)
        return Unfinished(done=done, steps=self.job.plan.steps, resume=resume, written=written, stopped=why)

    def _write(self, history: Sequence[Mapping[str, Any]], unfinished: Unfinished) -> None:
        feed = self.job.feed
        lost = [Skipped(feed.photos.path(index), reason) for index, reason in sorted(feed.lost.items())]
        page = replace(self.page(history, lost), unfinished=unfinished)
        if not (self.job.run / "student").exists():
            page = replace(page, commands=())
        write_report(self.job.run, page)

    def _held_out(self, seen: Seen) -> list[HeldOut]:
        """The held-out photos on which student and teacher differ most."""
        probe, classes = self.job.probe, self.job.classes
        assert probe is not None
        shown = []
        for place in seen.distance.argsort(descending=True)[:SHOWN].tolist():
            row = int(seen.rows[place])
            small = self._thumbnail(row)
            if small is None:
                continue
            best = zip(seen.probability[place].tolist(), seen.best[place].tolist(), strict=True)
            student = [(classes[index], share) for share, index in best]
            folder = probe.photos.folder(row)
            truth = folder if folder in classes else None
            teacher = top_answers(probe.answers, row, classes)
            shown.append(HeldOut(probe.photos.path(row), small, teacher, student, float(seen.distance[place]), truth))
        return shown

    def _thumbnail(self, row: int) -> bytes | None:
        if row not in self._thumbnails:
            assert self.job.probe is not None
            try:
                pixels = decode(self.job.probe.photos.read(row), smallest=(SIDE, SIDE))
                self._thumbnails[row] = thumbnail(pixels)
            except (OSError, ValueError):
                self._thumbnails[row] = None
        return self._thumbnails[row]


def next_commands(job: Job) -> list[tuple[str, str]]:
    """What to do with the model: pairs of what for, and the line to type."""
    run = shlex.quote(str(job.run))
    told = [
        ("Ask it", f"limbeck predict {run} PHOTO..."),
        ("Measure it", f"limbeck evaluate {run} --images FOLDER"),
        ("Load it in Python", f"limbeck.load({str(job.run)!r})"),
    ]
    if job.teaching is None:
        small = f"limbeck distill --images ALL_PHOTOS --teacher {run} --student mobilenetv3_large_100 --out small"
        told.append(("Pour it into a small model, with all photos that have no labels", small))
    return told


def latest(history: Sequence[Mapping[str, Any]], name: str) -> float | None:
    """The last number of a name.

    >>> latest([{"top1": 0.1}, {"top1": 0.2}, {"loss": 1.0}], "top1")
    0.2
    """
    return next((record[name] for record in reversed(history) if record.get(name) is not None), None)


def lost_photos(job: Job) -> list[Skipped]:
    """Photos that vanished or turned unreadable while the run went on."""
    unread = "could not be read when its turn came"
    bad = sorted(read_progress(job.run).replaced)
    return [Skipped(job.feed.photos.path(index), job.feed.lost.get(index, unread)) for index in bad]


def student_facts(job: Job) -> ModelFacts:
    size = job.inputs.preprocess.size
    counted = count(job.step.student, size)
    name = job.student.architecture.name
    return ModelFacts(name=name, parameters=counted.parameters, megabytes=counted.megabytes, input_size=size)


def teacher_facts(job: Job) -> ModelFacts | None:
    if job.teaching is None:
        return None
    facts = job.teaching.facts
    top1, note = teacher_top1(job)
    return ModelFacts(
        name=facts.description,
        parameters=facts.parameters,
        megabytes=facts.megabytes,
        top1=top1,
        top1_note=note,
        licence=facts.licence,
        input_size=facts.preprocesses[0].size,
    )


def teacher_top1(job: Job) -> tuple[float | None, str]:
    """The teacher's accuracy on the labelled photos of the run, measured once; else what its own card tells.

    A teacher whose answers the store has is not loaded for it.
    """
    assert job.teaching is not None
    data, ranks, teacher = job.evaluation, job.ranks, job.options.teacher
    if data is not None:
        kept = job.run / "last" / "teacher.json"
        about = {"teacher": job.teaching.fingerprint, "photos": data.photos.fingerprint()}
        (known,) = ranks.sum([_kept(kept, about) if ranks.first else 0.0])
        if not math.isnan(known):
            return known, ""
        (loaded,) = ranks.any(job.teaching.loaded)
        if loaded:
            score = teacher_accuracy(job.teaching, data.photos, data.truth, ranks, job.feed.workers)
            photos = "photo" if score.count == 1 else "photos"
            console.print(f"the teacher's top-1 on the {score.count:,} labelled {photos} is {score.top1:.1%}")
            if ranks.first:
                told = about | {"top1": score.top1, "top5": score.top5}
                write_atomically(kept, (json.dumps(told, indent=2) + "\n").encode())
            return score.top1, ""
    card = read_card(teacher).metrics.get("top1") if is_checkpoint(teacher) else None
    if card is not None:
        return card, "on other photos, by its card"
    return None, "not measured" if data is not None else ""


def _kept(file: Path, about: Mapping[str, str]) -> float:
    """The teacher's top-1 from an earlier part of the run; nan where there is none."""
    try:
        told = json.loads(file.read_text())
    except (OSError, ValueError):
        return math.nan
    return float(told["top1"]) if all(told.get(name) == value for name, value in about.items()) else math.nan


def top_answers(labels: SoftLabels, row: int, classes: tuple[str, ...]) -> list[tuple[str, float]]:
    """The best classes of one row of soft labels, with their probabilities."""
    best = labels.log_probability[row].exp().topk(min(TOP, labels.log_probability.shape[1]))
    index = best.indices if labels.index is None else labels.index[row][best.indices]
    return [(classes[c], p) for p, c in zip(best.values.tolist(), index.tolist(), strict=True)]


def doubt(job: Job) -> str:
    """What to say where too few photos are held out to tell how well the student follows; else nothing."""
    if job.teaching is None:
        return ""
    return few_held_out(len(job.probe.photos) if job.probe else 0, len(job.images), job.options.probe)


def few_held_out(held: int, images: int, share: float) -> str:
    """
    >>> print(few_held_out(2, 100, 0.02))
    only 2 photos are held out: agreement on so few is uncertain; --probe 0.2 holds out 20
    >>> few_held_out(100, 5000, 0.02)
    ''
    """
    if held >= FEW:
        return ""
    wanted = min(0.2, math.ceil(100 * FEW / max(images, 1)) / 100)
    more = round(wanted * images)
    cure = f"--probe {wanted:g} holds out {more:,}" if more > held else "limbeck evaluate asks it about others"
    if held:
        few = "1 photo is" if held == 1 else f"{held} photos are"
        return f"only {few} held out: agreement on so few is uncertain; {cure}"
    why = "--probe 0" if share == 0 else f"--probe {share:g} of {images:,} photos is less than one"
    return f"no photos are held out ({why}): how well the student follows the teacher is not measured; {cure}"
