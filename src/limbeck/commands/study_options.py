"""The options of `limbeck study`: what is varied, and under it every option of `limbeck distill`."""

import math
from dataclasses import dataclass, field
from typing import Annotated

from tyro.conf import OmitArgPrefixes, Positional, arg

from limbeck.divergence import DIVERGENCES
from limbeck.errors import OptionError, as_typed, nearest, unknown_name
from limbeck.recipes.studies import STUDIES
from limbeck.ssld.options import Distill

EXAMPLE = "limbeck study weight-decay --images PHOTOS --teacher T --student S --eval LABELLED --out DIR"
LABELS = "cross-entropy"


@dataclass(frozen=True)
class Study:
    """One thing varied over whole runs of `limbeck distill`; the table, the pictures and the runs in one folder."""

    name: Annotated[Positional[str], arg(metavar="NAME")] = ""
    """teacher, epochs, weight-decay, volume or trade-off."""
    base: OmitArgPrefixes[Distill] = field(default_factory=Distill)
    """What all the runs share; --out is the folder of the study."""
    points: tuple[str, ...] = ()
    """The values that are tried: epochs, weight decays, or photos as counts or shares (default: the paper's)."""
    teachers: tuple[str, ...] = ()
    """Of the study `teacher`: each as --teacher takes it, or NAME=WEIGHTS."""
    students: tuple[str, ...] = ()
    """Of the study `trade-off`: names of students."""
    volumes: tuple[str, ...] = ()
    """Of the study `trade-off`: photos, as counts or shares (default: all)."""
    seeds: int = 2
    """Runs of each point, from --seed on: what differs between them is noise."""
    labelled: tuple[str, ...] = ()
    """Photos in class folders: for stage two, and for the baselines of `trade-off` that learn from labels alone."""
    finetune_epochs: int = 0
    """Stage two: every student goes on with the labelled photos for so many epochs (0: none)."""
    finetune_steps: int = 0
    """Stage two by steps."""
    finetune_lr: float = 0.0
    """Its learning rate, for a batch of 256 (0: a hundredth of --lr)."""
    finetune_loss: str = LABELS
    """cross-entropy: true labels, as the paper's words have it; another: the teacher's, as its authors' code does."""
    baseline_lr: float = 0.0
    """Learning rate of the baselines (0: --lr, or a quarter of it beside js, whose slope is a quarter)."""

    @property
    def stage_two(self) -> bool:
        return self.finetune_epochs > 0 or self.finetune_steps > 0


def check(study: Study) -> None:
    """Fail on what no study can do, before anything is looked at.

    >>> check(Study("volumes"))
    Traceback (most recent call last):
    limbeck.errors.UnknownName: unknown study 'volumes'
      expected: volume
      try:      limbeck study volume --images PHOTOS --teacher T --student S --eval LABELLED --out DIR
    """
    if study.name not in STUDIES:
        near = (nearest(study.name, STUDIES) or ["weight-decay"])[0]
        raise unknown_name("study", study.name, STUDIES, hint=EXAMPLE.replace("weight-decay", near))
    stored = study.base.teacher_norm != "batch"
    for clash, found, expected, hint in (
        (study.seeds < 1, f"--seeds is {study.seeds}", "1 or more; 2 tell an effect from noise", "--seeds 2"),
        (study.name == "teacher" and len(study.teachers) < 2, "a study of teachers with fewer than two of them",
         "two or more", "--teachers A B, or --teachers NAME=A.safetensors NAME=B.safetensors"),
        (study.name != "teacher" and study.teachers != (), f"--teachers with the study {study.name}",
         "the one --teacher", "--teacher T"),
        (study.name != "trade-off" and (study.students + study.volumes) != (),
         f"--students or --volumes with the study {study.name}", "those of the study trade-off",
         "limbeck study trade-off"),
        (study.name in ("teacher", "trade-off") and study.points != (), f"--points with the study {study.name}",
         "points of another axis", "--teachers A B" if study.name == "teacher" else "--students A B --volumes 0.5 1"),
        (study.name == "epochs" and study.base.steps > 0, f"--steps {study.base.steps} with the study epochs",
         "epochs, which are what it varies", "--points 5 10 20"),
        (study.stage_two and not study.labelled, "a stage two without photos to go on with",
         "photos in class folders", "--labelled FOLDER"),
        (study.labelled != () and not study.stage_two and study.name != "trade-off",
         "--labelled without a stage two", "how long it lasts", "--finetune-epochs 30"),
        (study.finetune_loss not in (LABELS, *DIVERGENCES), f"--finetune-loss {study.finetune_loss}",
         ", ".join((LABELS, *DIVERGENCES)), f"--finetune-loss {LABELS}"),
        (study.base.loss == LABELS, f"--loss {LABELS} in a study of distillation", "a loss that has a teacher",
         "--loss js"),
        (study.base.resume or study.base.config != "", "--resume or --config with a study",
         "the options themselves: a study goes on by itself where it stopped", "the same command again"),
        (not study.base.eval and study.base.probe == 0, "--probe 0 without --eval",
         "something to measure the students by", "--eval LABELLED"),
        (not study.base.eval and study.labelled != (), "--labelled without --eval",
         "labelled photos that no run learns from, to measure all the runs by", "--eval LABELLED_TEST"),
        (not stored and study.base.views > 0, f"--teacher-norm batch with --views {study.base.views}",
         "answers that depend on one photo alone", "--views 0, or --teacher-norm frozen"),
        (study.name != "teacher" and not study.base.teacher, "--teacher is missing",
         "the teacher of all the runs", "--teacher T"),
        (not study.base.student and not study.students, "--student is missing", "the student of all the runs",
         "--student S" if study.name != "trade-off" else "--students A B"),
    ):  # fmt: skip
        if clash:
            raise OptionError(found, expected=expected, hint=hint)


def number(text: str, option: str, *, whole: bool = False) -> float:
    """A point as a number above zero.

    >>> number("3e-5", "--points"), number("1.5", "--points", whole=True)
    Traceback (most recent call last):
    limbeck.errors.OptionError: --points 1.5
      expected: whole numbers above 0
      try:      --points 2
    """
    try:
        value = float(text.replace(",", "").replace("_", ""))
    except ValueError:
        value = math.nan
    if not (0 < value < math.inf) or (whole and value != int(value)):
        near = str(max(1, round(value))) if math.isfinite(value) else "10" if whole else "1e-5"
        kind = "whole numbers" if whole else "numbers"
        raise OptionError(f"{option} {as_typed(text)}", expected=f"{kind} above 0", hint=f"{option} {near}")
    return value


def photos_asked(text: str, there: int, option: str) -> int:
    """A volume as a count of photos: a share where it is at most 1, all of them where it is `1`.

    >>> photos_asked("0.25", 1000, "--points"), photos_asked("800", 1000, "--points"), photos_asked("1", 9, "--points")
    (250, 800, 9)
    """
    value = number(text, option)
    count = round(value * there) if value <= 1 else int(number(text, option, whole=True))
    if not 0 < count <= there:
        raise OptionError(
            f"{option} {as_typed(text)} of {there:,} photos",
            expected="counts up to that, or shares from above 0 to 1",
            hint=f"{option} 0.25 0.5 1",
        )
    return count
