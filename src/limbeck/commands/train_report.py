"""report.html of a detector's training."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray

from limbeck.commands.train_job import TrainJob
from limbeck.detection.coco_metric import CocoMetric
from limbeck.detection.dataset import DetectionSet
from limbeck.detection.kept import Kept, Key, overlaps_of
from limbeck.images.decode import Unreadable
from limbeck.report.detections_page import DetectionsPage, FoundClass, FoundPhoto, write_detections
from limbeck.report.detections_pictures import Marked, side_by_side
from limbeck.report.pictures import photo_of
from limbeck.training.log import read_metrics

_SURE = 0.3
_SHOWN = 6


def report(job: TrainJob, metric: CocoMetric, photos: DetectionSet) -> Path:
    """The page of a training, of the detector that is shipped."""
    options = job.options
    facts = {name: str(value) for name, value in vars(options).items() if value not in ("", (), False)}
    page = DetectionsPage(
        title=Path(options.out).resolve().name,
        about=f"{options.detector}{f' on {options.backbone}' if options.backbone else ''}",
        numbers=metric.numbers(),
        classes=_classes(metric),
        history=read_metrics(job.run),
        galleries=galleries(metric.images(), photos),
        facts=facts,
        shown=f"On the left what is there, on the right what was found with a score of {_SURE:g} or more.",
    )
    return write_detections(job.run, page)


def _classes(metric: CocoMetric) -> list[FoundClass]:
    lines = {curve.name: curve for curve in metric.curves()}
    rows = []
    for row in metric.per_class():
        line = lines.get(row.name)
        over = (line.recall, line.precision) if line is not None else (None, None)
        rows.append(FoundClass(row.name, row.ap, row.ap50, row.ap75, row.truth, row.found, *over))
    return rows


def galleries(images: Mapping[Key, Kept], photos: DetectionSet) -> dict[str, list[FoundPhoto]]:
    """The worst, the best and some photos drawn at random; none is shown twice."""
    scored = sorted((quality(kept), place) for place, kept in images.items() if isinstance(place, int))
    places = [place for _, place in scored]
    worst, best = places[:_SHOWN], places[: _SHOWN - 1 : -1][:_SHOWN] if len(places) > _SHOWN else []
    rest = [place for place in places if place not in {*worst, *best}]
    chosen = {"The worst": worst, "The best": best, "At random": Random(0).sample(rest, min(_SHOWN, len(rest)))}
    return {
        title: [shot for place in listed if (shot := _shot(images[place], photos, place))]
        for title, listed in chosen.items()
    }


def quality(kept: Kept) -> float:
    """Of the boxes that are there and of those that were found with some certainty, the share that agrees.

    >>> box = [0.0, 0.0, 9.0, 9.0]
    >>> quality(Kept(np.array([[*box, 0.9, 1]], np.float32), np.array([[*box, 1, 81, 0]])))
    1.0
    """
    found, truth = _sure(kept), kept.truth[kept.truth[:, 6] == 0]
    if not len(found) + len(truth):
        return 1.0
    near = (overlaps_of(found, truth) >= 0.5) & (found[:, 5:] == truth[:, 4])
    met: set[int] = set()
    for row in near:
        free = next((int(column) for column in np.flatnonzero(row) if int(column) not in met), None)
        met |= set() if free is None else {free}
    return 2 * len(met) / (len(found) + len(truth))


def _sure(kept: Kept) -> NDArray[np.float32]:
    ordered = kept.found[np.argsort(-kept.found[:, 4], kind="stable")]
    sure: NDArray[np.float32] = ordered[ordered[:, 4] >= _SURE]
    return sure


def _shot(kept: Kept, photos: DetectionSet, place: int) -> FoundPhoto | None:
    try:
        photo = photo_of(photos.images.read(place))
    except (Unreadable, OSError):
        return None
    found = _sure(kept)
    truth = _marked(kept.truth[:, :5], photos.classes, None)
    jpeg = side_by_side(photo, [truth, _marked(found[:, [0, 1, 2, 3, 5]], photos.classes, found[:, 4])])
    told = f"{len(truth)} there, {len(found)} found"
    return FoundPhoto(photos.images.path(place), told, jpeg)


def _marked(
    rows: NDArray[np.float32] | NDArray[np.float64], classes: Sequence[str], scores: NDArray[np.float32] | None
) -> list[Marked]:
    shares = [""] * len(rows) if scores is None else [f" {score:.2f}" for score in scores.tolist()]
    return [
        Marked(row[:4], int(row[4]), f"{classes[int(row[4])]}{share}")
        for row, share in zip(rows.tolist(), shares, strict=True)
    ]
