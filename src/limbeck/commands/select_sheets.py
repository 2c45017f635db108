"""What select.html shows of a selection: counts, and the photos that let one see whether it is sound."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limbeck.alike.compare import compare
from limbeck.alike.draw import draw_pair
from limbeck.alike.look import look
from limbeck.console import progress
from limbeck.errors import as_typed
from limbeck.images.decode import Unreadable, decode
from limbeck.images.imageset import ImageSet
from limbeck.report.select_page import ClassCount, Gate, Histogram, SelectPage, Sheet, Shot, Twins
from limbeck.report.thumbnail import SIDE, thumbnail
from limbeck.ssld.choosing import BELOW_CUT, KEPT, UNIT
from limbeck.ssld.gates import DUPLICATE, EXCLUDED, SCENE, WHY, Selection
from limbeck.ssld.scoring import NONE

BINS = 40
SHEETS, SHOTS = 12, 4
TWINS = 12
_WHY_TWIN = {
    EXCLUDED: "a near-duplicate of the excluded",
    SCENE: "the same scene as the excluded",
    DUPLICATE: "a near-duplicate of",
}


def page_of(selection: Selection, out: Path, teacher: str, settings: dict[str, Any], command: str) -> SelectPage:
    """The page of a selection; photos that are gone since are left out."""
    twins = np.flatnonzero(np.isin(selection.fate, list(_WHY_TWIN)))
    shown = twins[np.unique(np.linspace(0, len(twins) - 1, TWINS).astype(np.int64))] if len(twins) else twins
    classes = shown_classes(selection)
    with progress("drawing photos", len(classes) + len(shown)) as advance:
        sheets = []
        for number in classes:
            sheets.append(sheet_of(selection, number))
            advance()
        pairs: list[Twins] = []
        for row in shown.tolist():
            pairs += twins_of(selection, row)
            advance()
    return SelectPage(
        title=out.name,
        teacher=teacher,
        files=sum(selection.counts.values()),
        gates=list(funnel(selection)),
        classes=class_counts(selection),
        histogram=histogram(selection),
        sheets=sheets,
        twins=pairs,
        twins_in_all=len(twins),
        commands=[
            ("Distil on it", command),
            ("Look a photo up", f"python -c {shlex.quote(_look_up(out))}"),
        ],
        settings=[(f"--{name.replace('_', '-')}", as_typed(value)) for name, value in settings.items()],
    )


def funnel(selection: Selection) -> Iterator[Gate]:
    """Every gate that something did not pass, that of the excluded photos in any case, and what is left in the end."""
    left = sum(selection.counts.values())
    for why, count in selection.counts.items():
        if why == WHY[KEPT]:
            yield Gate(why, 0, count)
        elif count or (why == WHY[EXCLUDED] and selection.excluded is not None):
            left -= count
            yield Gate(why, count, left)


def class_counts(selection: Selection) -> list[ClassCount]:
    best = selection.scores.best
    count = len(selection.classes)
    before = np.bincount(best[best >= 0], minlength=count).tolist()
    after = np.bincount(best[selection.fate == KEPT], minlength=count).tolist()
    return [ClassCount(*each) for each in zip(selection.classes, before, after, strict=True)]


def histogram(selection: Selection) -> Histogram:
    scores = selection.scores.score
    candidates = selection.rank > 0
    bins = np.minimum(scores.astype(np.int64) * BINS // UNIT, BINS - 1)
    of_all, of_kept = (
        np.bincount(bins[rows], minlength=BINS).tolist() for rows in (candidates, selection.fate == KEPT)
    )
    missed = selection.fate == BELOW_CUT
    if not missed.any():
        return Histogram(of_all, of_kept, None)
    highest = np.full(len(selection.classes), NONE, np.int32)
    np.maximum.at(highest, selection.scores.best[missed], scores[missed])
    cuts = np.sort(highest[highest != NONE]) / UNIT
    return Histogram(of_all, of_kept, (float(cuts[0]), float(cuts[len(cuts) // 2]), float(cuts[-1])))


def shown_classes(selection: Selection) -> list[int]:
    """Some of the classes that keep something, spread over all."""
    there = np.unique(selection.scores.best[selection.fate == KEPT])
    return there[np.unique(np.linspace(0, len(there) - 1, SHEETS).astype(np.int64))].tolist() if len(there) else []


def sheet_of(selection: Selection, number: int) -> Sheet:
    of_class = np.flatnonzero(selection.scores.best == number)
    of_class = of_class[np.argsort(selection.rank[of_class], kind="stable")]
    kept, missed = (of_class[selection.fate[of_class] == code] for code in (KEPT, BELOW_CUT))
    last = kept[SHOTS:][-SHOTS:]
    return Sheet(
        selection.classes[number],
        best=list(shots(selection, kept[:SHOTS])),
        worst=list(shots(selection, last)),
        missed=list(shots(selection, missed[:SHOTS])),
    )


def shots(selection: Selection, rows: NDArray[np.int64]) -> Iterator[Shot]:
    images = selection.gallery.images
    for row in rows.tolist():
        place = int(selection.gallery.rows[row])
        try:
            small = thumbnail(decode(images.read(place), smallest=(SIDE, SIDE)))
        except (OSError, Unreadable):
            continue
        yield Shot(images.path(place), small, float(selection.scores.score[row]) / UNIT)


def twins_of(selection: Selection, row: int) -> Sequence[Twins]:
    """A photo that was left out beside the one that it is nearly the same as, with the points that match."""
    images, place = selection.gallery.images, int(selection.gallery.rows[row])
    code = int(selection.fate[row])
    other: tuple[ImageSet, int]
    if code == DUPLICATE:
        other = images, int(selection.gallery.rows[selection.twin[row]])
    else:
        assert selection.excluded is not None
        other = selection.excluded, int(selection.scores.other[row])
    try:
        photos = [decode(images.read(place)), decode(other[0].read(other[1]))]
    except (OSError, Unreadable):
        return []
    seen = [look(photo).features for photo in photos]
    evidence = compare(seen[0], seen[1])
    if evidence is None:
        return []
    picture = thumbnail(draw_pair(photos[0], photos[1], evidence), side=640)
    return [Twins(images.path(place), other[0].path(other[1]), _WHY_TWIN[code], picture)]


def _look_up(out: Path) -> str:
    read = f"from pyarrow.parquet import read_table as r; t = r({str(out / 'selected.parquet')!r})"
    return f"{read}; print([row for row in t.to_pylist() if 'NAME' in row['path']])"
