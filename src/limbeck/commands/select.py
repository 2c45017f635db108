"""limbeck select: a gallery and a teacher go in, a list of the photos worth distilling on comes out."""

import shlex
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from limbeck.classification.names import numbered
from limbeck.console import console, duration
from limbeck.images.cache import cache_root
from limbeck.images.imageset import ImageSet
from limbeck.ssld.choosing import UNIT, choose
from limbeck.ssld.devices import start_ranks, teacher_precision
from limbeck.ssld.gallery import Gallery
from limbeck.ssld.opening import check_teacher
from limbeck.ssld.scoring import Asked, score_gallery
from limbeck.ssld.select_options import Select, from_arguments, validate
from limbeck.ssld.selected import Selection, write_selection
from limbeck.ssld.teacher import TeacherSpec
from limbeck.ssld.teaching import Teaching


def select(
    *, gallery: Any = (), teacher: str | nn.Module = "", out: str | Path = "", exclude: Any = (), **options: Any
) -> ImageSet:
    """The photos of a gallery that are worth distilling on; the options are those of `limbeck select`.

    >>> select(gallery="photos", teacher="resnet50d", out="set", per_clas=10)
    Traceback (most recent call last):
    limbeck.errors.OptionError: limbeck.select: unknown option 'per_clas'
      expected: per_class
      try:      per_class in its place
    """
    module = teacher if isinstance(teacher, nn.Module) else None
    named = teacher if isinstance(teacher, str) else f"python:{type(teacher).__name__}"
    given = {"gallery": gallery, "teacher": named, "out": str(out), "exclude": exclude}
    return run(from_arguments(given | options), module)


def run(options: Select, module: nn.Module | None = None) -> ImageSet:
    """Run what the options say, from the first look at the photos to the page."""
    validate(options)
    started = time.monotonic()
    ranks = start_ranks(options.device, (), Path(options.out))
    workers = None if options.workers < 0 else options.workers
    cache = Path(options.cache).absolute() if options.cache else cache_root()
    gallery = Gallery.of(ImageSet.open(list(options.gallery), cache=cache, workers=workers))
    teaching = ask(options, module, ranks.device)
    if options.check_teacher:
        check_teacher(teaching, gallery.images)
    asked = Asked(teaching.spec, str(ranks.device), teaching.precision)
    scores = score_gallery(gallery, asked, cache / "selection", engine=options.engine, workers=workers)
    choice = choose(
        scores.best,
        scores.score,
        scores.score >= 0,
        per_class=options.per_class,
        min_score=round(options.min_score * UNIT),
        keep_unsure=options.keep_unsure,
        balance=options.balance,
    )
    classes = teaching.facts.names or numbered(teaching.facts.classes)
    kept = write_selection(Path(options.out), Selection(gallery, scores, choice, classes))
    console.print(f"{len(kept):,} of {len(gallery.images):,} photos are kept, in {options.out}", markup=False)
    console.print(f"done in {duration(time.monotonic() - started)}")
    console.print(f"next: {next_command(options)}", markup=False)
    return kept


def ask(options: Select, module: nn.Module | None, device: torch.device) -> Teaching:
    spec = TeacherSpec.parse(
        module if module is not None else options.teacher,
        weights=options.teacher_weights or None,
        size=options.teacher_size or None,
        mean=options.teacher_mean or None,
        std=options.teacher_std or None,
    )
    return Teaching(spec, device, teacher_precision(options.teacher_precision, device))


def next_command(options: Select) -> str:
    """What distils on the selection."""
    words = ["limbeck", "distill", "--images", options.out, "--teacher", options.teacher]
    if options.teacher_weights:
        words += ["--teacher-weights", options.teacher_weights]
    return f"{shlex.join(words)} --student STUDENT --out RUN"
