"""limbeck distill: a teacher and photos go in, a small student comes out."""

import shlex
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from limbeck.checkpoints.loaded import Loaded, load
from limbeck.commands.finish import Compare, finish, is_best, ship
from limbeck.commands.report import Report, doubt
from limbeck.console import console, duration
from limbeck.errors import LimbeckError, OptionError, counted
from limbeck.recipes import running
from limbeck.recipes.starting import distillation
from limbeck.runs.choices import from_json, in_python, known, typed
from limbeck.runs.devices import start_ranks
from limbeck.runs.session import ensure_sound, session
from limbeck.ssld import answers
from limbeck.ssld.anchor import anchored
from limbeck.ssld.finetune_options import told as finetuned
from limbeck.ssld.folder import settle_options
from limbeck.ssld.job import Job, prepare
from limbeck.ssld.options import OPTIONS, Distill, validate
from limbeck.training import trackers
from limbeck.training.log import read_metrics
from limbeck.training.loop import fit
from limbeck.training.state import read_progress


def distill(
    *, images: Any = (), teacher: str | nn.Module = "", student: str = "", out: str | Path = "", **options: Any
) -> Loaded:
    """Pour a teacher into a student with photos that need no labels; the options are those of `limbeck distill`.

    >>> distill(images="photos", teacher="resnet50d", student="test_resnet", out="run", lrr=1)
    Traceback (most recent call last):
    limbeck.errors.OptionError: limbeck.distill: unknown option 'lrr'
      expected: lr
      try:      lr in its place
    """
    module = teacher if isinstance(teacher, nn.Module) else None
    given = {
        "images": images,
        "teacher": teacher if module is None else f"python:{type(module).__name__}",
        "student": student,
        "out": str(out),
    }
    kept = {name: value for name, value in given.items() if value not in ("", ())}
    asked = known(kept | options, OPTIONS, source="limbeck.distill", usage="limbeck distill --help")
    going_on = asked.get("out", "") if asked.get("resume") else ""
    start = starting_point(asked.get("recipe", ""), asked.get("config", ""), going_on)
    try:
        return run(replace(start, **asked), module)
    except LimbeckError as error:
        if note := in_python(str(error), OPTIONS):
            error.add_note(note)
        raise


def starting_point(recipe: str = "", config: str = "", resumed: str = "") -> Distill:
    """The defaults of a recipe, the options of another run's config.json, or those of the run that is resumed.

    >>> starting_point("ssld_large").weight_decay
    4e-05
    """
    stored = Path(resumed) / "config.json"
    if resumed and stored.exists():
        return Distill(**from_json(stored, OPTIONS))
    if config and recipe:
        raise OptionError(
            f"--config {config} with --recipe {recipe}", expected="one of them", hint="leave --recipe out"
        )
    if config:
        file = Path(config) / "config.json" if Path(config).is_dir() else Path(config)
        return replace(Distill(**from_json(file, OPTIONS, resolved=False)), out="", config=config, resume=False)
    return distillation(recipe)


def run(asked: Distill, module: nn.Module | None = None, compare: Compare | None = None) -> Loaded:
    """Run what the options say, from the first look at the photos to the report.

    `module` is a teacher from Python; `compare` makes the rows of the report's comparison.
    """
    options = settle_options(asked)
    running.check(options)
    validate(options)
    options = anchored(running.scaled(options))
    ranks = start_ranks(options.device, options.track, Path(options.out))
    started = time.monotonic()
    with session(ranks, options.out):
        job = prepare(options, ranks, module)
        model, report = train(job)
        if ranks.first:
            finish(job, model, report, compare)
            console.print(f"done in {duration(time.monotonic() - started)}")
            console.print(f"next: limbeck predict {shlex.quote(options.out)} PHOTO...", markup=False)
        ranks.wait()
    return load(job.run / "student")


_TOLD_ELSEWHERE = ("images", "out", "resume", "config")


def train(job: Job) -> tuple[nn.Module, Report]:
    """The training itself; the student is shipped after each evaluation, so that there is always one to use."""
    plan, ranks = job.plan, job.ranks
    console.print(
        f"{counted(plan.steps, 'step')} of {plan.batch} "
        f"({plan.steps / plan.steps_per_epoch:,.1f} epochs) on {ranks.device}, "
        f"student {job.options.precision}" + (f", teacher {job.options.teacher_precision}" if job.teaching else "")
    )
    done = read_progress(job.run).done
    if done == plan.steps:
        name = shlex.quote(str(job.options.out))
        other = (
            f"limbeck finetune {name} --out OTHER"
            if job.options.verb == "finetune"
            else f"--student {name} --out OTHER"
        )
        text = f"this run is finished; to train its student further, name it in a new one: {other}"
        console.print(text, markup=False)
    elif done:
        console.print(f"going on after step {done:,}")
    whose = "as the command has it" if job.options.verb == "finetune" else "the recipe's"
    console.print(f"{settings(job.options)}; the rest is {whose}, all of it in {job.run / 'config.json'}", markup=False)
    names = [name for name in job.options.track if name != "none"]
    trackers.start(ranks, names, job.run, _flat(job), done)

    report = Report(job)
    if unsure := doubt(job):
        console.print(unsure, markup=False)

    def evaluate(model: nn.Module, done: int) -> dict[str, float]:
        numbers: dict[str, float] = {}
        seen: answers.Answers | None = None
        if job.probe is not None:
            report.seen = job.probe.look(model, job.inputs, ranks.device, job.feed.workers, ranks.rank, ranks.world)
            numbers |= job.probe.numbers(report.seen, ranks)
        if job.evaluation is not None:
            data = job.evaluation
            seen = answers.look(model, job.inputs, data, ranks.device, job.feed.workers, ranks.rank, ranks.world)
            numbers |= answers.numbers(seen, ranks)
        ensure_sound(model, numbers, done)
        if ranks.first:
            ship(job, model, done, numbers | report.beside)
            if not job.options.best or ("top1" in numbers and is_best(read_metrics(job.run), done, numbers["top1"])):
                report.answers = seen
            report.update(done, numbers)
        return numbers

    store = job.feed.store
    settle = store.commit if store is not None else lambda: None
    try:
        return fit(job.step, job.feed, plan, evaluate, job.run, ranks, settle), report
    except LimbeckError as error:
        report.stopped(error)
        raise


def settings(options: Distill) -> str:
    """What differs from the recipe, in one line.

    >>> settings(replace(starting_point(), lr=0.2, views=4))
    '--recipe ssld_small --lr 0.2 --views 4'
    """
    if options.verb == "finetune":
        return finetuned(options)
    recipe = starting_point(options.recipe)
    changed = [name for name in vars(options) if getattr(options, name) != getattr(recipe, name)]
    told = ["recipe", *(name for name in changed if name not in (*_TOLD_ELSEWHERE, "recipe"))]
    return " ".join(typed(name, getattr(options, name)) for name in told)


def _flat(job: Job) -> dict[str, Any]:
    plain = int, float, str, bool, torch.Tensor
    options = vars(job.options)
    return {name: value if isinstance(value, plain) else str(value) for name, value in options.items()}
