"""What a selection opens before it begins: the gallery, the photos to stay away from, the teacher."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from limbeck.alike.side import Side
from limbeck.console import console
from limbeck.errors import ImagesError, OptionError, counted
from limbeck.images.imageset import ImageSet
from limbeck.images.reader import evaluation_batches
from limbeck.runs.devices import teacher_precision
from limbeck.ssld.anchor import anchored
from limbeck.ssld.gallery import Gallery
from limbeck.ssld.options import Distill
from limbeck.ssld.scoring import Asked, Excluding
from limbeck.ssld.select_options import Select
from limbeck.ssld.teacher import TeacherSpec, check_answers

_CHECKED = 64
_WITHOUT_FEATURES = "local"


def open_photos(sources: Sequence[str], flag: str, options: Select, cache: Path, workers: int | None) -> ImageSet:
    try:
        return ImageSet.open(list(sources), cache=cache, engine=options.engine, workers=workers)
    except ImagesError as error:
        hint = error.hint.replace("--images", flag)
        raise ImagesError(error.found, expected=error.expected, hint=hint) from error


def open_excluded(options: Select, gallery: Gallery, cache: Path, workers: int | None) -> ImageSet | None:
    """The photos that must not be learned from, each once, in key order; None where there are none."""
    if not options.exclude:
        console.print("no --exclude: photos that are nearly those of an evaluation set are not looked for")
        return None
    excluded = Gallery.of(open_photos(options.exclude, "--exclude", options, cache, workers))
    if len(excluded) >= len(gallery) and np.isin(_words(gallery), _words(excluded)).all():
        raise ImagesError(
            f"every photo of the gallery ({len(gallery):,}) is one of --exclude: nothing would be left",
            expected="a gallery that has other photos too",
            hint="name the photos of the evaluation set alone: --exclude VAL",
        )
    return excluded.part(0, len(excluded))


def name_teacher(options: Select, module: nn.Module | None, device: torch.device) -> Asked:
    """Who is asked, and how; names and files are looked at, nothing is loaded."""
    # workers of another machine start in another folder
    whole = anchored(Distill(teacher=options.teacher, teacher_weights=options.teacher_weights))
    spec = TeacherSpec.parse(
        module if module is not None else whole.teacher,
        weights=whole.teacher_weights or None,
        size=options.teacher_size or None,
        mean=options.teacher_mean or None,
        std=options.teacher_std or None,
    )
    return Asked(spec, str(device), teacher_precision(options.teacher_precision, device))


def meet_teacher(asked: Asked, options: Select, gallery: Gallery) -> None:
    """Load the teacher, and stop where it cannot choose."""
    teacher = asked.sight(shown=True).teacher
    licence = f", licence {teacher.licence}" if teacher.licence else ""
    classes = counted(teacher.classes, "class", "classes")
    console.print(f"teacher {asked.spec.description}: {classes}{licence}", markup=False)
    if teacher.classes < 2:
        raise OptionError(
            f"the teacher {asked.spec.description} has one class: its probability is 1 for every photo",
            expected="two classes or more, to choose the best photos of each",
            hint="--teacher with more classes",
        )
    few = gallery.rows[np.linspace(0, len(gallery) - 1, min(_CHECKED, len(gallery))).astype(np.int64)]
    photos = gallery.images.take(few)
    reasons: dict[int, str] = {}
    answers = []
    for batch in evaluation_batches(photos, teacher.preprocesses, batch=_CHECKED // 2, workers=0):
        reasons |= batch.failed
        if len(batch.indices):
            answers.append(teacher.evaluate(batch.views).cpu())
    if not answers:
        raise none_readable(gallery, f"{photos.path(min(reasons))}: {reasons[min(reasons)]}")
    if options.check_teacher:
        check_answers(torch.cat(answers))


def none_readable(gallery: Gallery, first: str) -> ImagesError:
    return ImagesError(
        f"not one of {counted(len(gallery), 'photo')} of the gallery can be read: {first}",
        expected="the photos where the manifest says that they are",
        hint="name the photos' own folder, and the manifest is made anew: --gallery FOLDER",
    )


def look_at_excluded(excluded: ImageSet, asked: Asked, options: Select, home: Path, workers: int | None) -> Excluding:
    """Look at the photos that must not be learned from, so that each of the gallery can be compared with them."""
    signature: str = options.signature
    if signature == "embedding" and not asked.sight().has_features:
        signature = _WITHOUT_FEATURES
        console.print(f"the teacher shows no features: near-duplicates are found by --signature {signature}")
    if options.match == "thorough":
        signature = "hash"  # every pair is compared: no candidates are sought
    embed = asked.embed if signature == "embedding" else None
    stamp = asked.identity if embed else ""
    identity = excluded.fingerprint()
    folder = home / "sides" / f"{identity}-{signature}-{stamp.replace(' ', '-')}".rstrip("-")
    side = Side.build(
        excluded, folder, signature=signature, embed=embed, stamp=stamp, engine=options.engine, workers=workers
    )
    refuse_unseen(excluded, side)
    return Excluding(folder, identity, signature, thorough=options.match == "thorough")


def refuse_unseen(excluded: ImageSet, side: Side) -> None:
    """Raises where photos are not there to be compared with: what is the same as they would be kept."""
    unseen = np.flatnonzero(~side.arrays["readable"])
    if len(unseen):
        side.forget()  # they are looked for again the next time
        raise ImagesError(
            f"{counted(len(unseen), 'photo')} of --exclude cannot be read any more: {excluded.path(int(unseen[0]))}",
            expected="all of them, to be compared with",
            hint="name their own folder, and the manifest is made anew: --exclude FOLDER",
        )


def engine_of(options: Select, module: nn.Module | None) -> Select:
    """A module from Python stays in its process."""
    return options if module is None else replace(options, engine="plain", workers=0)


def _words(gallery: Gallery) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    return np.ascontiguousarray(gallery.images.keys[gallery.rows]).view("V16").ravel()
