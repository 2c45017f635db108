"""The detector that a training learns from beside the boxes, and what of it."""

import shlex
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import torch

from limbeck.checkpoints.any_detector import digest_of, read_any_detector
from limbeck.commands.train_checks import FIELDS
from limbeck.console import console
from limbeck.detection.dataset import DetectionSet
from limbeck.detection.detector import Detector, Look
from limbeck.detection.loader import evaluation_batches
from limbeck.detection.train_options import Train
from limbeck.errors import OptionError, TeacherError, counted
from limbeck.files import write_atomically
from limbeck.ld.step import TERMS, Terms
from limbeck.ld.teacher import Teacher, check, differences, surest, teacher_of
from limbeck.recipes.starting import training
from limbeck.runs.choices import flag, typed
from limbeck.runs.devices import teacher_precision

_WEIGHTS = tuple(f"ld_{name}" for name in TERMS)
_LOOKED_AT = 16  # photos, to see whether the teacher has learned anything
_FAINT = 0.05  # what a detector that learned is surely above somewhere
_EXAMPLE = "--teacher RUN --ld-main 0.25"


class Pupil(NamedTuple):
    """The detector that learns, and how it wants its images."""

    name: str
    model: Detector
    look: Look
    classes: tuple[str, ...]


def terms_of(options: Train) -> Terms:
    """What is learned from the teacher.

    >>> terms_of(Train(ld_main=0.25)).main
    0.25
    """
    weights = {name: getattr(options, f"ld_{name}") for name in TERMS}
    return Terms(
        **weights,
        region=options.ld_region,
        temperature=options.ld_temperature,
        class_temperature=options.ld_class_temperature,
        images=options.ld_images or options.batch,
    )


def validate_teacher(options: Train) -> None:
    """Fail on a teacher that is not asked, and on questions to no teacher.

    >>> validate_teacher(Train(ld_main=0.25))
    Traceback (most recent call last):
    limbeck.errors.OptionError: --ld-main 0.25 without a teacher
      expected: a run or checkpoint of a detector, or a file that limbeck convert reads
      try:      --teacher RUN
    """
    asked = [typed(name, getattr(options, name)) for name in _WEIGHTS if getattr(options, name)]
    taught = training(options.recipe).ld_main > 0
    wanted = [f"recipe {options.recipe}"] if asked and taught else asked
    if wanted and not options.teacher:
        raise OptionError(
            f"{wanted[0]} without a teacher",
            expected="a run or checkpoint of a detector, or a file that limbeck convert reads",
            hint="--teacher RUN",
        )
    if options.teacher and not asked:
        raise OptionError(
            f"--teacher {options.teacher}, and nothing to learn from it",
            expected=f"a weight: {', '.join(map(flag, _WEIGHTS))}",
            hint=_EXAMPLE,
        )
    if options.unlabeled and not options.teacher:
        raise OptionError("--unlabeled without a teacher", expected="a detector that has learned", hint=_EXAMPLE)
    for name in (*_WEIGHTS, "ld_images", "least_weight", "least_side"):
        if not getattr(options, name) >= 0:
            raise OptionError(typed(name, getattr(options, name)), expected="0 or more", hint=typed(name, 0))
    for name in ("ld_temperature", "ld_class_temperature"):
        if not getattr(options, name) > 0:
            raise OptionError(
                typed(name, getattr(options, name)), expected="above 0", hint=typed(name, FIELDS[name].default)
            )
    if not 0 < options.unlabeled_score < 1:
        raise OptionError(
            typed("unlabeled_score", options.unlabeled_score), expected="a score, 0 to 1", hint="--unlabeled-score 0.3"
        )


def open_teacher(options: Train, device: torch.device) -> Teacher | None:
    """The detector that --teacher names, on its device; none where none is named."""
    if not options.teacher:
        return None
    if "," in options.teacher and not Path(options.teacher).exists():
        raise OptionError(
            f"--teacher {options.teacher}: several",
            expected="one; a chain of teachers is a training for each",
            hint=f"--teacher {options.teacher.partition(',')[0]}",
        )
    model, card = read_any_detector(options.teacher)
    refuse_another(options)
    precision = teacher_precision(options.teacher_precision, device)
    teacher = teacher_of(options.teacher, card.detector, model, card.look, card.classes, precision).to(device)
    name = card.detector + (f" on {card.backbone['name']}" if card.backbone else "")
    console.print(f"teacher {options.teacher}: {name}, {precision}", markup=False)
    return teacher


def keep_teacher(options: Train) -> None:
    """Which weights taught, for those who resume."""
    if options.teacher:
        write_atomically(_kept(options), (digest_of(options.teacher) + "\n").encode())


def refuse_another(options: Train) -> None:
    """A run goes on with the teacher that it began with."""
    file = _kept(options)
    if options.resume and file.exists() and file.read_text().strip() != digest_of(options.teacher):
        raise TeacherError(
            f"--teacher {options.teacher} has other weights than when the run began",
            expected="the teacher that it began with",
            hint="put it back, or begin another run with --out OTHER",
        )


def _kept(options: Train) -> Path:
    return Path(options.out) / "last" / "teacher.sha256"


def agree(teacher: Teacher, pupil: Pupil, photos: DetectionSet, device: torch.device) -> None:
    """Fail where the two cannot be compared, or where the teacher sees nothing."""
    check(teacher, *pupil)
    for note in differences(teacher, pupil.look):
        console.print(note, markup=False)
    if not sees(teacher, pupil.look, photos, device):
        raise TeacherError(
            f"--teacher {teacher.name} sees nothing on {counted(min(len(photos), _LOOKED_AT), 'photo')} "
            f"that it was shown: no place has a score of {_FAINT} or more",
            expected="a detector that was trained, and on photos like these",
            hint=shlex.join(["limbeck", "predict", teacher.name, photos.images.path(0)]) + ", to see what it finds",
        )


def sees(teacher: Teacher, look: Look, photos: DetectionSet, device: torch.device) -> bool:
    """Whether the teacher is somewhat sure of anything on some photos."""
    few = photos.take(range(min(len(photos), _LOOKED_AT)))
    batches = evaluation_batches(few, look.policy(), batch=1)
    return any(bool((surest(teacher(batch.to(device))) >= _FAINT).any()) for batch in islice(batches, _LOOKED_AT))
