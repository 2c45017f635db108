"""limbeck select: a gallery and a teacher go in, the photos worth distilling on come out."""

import shlex
import time
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from limbeck.alike.thresholds import SAME_SCENE
from limbeck.classification.names import numbered
from limbeck.commands.select_sheets import page_of
from limbeck.console import console, duration
from limbeck.errors import ImagesError, Interrupted, counted
from limbeck.images.cache import cache_root
from limbeck.images.imageset import ImageSet
from limbeck.images.sources import MANIFEST
from limbeck.report.select_page import write_select_page
from limbeck.runs.devices import start_ranks
from limbeck.ssld.choosing import KEPT
from limbeck.ssld.gallery import Gallery
from limbeck.ssld.gates import EXCLUDED, WHY, Selection, decide, find_twins, gates, least_score
from limbeck.ssld.scoring import LEVELS, score_gallery
from limbeck.ssld.select_folder import keep_moved, keep_options, materialise, require_room, selection_folder, told
from limbeck.ssld.select_opening import (
    engine_of,
    look_at_excluded,
    meet_teacher,
    name_teacher,
    none_readable,
    open_excluded,
    open_photos,
)
from limbeck.ssld.select_options import Select, from_arguments, validate
from limbeck.ssld.selected import DECISIONS_FILE, write_decisions, write_manifest


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
    try:
        with selection_folder(options) as out:
            selection = choose_photos(engine_of(options, module), module, out)
            kept = write(out, selection, options)
    except KeyboardInterrupt:
        raise Interrupted(
            "stopped; the shards that are finished are kept", hint="the same command again goes on from there"
        ) from None
    console.print(f"done in {duration(time.monotonic() - started)}")
    console.print(f"next: {next_command(options)}", markup=False)
    return kept


def choose_photos(options: Select, module: nn.Module | None, out: Path) -> Selection:
    """Everything from the first look at the photos to the decision about each."""
    device = start_ranks(options.device, (), out).device
    workers = None if options.workers < 0 else options.workers
    cache = Path(options.cache).absolute() if options.cache else cache_root()
    home = cache / "selection"
    gallery = Gallery.of(open_photos(options.gallery, "--gallery", options, cache, workers))
    require_room(out, gallery.images)
    excluded = open_excluded(options, gallery, cache, workers)
    asked = name_teacher(options, module, device)
    meet_teacher(asked, options, gallery)
    teacher = asked.sight().teacher
    excluding = look_at_excluded(excluded, asked, options, home, workers) if excluded is not None else None
    scores = score_gallery(gallery, asked, excluding, home / "scores", engine=options.engine, workers=workers)
    if len(scores.unreadable) == len(gallery):
        raise none_readable(gallery, f"{gallery.images.path(int(gallery.rows[0]))}: {scores.unreadable[0]}")
    twins = None
    if options.dedupe:
        candidates = (gates(scores, drop_scenes=options.drop_scenes) == 0) & (scores.score >= least_score(options))
        twins = find_twins(gallery, candidates, home / "within", engine=options.engine, workers=workers)
    return decide(gallery, scores, options, teacher.names or numbered(teacher.classes), excluded, twins)


def write(out: Path, selection: Selection, options: Select) -> ImageSet:
    """Everything that a selection leaves on disk; the manifest after all that it stands for."""
    tell(selection, options)
    keep_options(out, options)
    write_decisions(out / DECISIONS_FILE, selection)
    kept = write_manifest(out, selection)
    if options.copy or options.link:
        keep_moved(kept, materialise(kept, out, link=options.link), out)
        kept = ImageSet(kept.manifest)
    page = write_select_page(out, page_of(selection, out, options.teacher, told(options), next_command(options)))
    console.print(f"{out / MANIFEST}, {out / DECISIONS_FILE}, {page}", markup=False)
    return kept


def tell(selection: Selection, options: Select) -> None:
    """How many photos came to each gate and did not pass it; an error where none is left."""
    counts = selection.counts
    total = sum(counts.values())
    for why, count in counts.items():
        sought = why == WHY[EXCLUDED] and selection.excluded is not None  # to find none is worth a line
        if (count or sought) and why != WHY[KEPT]:
            console.print(f"{count:>12,}  {why}")
    if not counts[WHY[KEPT]]:
        lost = {why: count for why, count in counts.items() if count}
        worst = max(lost, key=lambda why: lost[why])
        raise ImagesError(
            f"nothing is left of {counted(total, 'photo')}: "
            + ", ".join(f"{count:,} {why}" for why, count in lost.items()),
            expected="photos that pass every gate",
            hint="a lower --min-score" if worst == "below min-score" else "a larger --gallery, or a smaller --exclude",
        )
    of_class = np.bincount(selection.scores.best[selection.kept], minlength=len(selection.classes))
    there = of_class[of_class > 0]
    spread = f"{there.min():,}" if there.min() == there.max() else f"{there.min():,} to {there.max():,}"
    none = f", none in the other {len(of_class) - len(there):,}" if len(there) < len(of_class) else ""
    console.print(
        f"{counts[WHY[KEPT]]:>12,}  kept of {counted(total, 'file')}: {spread} in each of "
        f"{counted(len(there), 'class', 'classes')}{none}"
    )
    if not counts["below the cut"] and there.max() < options.per_class:
        console.print(f"no class has {options.per_class:,} photos: --per-class cuts nothing")
    scenes = int(((selection.scores.level == LEVELS.index(SAME_SCENE)) & (selection.fate == KEPT)).sum())
    if scenes:
        show = "shows the scene" if scenes == 1 else "show the scenes"
        console.print(f"{scenes:,} of them {show} of excluded photos: --drop-scenes leaves such photos out")
    if counts["balance"]:
        smallest = selection.classes[int(np.flatnonzero(of_class == there.min())[0])]
        console.print(
            f"--balance {options.balance:g}: the smallest class, {smallest}, keeps {there.min():,}", markup=False
        )


def next_command(options: Select) -> str:
    """What distils on the selection."""
    words = ["limbeck", "distill", "--images", options.out, "--teacher", options.teacher]
    if options.teacher_weights:
        words += ["--teacher-weights", options.teacher_weights]
    return f"{shlex.join(words)} --student STUDENT --out RUN"
