"""Photos without boxes that a detector learns from: those in which its teacher sees something."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from limbeck.commands.train_measure import look_at
from limbeck.commands.train_photos import Photos
from limbeck.console import console
from limbeck.detection.columns import Columns
from limbeck.detection.dataset import DetectionSet
from limbeck.detection.stored import read_set, write_set
from limbeck.detection.train_options import Train
from limbeck.errors import ImagesError, TeacherError, counted
from limbeck.images.imageset import ImageSet
from limbeck.ld.teacher import Teacher
from limbeck.records import Detections
from limbeck.runs.devices import reading_workers
from limbeck.ssld.opening import refuse_moved

_KEPT = "unlabeled"


def looked_through(options: Train, photos: Photos, teacher: Teacher, device: torch.device) -> DetectionSet:
    """The photos of --unlabeled with what the teacher sees on them; none that are measured on, or labelled already."""
    if options.resume and (kept := read_set(Path(options.out) / "last", _KEPT)) is not None:
        refuse_moved(kept.images)
        console.print(f"{counted(len(kept), 'unlabeled photo')} on which the teacher tells")
        return kept
    images = _open(options)
    fresh = np.flatnonzero(~known_among(images, [each for each in photos if each is not None]))
    if not len(fresh):
        raise ImagesError(
            f"--unlabeled {' '.join(options.unlabeled)}: all of them are learned from or measured on already",
            expected="further photos",
            hint="--unlabeled OTHER_PHOTOS",
        )
    bare = _bare(images.take(fresh), photos.train)
    seen = seen_by(teacher, bare, options.unlabeled_score, device)
    if not len(seen):
        raise TeacherError(
            f"--teacher {teacher.name} sees nothing on {counted(len(fresh), 'unlabeled photo')} "
            f"with a score of {options.unlabeled_score:g} or more",
            expected="a detector that was trained, and on photos like these",
            hint="--unlabeled-score 0.1",
        )
    console.print(_told(len(images), len(fresh), len(seen), options.unlabeled_score))
    return seen


def _open(options: Train) -> ImageSet:
    try:
        return ImageSet.open(
            options.unlabeled, cache=options.cache or None, workers=reading_workers(options.workers, 1)
        )
    except ImagesError as error:
        where = f"--unlabeled {' '.join(options.unlabeled)}"
        raise ImagesError(
            f"{where}: {error.found}", expected=error.expected, hint="--unlabeled FOLDER_OF_PHOTOS"
        ) from error


def keep_unlabeled(run: Path, photos: DetectionSet) -> None:
    """For those who resume."""
    if read_set(run / "last", _KEPT) is None:
        write_set(photos, run / "last", _KEPT)


def known_among(images: ImageSet, others: Sequence[DetectionSet]) -> NDArray[np.bool_]:
    """Which of the images are photos of other sets too, byte by byte."""
    keys, *known = (
        np.ascontiguousarray(each.keys).view("V16")[:, 0] for each in (images, *(other.images for other in others))
    )
    return np.isin(keys, np.concatenate(known))


def seen_by(teacher: Teacher, photos: DetectionSet, score: float, device: torch.device) -> DetectionSet:
    """The photos on which a teacher sees something, with its boxes."""
    found = dict(look_at(teacher.model, teacher.look, photos, device=device, precision=teacher.precision))
    sure = {place: _above(each, score) for place, each in sorted(found.items())}
    places = [place for place, each in sure.items() if len(each.scores)]
    if not places:
        return photos.take([])
    boxes = np.concatenate([sure[place].boxes.numpy() for place in places]).astype(np.float32)
    labels = np.concatenate([sure[place].labels.numpy() for place in places])
    ends = np.cumsum([0, *(len(sure[place].scores) for place in places)])
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1).astype(np.float64)
    columns = Columns(boxes, labels, np.zeros(len(labels), bool), area, np.stack([ends[:-1], ends[1:]], 1))
    chosen = photos.images.take(places)
    return DetectionSet(chosen, photos.classes, photos.ids, tuple(range(len(chosen))), columns)


def _above(found: Detections, score: float) -> Detections:
    sure = found.scores >= score
    return Detections(found.boxes[sure].cpu(), found.scores[sure].cpu(), found.labels[sure].cpu())


def _bare(images: ImageSet, like: DetectionSet) -> DetectionSet:
    """Photos of which nothing is said."""
    columns = Columns(
        np.zeros((0, 4), np.float32),
        np.zeros(0, np.int64),
        np.zeros(0, bool),
        np.zeros(0, np.float64),
        np.zeros((len(images), 2), np.int64),
    )
    return DetectionSet(images, like.classes, like.ids, tuple(range(len(images))), columns)


def _told(found: int, fresh: int, seen: int, score: float) -> str:
    parts = [f"{counted(seen, 'unlabeled photo')} on which the teacher tells"]
    if found > fresh:
        parts.append(f"{found - fresh:,} left out that are learned from or measured on already")
    if fresh > seen:
        parts.append(f"{fresh - seen:,} in which it sees nothing with a score of {score:g} or more")
    return "; ".join(parts)
