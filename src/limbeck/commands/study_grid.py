"""From a study to its runs: each is named by what it is, so that two studies share what they have in common."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

import numpy as np

from limbeck.commands.study_options import LABELS, Study, number, photos_asked
from limbeck.images.imageset import ImageSet
from limbeck.recipes.studies import STUDIES
from limbeck.runs.choices import FREE
from limbeck.ssld.opening import name_teacher
from limbeck.ssld.options import OPTIONS, Distill

VIEWS = 8  # stored views of each photo, where the options say none
Prints = Mapping[tuple[str, ...], str]  # sources of photos -> what digests all of them
Stage = Literal["distilled", "finetuned", "labels"]
_SAME_RESULT = {*FREE, "teacher", "teacher_weights", "store", "recipe", "evaluate_every", "verb", "check_teacher"}


@dataclass(frozen=True)
class Point:
    """One place on the axis of a study: what it changes of the options, and how many of the photos it takes."""

    label: str
    x: float
    photos: int
    changes: dict[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Run:
    """One training; `after` is the run whose student it goes on with."""

    name: str
    point: Point
    stage: Stage
    options: Distill
    after: str = ""


def points(study: Study, photos: int) -> list[Point]:
    """The places on a study's axis, none twice, as they were given.

    >>> [(point.label, point.x) for point in points(Study("volume", points=("0.5", "1")), photos=1000)]
    [('500', 500), ('1,000', 1000)]
    """
    values = study.points or STUDIES[study.name].points
    found: list[Point]
    if study.name == "teacher":
        found = [_taught_by(study, place, asked, photos) for place, asked in enumerate(study.teachers)]
    elif study.name == "epochs":
        counts = [int(number(each, "--points", whole=True)) for each in values]
        found = [Point(f"{count:,}", count, photos, {"epochs": count}) for count in counts]
    elif study.name == "weight-decay":
        decays = [number(each, "--points") for each in values]
        found = [Point(_short(decay), decay, photos, {"weight_decay": decay}) for decay in decays]
    elif study.name == "volume":
        counts = [photos_asked(each, photos, "--points") for each in values]
        found = [Point(f"{count:,}", count, count) for count in counts]
    else:
        counts = [photos_asked(each, photos, "--volumes") for each in study.volumes or ("1",)]
        students = study.students or (study.base.student,)
        found = [
            Point(f"{student}, {count:,} photos", place, count, {"student": student})
            for place, student in enumerate(students)
            for count in counts
        ]
    return list(dict.fromkeys(found))


def _short(decay: float) -> str:
    """
    >>> _short(3e-5), _short(0.0017), _short(0.05)
    ('3e-5', '1.7e-3', '0.05')
    """
    digits, power = f"{decay:e}".split("e")
    return f"{float(digits):g}e{int(power)}" if decay < 0.01 else f"{decay:g}"


def _taught_by(study: Study, place: int, asked: str, photos: int) -> Point:
    name, _, weights = asked.partition("=")
    label = f"{name} ({Path(weights).stem})" if weights else name
    # weights of the base belong to the base's teacher alone
    kept = study.base.teacher_weights if name == study.base.teacher and not weights else weights
    return Point(label, place, photos, {"teacher": name, "teacher_weights": kept})


def runs(study: Study, grid: Iterable[Point], photos: int, prints: Prints) -> list[Run]:
    """All runs: seed by seed, so that a study that is stopped has every point once first; stage two beside its run."""
    grid, found = list(grid), list[Run]()
    for seed in range(study.base.seed, study.base.seed + study.seeds):
        for point in grid:
            options = replace(study.base, seed=seed, **point.changes)
            name = named(options, point.photos if point.photos < photos else 0, prints)
            found.append(Run(name, point, "distilled", options))
            if study.stage_two:
                tuned = stage_two(study, options)
                told = f"{name}-then-{tuned.loss}-{_length(tuned)}-{_digest(tuned, 0, prints)}"
                found.append(Run(told, point, "finetuned", tuned, after=name))
        if study.name == "trade-off" and study.labelled:
            for student in dict.fromkeys(point.changes["student"] for point in grid):
                point = Point(f"{student}, labels", -1, 0, {"student": student})
                options = with_labels(study, replace(study.base, seed=seed, student=student))
                found.append(Run(named(options, 0, prints), point, "labels", options))
    return list({run.name: run for run in found}.values())


def with_labels(study: Study, options: Distill) -> Distill:
    """The same student, as long, from true labels: the baseline of supervised training."""
    slope = 0.25 if options.loss == "js" else 1.0
    return _from_labels(replace(options, images=study.labelled, lr=study.baseline_lr or slope * options.lr))


def stage_two(study: Study, options: Distill) -> Distill:
    """What a student goes on with: the labelled photos alone, and a small learning rate."""
    options = replace(
        options,
        images=study.labelled,
        student_weights="",
        lr=study.finetune_lr or options.lr / 100,
        epochs=study.finetune_epochs or options.epochs,
        steps=study.finetune_steps,
        loss=study.finetune_loss,
    )
    return _from_labels(options) if study.finetune_loss == LABELS else options


def _from_labels(options: Distill) -> Distill:
    return replace(
        options, loss=LABELS, teacher="", teacher_weights="", teacher_norm="frozen", views=0, keep_top=0, probe=0.0
    )


def named(options: Distill, photos: int, prints: Prints) -> str:
    """A folder's name for a run: what people look for in words, everything else in a digest.

    >>> named(Distill(images=("a",), loss="cross-entropy", student="resnet18", steps=90), 0, {})[:36]
    'resnet18-labels-90steps-wd1e-05-seed'
    """
    taught = Path(options.teacher_weights or options.teacher).stem if options.teacher else "labels"
    words = [_slug(options.student), _slug(taught), _length(options), f"wd{options.weight_decay:g}"]
    words += [f"{photos}photos"] if photos else []
    return "-".join([*words, f"seed{options.seed}", _digest(options, photos, prints)])


def _digest(options: Distill, photos: int, prints: Prints) -> str:
    """Of everything that a run's result depends on; photos and teacher count by their content, wherever they lie."""
    told = {name: getattr(options, name) for name in OPTIONS if name not in _SAME_RESULT}
    told = {name: value for name, value in told.items() if value != OPTIONS[name].default}
    told |= {"images": prints.get(options.images, ""), "eval": prints.get((options.eval,), "")}
    told |= {"photos": photos, "teacher": name_teacher(options, None).fingerprint if options.teacher else ""}
    return blake2b(json.dumps(told, sort_keys=True).encode(), digest_size=3).hexdigest()


def _length(options: Distill) -> str:
    return f"{options.steps}steps" if options.steps else f"{options.epochs}epochs"


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9_.]+", "_", Path(text).name.lower())[:28]


def work_of(run: Run, photos: int) -> float:
    """How long a run takes beside the others: the photos that it sees."""
    options = run.options
    return float(options.steps * options.batch if options.steps else options.epochs * (run.point.photos or photos))


def subset(images: ImageSet, count: int, file: Path) -> Path:
    """So many photos, chosen by their content: of two such sets the larger one contains the smaller."""
    if not file.exists():
        digests = [blake2b(key.tobytes(), digest_size=8, person=b"volume").digest() for key in images.keys]
        order = np.argsort(np.frombuffer(b"".join(digests), ">u8"), kind="stable")
        file.parent.mkdir(parents=True, exist_ok=True)
        images.take(np.sort(order[:count])).save(file)
    return file
