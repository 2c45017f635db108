"""limbeck train: a detector from photos with boxes."""

import shlex
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from limbeck.checkpoints.detector_card import read_detector, read_detector_card, save_detector
from limbeck.checkpoints.loaded_detector import LoadedDetector, load_detector
from limbeck.commands.finish import is_best
from limbeck.commands.train_checks import FIELDS, validate
from limbeck.commands.train_job import TrainJob, prepare
from limbeck.commands.train_measure import measure, tell, write_classes, write_rows
from limbeck.commands.train_model import goes_on, refuse_frozen_noise
from limbeck.commands.train_report import report
from limbeck.commands.train_teacher import validate_teacher
from limbeck.console import console, duration
from limbeck.detection.coco_metric import CocoMetric
from limbeck.detection.train_options import Train
from limbeck.errors import LimbeckError, OptionError, RunError, counted
from limbeck.recipes.starting import training
from limbeck.runs.choices import from_json, in_python, known, resumed, typed
from limbeck.runs.devices import start_ranks
from limbeck.runs.folder import environment, refuse_taken
from limbeck.runs.session import ensure_sound, session
from limbeck.training import trackers
from limbeck.training.log import read_metrics
from limbeck.training.loop import fit
from limbeck.training.state import read_progress


def train(recipe: str = "", *, data: Any = (), out: str | Path = "", **options: Any) -> LoadedDetector:
    """Train a detector on photos with boxes; the options are those of `limbeck train`.

    >>> train("ssdlite", data="photos", out="run", lrr=1)
    Traceback (most recent call last):
    limbeck.errors.OptionError: limbeck.train: unknown option 'lrr'
      expected: lr
      try:      lr in its place
    """
    given = {"recipe": recipe, "data": data, "out": str(out)}
    kept = {name: value for name, value in given.items() if value not in ("", ())}
    asked = known(kept | options, FIELDS, source="limbeck.train", usage="limbeck train --help")
    start = starting_options(recipe, asked.get("config", ""), asked.get("out", "") if asked.get("resume") else "")
    try:
        return run(replace(start, **asked))
    except LimbeckError as error:
        if note := in_python(str(error), FIELDS):
            error.add_note(note)
        raise


def starting_options(recipe: str = "", config: str = "", resumed: str = "") -> Train:
    """The defaults of a recipe, the options of another run's config.json, or those of the run that is resumed.

    >>> starting_options("ssd512_coco").weight_decay
    0.0005
    """
    if resumed and (Path(resumed) / "config.json").exists():
        return stored(Path(resumed))
    if config and recipe:
        raise OptionError(f"--config {config} with {recipe}", expected="one of them", hint=f"leave {recipe} out")
    if config:
        file = Path(config) / "config.json" if Path(config).is_dir() else Path(config)
        return replace(Train(**from_json(file, FIELDS, resolved=False)), out="", config=config, resume=False)
    return training(recipe)


def stored(run: Path) -> Train:
    """The options of a run."""
    return Train(**from_json(run / "config.json", FIELDS))


def run(asked: Train) -> LoadedDetector:
    """Run what the options say, from the first look at the photos to the table of classes."""
    options = settled(asked)
    validate(options)
    validate_teacher(options)
    if options.scratch:
        options = replace(options, pretrained=False, frozen=0, norm_eval=False)
    if not goes_on(options):
        refuse_frozen_noise(options)
    ranks = start_ranks(options.device, options.track, Path(options.out))
    started = time.monotonic()
    with session(ranks, options.out):
        job = prepare(options, asked_first(options), ranks)
        fitted = Fitting(job)
        fitted.fit()
        fitted.finish()
        if ranks.first:
            console.print(f"done in {duration(time.monotonic() - started)}")
            console.print(f"next: limbeck predict {shlex.quote(options.out)} PHOTO...", markup=False)
        ranks.wait()
    return load_detector(job.run / "student")


def settled(asked: Train) -> Train:
    """The options of the run in --out: those that were stored when it is resumed, else those that are asked for."""
    if asked.resume and not asked.out:
        raise OptionError(
            "--resume without --out", expected="the folder of the run that goes on", hint="--out RUN --resume"
        )
    if asked.resume:
        if not (Path(asked.out) / "config.json").exists():
            raise RunError(
                f"{asked.out} holds no run to resume",
                expected="a folder that `limbeck train` made",
                hint="leave --resume out to start one",
            )
        before = replace(stored(Path(asked.out)), resume=True)
        return resumed(asked, before)
    if asked.out:
        refuse_taken(Path(asked.out))
    return asked


def asked_first(options: Train) -> Train:
    """What the command that began the run asked for."""
    file = Path(options.out) / "config.json"
    return Train(**from_json(file, FIELDS, resolved=False)) if options.resume else options


class Fitting:
    """A training with what it is measured by; the detector is shipped after each evaluation."""

    def __init__(self, job: TrainJob) -> None:
        self.job = job
        self.metric: CocoMetric | None = None  # of the shipped detector

    def fit(self) -> None:
        job, plan, ranks = self.job, self.job.plan, self.job.ranks
        console.print(
            f"{counted(plan.steps, 'step')} of {plan.batch} ({plan.steps / plan.steps_per_epoch:,.1f} epochs) "
            f"on {ranks.device}, {job.options.precision}"
        )
        done = read_progress(job.run).done
        if done == plan.steps:
            console.print("this run is finished; a new one goes on from it with --weights RUN --out OTHER")
        elif done:
            console.print(f"going on after step {done:,}")
        said = f"{settings(job.options)}; the rest is the recipe's, all of it in {job.run / 'config.json'}"
        console.print(said, markup=False)
        names = [name for name in job.options.track if name != "none"]
        flat = {name: str(value) for name, value in vars(job.options).items()}
        trackers.start(ranks, names, job.run, flat, done)
        self.model = fit(job.step, job.loader, plan, self.evaluate, job.run, ranks)

    def evaluate(self, model: nn.Module, done: int) -> dict[str, float]:
        job = self.job
        numbers: dict[str, float] = {}
        metric: CocoMetric | None = None
        if job.val is not None:
            found: Any = model
            metric = measure(found, job.look, job.val, job.ranks, job.options.precision, job.reading)
            numbers = metric.numbers()
        ensure_sound(model, numbers, done)
        if job.ranks.first:
            best = "AP" not in numbers or is_best(read_metrics(job.run), done, numbers["AP"], "AP")
            self.metric = metric if best else self.metric
            self.ship(model, done, numbers, ["latest", "student"] if best else ["latest"])
        return numbers

    def ship(self, model: nn.Module, done: int, numbers: dict[str, float], folders: list[str]) -> None:
        job = self.job
        provenance = {
            "recipe": job.options.recipe,
            "backbone": job.options.backbone or None,
            "started_from": job.options.weights or None,
            "teacher": job.options.teacher or None,
            "images": len(job.photos),
            "unlabeled": len(job.unlabeled) if job.unlabeled is not None else 0,
            "images_fingerprint": job.photos.fingerprint(),
            "steps": done,
            "of_steps": job.plan.steps,
            "batch": job.options.batch,
            "seed": job.options.seed,
            "versions": environment()["packages"],
        }
        for folder in folders:
            save_detector(job.run / folder, model, job.card(provenance, numbers))

    def finish(self) -> None:
        """The table of classes, of the shipped detector."""
        job = self.job
        if lost := read_progress(job.run).replaced:
            console.print(f"{counted(len(lost), 'photo')} could not be read any more: others took the place")
            unread = "could not be read when its turn came"
            rows = [(job.loader.photos.images.path(bad), job.loader.lost.get(bad, unread)) for bad in sorted(lost)]
            if job.ranks.first:
                write_rows(job.run / "skipped.csv", ("path", "reason"), rows)
        if job.val is None:
            return
        if any(job.ranks.gather(self.metric is None and job.ranks.first)):  # measured by an earlier process
            model = job.ranks.once(partial(read_detector, job.run / "student"))[0].to(job.ranks.device)
            self.metric = measure(model, job.look, job.val, job.ranks, job.options.precision, job.reading)
        if job.ranks.first and self.metric is not None:
            write_classes(job.run / "classes.csv", self.metric.per_class())
            tell(self.metric)
            page = report(job, self.metric, job.val)
            steps = read_detector_card(job.run / "student").provenance["steps"]
            console.print(
                f"student {job.run / 'student'}, the best of all evaluations: step {steps:,}; report {page}",
                markup=False,
            )


_TOLD_ELSEWHERE = ("data", "out", "resume", "config", "recipe")


def settings(options: Train) -> str:
    """What differs from the recipe, in one line.

    >>> settings(replace(starting_options("ssd300_coco"), lr=0.001))
    'ssd300_coco --lr 0.001'
    """
    recipe = starting_options(options.recipe)
    changed = [name for name in vars(options) if getattr(options, name) != getattr(recipe, name)]
    told = [typed(name, getattr(options, name)) for name in changed if name not in _TOLD_ELSEWHERE]
    return " ".join([options.recipe, *told])
