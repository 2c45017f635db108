"""Photos of a detector's report: what is there beside what was found, and from which score on."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray

from limbeck.detection.dataset import DetectionSet
from limbeck.detection.kept import Kept, Key, overlaps_of, surest_first
from limbeck.images.decode import Unreadable
from limbeck.report.detections_page import FoundPhoto
from limbeck.report.detections_pictures import Marked, side_by_side
from limbeck.report.pictures import photo_of

_SHOWN = 6
_USUAL = 0.3


@dataclass(frozen=True)
class Sure:
    """A score from which on boxes are shown, and the F1 that they have at an overlap of 0.5."""

    score: float
    f1: float

    @property
    def told(self) -> str:
        shown = f"On the left what is there, on the right what was found with a score of {self.score:g} or more"
        if self.f1 > 0:
            return f"{shown}: on all photos measured, that score gives the best F1, {self.f1:.2f}."
        return f"{shown}: about as many boxes as there are objects, for none of them is right."


def best_score(images: Iterable[Kept]) -> Sure:
    """The score at which precision and recall are best together (F1); where nothing is right, as many as there are.

    >>> box = [0.0, 0.0, 9.0, 9.0]
    >>> found = np.array([[*box, 0.87, 1], [20, 20, 30, 30, 0.2, 1]], np.float32)
    >>> best_score([Kept(found, np.array([[*box, 1, 81, 0]]))])
    Sure(score=0.87, f1=1.0)
    """
    columns = [(surest_first(each.found)[:, 4], _hits(each), int((each.truth[:, 6] == 0).sum())) for each in images]
    scores = np.concatenate([np.zeros(0), *(each for each, _, _ in columns)])
    hits = np.concatenate([np.zeros(0, bool), *(each for _, each, _ in columns)])
    truth = sum(each for _, _, each in columns)
    if not len(scores) or not truth:
        return Sure(_USUAL, 0.0)
    order = np.argsort(-scores, kind="stable")
    scores, hits = scores[order], hits[order]
    last = np.append(scores[1:] < scores[:-1], True)  # of equal scores all are shown or none
    f1 = np.where(last, 2 * hits.cumsum() / (np.arange(1, len(hits) + 1) + truth), -1.0)
    best = int(f1.argmax()) if hits.any() else min(truth, len(hits)) - 1
    return Sure(_rounded(float(scores[best])), max(0.0, float(f1[best])))


def _rounded(score: float) -> float:
    """Down to two digits, so that the box itself is shown."""
    if score <= 0:
        return 0.0
    times = 10.0 ** (1 - math.floor(math.log10(score)))
    return math.floor(score * times + 1e-4) / times  # scores are float32


def galleries(images: Mapping[Key, Kept], photos: DetectionSet, score: float) -> dict[str, list[FoundPhoto]]:
    """The worst, the best and some photos drawn at random; none is shown twice."""
    scored = sorted((quality(kept, score), place) for place, kept in images.items() if isinstance(place, int))
    places = [place for _, place in scored]
    worst, best = places[:_SHOWN], places[: _SHOWN - 1 : -1][:_SHOWN] if len(places) > _SHOWN else []
    rest = [place for place in places if place not in {*worst, *best}]
    chosen = {"The worst": worst, "The best": best, "At random": Random(0).sample(rest, min(_SHOWN, len(rest)))}
    return {
        title: [shot for place in listed if (shot := _shot(images[place], photos, place, score))]
        for title, listed in chosen.items()
    }


def quality(kept: Kept, score: float) -> float:
    """Of the boxes that are there and of those that were found with this score or more, the share that agrees.

    >>> box = [0.0, 0.0, 9.0, 9.0]
    >>> quality(Kept(np.array([[*box, 0.9, 1]], np.float32), np.array([[*box, 1, 81, 0]])), 0.3)
    1.0
    """
    sure = surest_first(kept.found)[:, 4] >= score
    there = int(sure.sum() + (kept.truth[:, 6] == 0).sum())
    return 2 * int(_hits(kept)[sure].sum()) / there if there else 1.0


def _hits(kept: Kept) -> NDArray[np.bool_]:
    """Whether each box that was found, the surest first, meets an object of its class that no surer one has met."""
    found, truth = surest_first(kept.found), kept.truth[kept.truth[:, 6] == 0]
    near = (overlaps_of(found, truth) >= 0.5) & (found[:, 5:] == truth[:, 4])
    hits = np.zeros(len(found), bool)
    for row in np.flatnonzero(near.any(1)):
        if near[row].any():
            hits[row] = True
            near[:, near[row].argmax()] = False
    return hits


def _shot(kept: Kept, photos: DetectionSet, place: int, score: float) -> FoundPhoto | None:
    try:
        photo = photo_of(photos.images.read(place))
    except (Unreadable, OSError):
        return None
    found = surest_first(kept.found)
    found = found[found[:, 4] >= score]
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
