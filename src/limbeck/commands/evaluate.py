"""limbeck evaluate: how often a run is right, agrees with its teacher, or finds what is there."""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import torch
from tyro.conf import Positional, arg

from limbeck.checkpoints.card import find
from limbeck.checkpoints.detector_card import is_detector
from limbeck.checkpoints.loaded import Loaded, load
from limbeck.classification.metrics import Accuracy, Agreement
from limbeck.classification.names import find_classes, match_folders, numbered
from limbeck.commands.evaluate_detector import evaluate_detector
from limbeck.console import console, errors, progress
from limbeck.divergence import js
from limbeck.errors import ImagesError, LimbeckError, OptionError, counted
from limbeck.images.imageset import ImageSet
from limbeck.images.reader import evaluation_batches
from limbeck.runs.choices import from_json
from limbeck.runs.devices import reading_workers
from limbeck.ssld.options import OPTIONS, Distill
from limbeck.ssld.teacher import Teacher, TeacherSpec, check_classes
from limbeck.training.portions import Portions

_TOLD = 5


@dataclass(frozen=True)
class Evaluate:
    """Top-1 and top-5 on class folders, else agreement with the run's teacher; of a detector COCO's numbers."""

    run: Annotated[Positional[str], arg(metavar="RUN")]
    """A run or a checkpoint folder, of a classifier or a detector."""
    images: tuple[str, ...] = ()
    """For a classifier: photos, as folders (one a class, for top-1), files, lists, archives."""
    data: tuple[str, ...] = ()
    """For a detector: photos with boxes, as COCO json, Pascal VOC xml or YOLO txt."""
    split: str = ""
    """For a detector: the split of --data (default: all of it)."""
    format: str = ""
    """For a detector: coco, voc or yolo, where --data holds several."""
    results: str = ""
    """For a detector: a file for its detections in COCO's result form."""
    skip_bad: bool = False
    """For a detector: go on without labels and images that have something wrong with them."""
    batch: int = 0
    """Photos at once (0: 64, or 8 for a detector)."""
    workers: int = -1
    """Processes that read photos (-1: the cores, at most 8; 0: none)."""
    device: str = "auto"
    """cpu, cuda, mps, or auto."""
    teacher: str = ""
    """For a classifier: whom to agree with (default: the run's own teacher, where there are no labels)."""
    teacher_weights: str = ""
    """Weights of that teacher."""


def evaluate(
    path: str | Path,
    images: str | Path | Iterable[str | Path] = (),
    *,
    data: str | Path | Iterable[str | Path] = (),
    split: str = "",
    format: str = "",
    results: str | Path = "",
    skip_bad: bool = False,
    batch: int = 0,
    workers: int = -1,
    device: str = "auto",
    teacher: str = "",
    teacher_weights: str = "",
) -> dict[str, float]:
    """Top-1 and top-5 on class folders, else agreement with a teacher; of a detector COCO's numbers on `data`."""
    options = Evaluate(
        str(path),
        _typed(images),
        data=_typed(data),
        split=split,
        format=format,
        results=str(results),
        skip_bad=skip_bad,
        batch=batch,
        workers=workers,
        device=device,
        teacher=teacher,
        teacher_weights=teacher_weights,
    )
    return run(options)


def _typed(sources: str | Path | Iterable[str | Path]) -> tuple[str, ...]:
    named = [sources] if isinstance(sources, str | Path) else list(sources)
    return tuple(str(source) for source in named)


def run(options: Evaluate) -> dict[str, float]:
    if is_detector(options.run):
        return evaluate_detector(
            options.run,
            options.data or options.images,
            split=options.split,
            format=options.format,
            results=options.results,
            skip_bad=options.skip_bad,
            batch=options.batch or 8,
            workers=options.workers,
            device=options.device,
        )
    find(options.run)  # which says what a checkpoint is
    if not options.images:
        raise OptionError("--images is missing", expected="photos, or folders of them", hint="--images FOLDER")
    loaded = load(options.run, device=options.device)
    workers = reading_workers(options.workers, 1)
    images = ImageSet.open(list(options.images), workers=workers)
    if not len(images):
        raise ImagesError(
            f"no readable photo in {', '.join(options.images)}",
            expected="photos, or folders of them",
            hint="--images FOLDER",
        )
    truth = _labels(images, loaded.classes, options.teacher != "")
    teacher = _teacher(options, loaded) if truth is None or options.teacher else None
    numbers = _measure(loaded, images, truth, teacher, options.batch or 64, workers)
    for name, value in numbers.items():
        console.print(f"{name:<10} {value:.4f}" if isinstance(value, float) else f"{name:<10} {value:,}", markup=False)
    console.print(f"next: limbeck predict {options.run} PHOTO...", markup=False)
    return numbers


def _labels(images: ImageSet, classes: tuple[str, ...], teacher: bool) -> torch.Tensor | None:
    """The class of each photo, by its folder's name; None where there are no class folders.

    Several folders are class folders, unless a teacher is named to agree with and none of them is called after a class.
    """
    folders = [images.folder(index) for index in range(len(images))]
    if not find_classes(folders, classes) and (teacher or len(set(folders)) == 1):
        console.print("no folder is called after a class")
        return None
    found = match_folders(folders, classes, otherwise="for agreement without labels, --teacher TEACHER")
    console.print(f"labels: {counted(len(found), 'folder is', 'folders are')} called after classes", markup=False)
    return torch.tensor([found[folder] for folder in folders])


def _teacher(options: Evaluate, loaded: Loaded) -> Teacher:
    asked = Distill(teacher=options.teacher, teacher_weights=options.teacher_weights)
    if not options.teacher:
        config = find(options.run).parent / "config.json"
        if not config.is_file():
            raise _no_teacher(options, "this checkpoint lies in no run that names its teacher")
        asked = Distill(**from_json(config, OPTIONS))
        if options.teacher_weights:
            asked = replace(asked, teacher_weights=options.teacher_weights)
    if not asked.teacher or asked.teacher.startswith("python:"):
        raise _no_teacher(
            options, "the run's teacher was a module from Python" if asked.teacher else "it had no teacher"
        )
    spec = _spec(options, asked)
    console.print(f"agreement with the teacher {spec.description}", markup=False)
    teacher = spec.load(loaded.device)
    check_classes(loaded.classes, teacher.names or _unnamed(loaded, teacher))
    return teacher


def _spec(options: Evaluate, asked: Distill) -> TeacherSpec:
    try:
        return TeacherSpec.parse(
            asked.teacher,
            weights=asked.teacher_weights or None,
            size=asked.teacher_size or None,
            mean=asked.teacher_mean or None,
            std=asked.teacher_std or None,
        )
    except LimbeckError as error:
        if options.teacher:
            raise
        raise OptionError(
            f"the teacher that the run was taught by, {asked.teacher}, is not found from {Path.cwd()}: {error.found}",
            expected="the teacher where it was when the run began, or to be told where it is now",
            hint=f"{_again(options)} --teacher WHERE_IT_IS_NOW",
        ) from error


def _again(options: Evaluate) -> str:
    return shlex.join(["limbeck", "evaluate", options.run, "--images", *options.images])


def _unnamed(loaded: Loaded, teacher: Teacher) -> tuple[str, ...]:
    """A teacher without class names is believed to mean the student's, if it has as many."""
    return loaded.classes if teacher.classes == len(loaded.classes) else numbered(teacher.classes)


def _no_teacher(options: Evaluate, why: str) -> OptionError:
    return OptionError(
        f"no folder of {', '.join(options.images)} is called after a class, and {why}",
        expected="photos in folders named as the classes, or a teacher to agree with",
        hint=f"{_again(options)} --teacher TEACHER",
    )


def _measure(
    loaded: Loaded,
    images: ImageSet,
    truth: torch.Tensor | None,
    teacher: Teacher | None,
    batch: int,
    workers: int,
) -> dict[str, float]:
    accuracy, agreement, distance, failed = Accuracy(), Agreement(), 0.0, 0
    asked, teaching = Portions("the student"), Portions("the teacher")
    preprocesses = [loaded.preprocess, *(teacher.preprocesses if teacher else [])]
    with progress("evaluating", len(images)) as advance:
        for part in evaluation_batches(images, preprocesses, batch=batch, workers=workers):
            for index, reason in part.failed.items():
                failed += 1
                if failed <= _TOLD:
                    errors.print(f"skipped {images.path(index)}: {reason}", markup=False)
            answers = asked(lambda parts: loaded.log_probabilities(parts[0]), part.views[:1])
            if truth is not None:
                accuracy.update(answers, truth[part.indices])
            if teacher is not None:
                told = teaching(teacher.evaluate, part.views[1:])
                agreement.update(answers, told)
                distance += float(js(answers, told, reduction="none").sum())
            advance(len(part.indices) + len(part.failed))
    numbers: dict[str, float] = {
        "images": max(accuracy.count, agreement.count),
        "skipped": failed + len(images.skipped),
    }
    if truth is not None:
        numbers |= {"top1": accuracy.top1, "top5": accuracy.top5}
    if teacher is not None:
        numbers |= {"agreement": agreement.share, "js": distance / max(agreement.count, 1)}
    return numbers
