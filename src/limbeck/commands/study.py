"""limbeck study: one thing varied over whole distillations; a table and pictures come out."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from limbeck.commands.distill import starting_point
from limbeck.commands.study_grid import VIEWS, Run, points, runs, subset
from limbeck.commands.study_measures import Taught, latency, taught
from limbeck.commands.study_options import Study, check
from limbeck.commands.study_runs import Folder, under_way, work
from limbeck.console import console
from limbeck.errors import OptionError, counted
from limbeck.files import write_atomically
from limbeck.images.imageset import ImageSet
from limbeck.recipes.studies import STUDIES
from limbeck.report.outcomes import Outcome
from limbeck.report.study_page import StudyPage, write_study_page
from limbeck.runs.choices import known, typed
from limbeck.runs.devices import start_ranks
from limbeck.ssld.anchor import anchored
from limbeck.ssld.opening import open_images
from limbeck.ssld.options import OPTIONS, Distill, validate
from limbeck.training.log import read_metrics
from limbeck.training.ranks import Ranks

_OWN = {field.name: field for field in fields(Study) if field.name not in ("name", "base")}


def study(name: str, *, images: Any, out: str | Path, **options: Any) -> list[Outcome]:
    """A study from Python, with the options of `limbeck study`; an outcome for each run comes back.

    >>> study("weight-decay", images="photos", out="study", pionts=(1e-5, 1e-4))
    Traceback (most recent call last):
    limbeck.errors.OptionError: limbeck.study: unknown option 'pionts'
      expected: points
      try:      points in its place
    """
    told = {key: _texts(value) if key in ("points", "volumes") else value for key, value in options.items()}
    given = known(
        {"images": images, "out": str(out)} | told,
        OPTIONS | _OWN,
        source="limbeck.study",
        usage="limbeck study --help",
    )
    own = {key: given.pop(key) for key in list(given) if key in _OWN}
    return run(Study(name, replace(starting_point(given.get("recipe", "")), **given), **own))


def _texts(values: Any) -> tuple[str, ...]:
    several = values if isinstance(values, list | tuple) else (values,)
    return tuple(map(str, several))


def starting_study(recipe: str = "", config: str = "", resumed: str = "") -> Study:
    """The options of a recipe, under those of a study.

    >>> starting_study("ssld_large").base.weight_decay
    4e-05
    """
    return Study(base=starting_point(recipe))


def run(asked: Study) -> list[Outcome]:
    """Do the runs that are not done yet, and write the page, the table and the pictures after each."""
    check(asked)
    chosen = settled(asked)
    base, folder = chosen.base, Folder(chosen.base.out)
    if folder.path.is_file():
        raise OptionError(f"--out {base.out} is a file", expected="the folder of the study", hint="--out DIR")
    ranks = start_ranks(base.device, (), folder.path)
    images = open_images(base.images, base, ranks)
    others = [sources for sources in (chosen.labelled, (base.eval,)) if any(sources)]
    prints = {sources: open_images(sources, base, ranks).fingerprint() for sources in others}
    prints[base.images] = images.fingerprint()
    grid = points(chosen, len(images))
    todo = runs(chosen, grid, len(images), prints)
    for each in todo:
        validate(replace(each.options, out=base.out))
    teachers = {each.name: taught(each.options, folder.path, ranks, prints) for each in todo if each.options.teacher}
    console.print(
        f"{counted(len(todo), 'run')}: {counted(len(grid), 'point')} of {STUDIES[chosen.name].axis}, "
        f"{counted(chosen.seeds, 'seed')}; {sum(folder.done(each.name) for each in todo)} done before"
    )

    def settle(each: Run) -> Distill:
        return for_run(each, folder, images, teachers.get(each.name))

    def tell() -> None:
        write(chosen, todo, folder, teachers, ranks)

    work(todo, folder, len(images), settle, tell)
    outcomes = write(chosen, todo, folder, teachers, ranks)
    if waiting := under_way(todo, folder):
        console.print(waiting)
    console.print(f"study {folder.path / chosen.name}.html, .csv", markup=False)
    return outcomes


def settled(asked: Study) -> Study:
    """The study with whole paths, and soft labels stored: without it each run would ask its teacher anew."""
    base = asked.base
    if not base.out:
        raise OptionError("--out is missing", expected="the folder of the study", hint="--out DIR")
    if not base.images:
        raise OptionError("--images is missing", expected="photos to learn from", hint="--images PHOTOS")
    if base.teacher_norm != "batch" and not base.views:
        base = replace(base, views=VIEWS)
    labelled = anchored(Distill(images=asked.labelled)).images
    return replace(asked, base=replace(anchored(base), out=str(Path(base.out).absolute())), labelled=labelled)


def for_run(run: Run, folder: Folder, images: ImageSet, teacher: Taught | None) -> Distill:
    """The whole options of a run: its photos, its store, the student that it goes on with."""
    options = run.options
    if run.stage == "distilled" and run.point.photos < len(images):
        name = f"{run.point.photos}-{images.fingerprint()[:8]}.arrow"
        options = replace(options, images=(str(subset(images, run.point.photos, folder.path / "volumes" / name)),))
    if options.views and teacher is not None:
        stores = Path(options.store or folder.path / "stores")
        options = replace(options, store=str(stores / teacher.store))
    if run.after:
        options = replace(options, student=str(folder.of(run.after)))
    return options


def write(
    study: Study, todo: Sequence[Run], folder: Folder, teachers: dict[str, Taught], ranks: Ranks
) -> list[Outcome]:
    """The page, the CSV and the pictures of what is done so far."""
    outcomes = [
        outcome_of(run, folder, teachers.get(run.after or run.name), study, ranks)
        for run in todo
        if folder.done(run.name)
    ]
    write_csv(folder.path / f"{study.name}.csv", study.name, outcomes)
    grid = STUDIES[study.name]
    given = {name: getattr(study.base, name) for name in OPTIONS}
    changed = {name: value for name, value in given.items() if value != OPTIONS[name].default}
    own = {name: getattr(study, name) for name, field in _OWN.items() if getattr(study, name) != field.default}
    page = StudyPage(
        name=study.name,
        title=folder.path.name,
        about=grid.about,
        axis=grid.axis,
        log=grid.log,
        paper=grid.paper,
        student=study.base.student,
        teacher=next((known.description for known in teachers.values()), ""),
        measure=measure_of(study.base),
        outcomes=outcomes,
        runs=len(todo),
        seeds=study.seeds,
        settings=[(name, str(value)) for name, value in (own | changed).items()],
        command=" ".join(
            ["limbeck study", study.name, *(typed(name, value) for name, value in (own | changed).items())]
        ),
    )
    write_study_page(folder.path, page)
    return outcomes


def measure_of(base: Distill) -> str:
    return "top1" if base.eval else "agreement"


def outcome_of(run: Run, folder: Folder, teacher: Taught | None, study: Study, ranks: Ranks) -> Outcome:
    """The numbers of a run that is done."""
    told = folder.outcome(run.name) or {}
    metrics, provenance = told.get("metrics", {}), told.get("provenance", {})
    seen = provenance.get("images")
    steps, batch = provenance.get("steps"), run.options.batch
    place = run.point.x
    if study.name == "teacher" and teacher is not None and teacher.top1 is not None:
        place = teacher.top1
    timed = study.name == "trade-off" and not told.get("failed")
    return Outcome(
        point=run.point.label,
        x=place,
        seed=run.options.seed,
        stage=run.stage,
        top1=metrics.get("top1"),
        top5=metrics.get("top5"),
        agreement=metrics.get("probe_agreement"),
        teacher=teacher.description if teacher else "",
        teacher_top1=teacher.top1 if teacher else None,
        student=run.options.student,
        latency_ms=latency(folder.of(run.name), folder.path, ranks.device) if timed else None,
        photos=seen,
        steps=steps,
        epochs=steps * batch / seen if steps and seen else None,
        lr=run.options.lr,
        weight_decay=run.options.weight_decay,
        loss=run.options.loss,
        failed=told.get("failed", ""),
        run=run.name,
        curve=curve(folder.of(run.name), measure_of(study.base)),
    )


def curve(run: Path, measure: str) -> tuple[tuple[float, float], ...]:
    """(epoch, number) of every evaluation."""
    key = {"top1": "top1", "agreement": "probe_agreement"}[measure]
    return tuple(
        (record["epoch"], record[key])
        for record in read_metrics(run)
        if record.get(key) is not None and math.isfinite(record[key])
    )


def write_csv(path: Path, name: str, outcomes: Sequence[Outcome]) -> None:
    """A row for each run."""
    columns = [field.name for field in fields(Outcome) if field.name != "curve"]
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["study", *columns])
    for outcome in outcomes:
        values = [getattr(outcome, column) for column in columns]
        table.writerow([name, *("" if value is None else value for value in values)])
    write_atomically(path, text.getvalue().encode())
