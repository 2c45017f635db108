"""A selection on disk: which photos it holds, and what became of every other."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from limbeck.files import replacing
from limbeck.images.imageset import ImageSet
from limbeck.images.sources import MANIFEST
from limbeck.ssld.choosing import KEPT, UNIT
from limbeck.ssld.gallery import Gallery
from limbeck.ssld.gates import COPY, UNREADABLE, WHY, Selection
from limbeck.ssld.scoring import HOWS, LEVELS, NONE

DECISIONS = pa.schema(
    [
        ("path", pa.large_string()),
        ("key", pa.binary(16)),
        ("class", pa.int32()),
        ("class_name", pa.dictionary(pa.int32(), pa.string())),
        ("score", pa.float64()),
        ("rank", pa.int32()),
        ("kept", pa.bool_()),
        ("why", pa.string()),
        ("of", pa.large_string()),  # the photo that it is the same as
        ("detail", pa.large_string()),
    ]
)
DECISIONS_FILE = "selected.parquet"
_CHUNK = 65536
_WORDS = pa.array([WHY.get(code, "") for code in range(max(WHY) + 1)])


def write_decisions(file: Path, selection: Selection) -> None:
    """One row for each file of the gallery: by class and rank, then what has no rank or class, copies, unread files."""
    with replacing(file) as temporary, pq.ParquetWriter(temporary, DECISIONS, compression="zstd") as writer:
        for batch in _decisions(selection):
            writer.write_batch(batch)


def write_manifest(out: Path, selection: Selection) -> ImageSet:
    """The kept photos, as every command takes them; written last: where the manifest is, all is whole."""
    gallery = selection.gallery
    gallery.images.take(gallery.rows[selection.kept]).save(out / MANIFEST)
    return ImageSet(out / MANIFEST)


def _decisions(selection: Selection) -> Iterator[pa.RecordBatch]:
    order = _order(selection)
    for start in range(0, len(order), _CHUNK):
        yield _scored(selection, order[start : start + _CHUNK])
    gallery = selection.gallery
    for start in range(0, len(gallery.copies), _CHUNK):
        yield _copies(gallery, slice(start, start + _CHUNK))
    skipped = sorted((each.path, each.reason) for each in gallery.images.skipped)
    for start in range(0, len(skipped), _CHUNK):
        paths, reasons = zip(*skipped[start : start + _CHUNK])
        yield _batch(len(paths), path=list(paths), why=WHY[UNREADABLE], detail=list(reasons))


def _order(selection: Selection) -> NDArray[np.int64]:
    """All rows by class and rank; those without rank after them, those without class at the end."""
    last = np.iinfo(np.int32).max
    rank = np.where(selection.rank > 0, selection.rank, last)
    best = np.where(selection.scores.best >= 0, selection.scores.best, last)
    return np.lexsort((rank, best))


def _scored(selection: Selection, rows: NDArray[np.int64]) -> pa.RecordBatch:
    images, scores = selection.gallery.images, selection.scores
    best, rank, fate = scores.best[rows], selection.rank[rows], selection.fate[rows]
    part = selection.gallery.rows[rows]
    return _batch(
        len(rows),
        path=images.paths(part),
        key=_keys(images, part),
        **{"class": pa.array(best, mask=best < 0)},
        class_name=pa.DictionaryArray.from_arrays(pa.array(best, mask=best < 0), pa.array(selection.classes)),
        score=pa.array(scores.score[rows] / UNIT, mask=best < 0),
        rank=pa.array(rank, mask=rank == 0),
        kept=fate == KEPT,
        why=_WORDS.take(pa.array(fate)),
        of=_some(_twin, selection, rows),
        detail=_some(_detail, selection, rows),
    )


def _some(
    tell: Callable[[Selection, int], str | None], selection: Selection, rows: NDArray[np.int64]
) -> list[str | None]:
    """What there is to tell of the few photos that are the same as another, or could not be read."""
    scores = selection.scores
    told: list[str | None] = [None] * len(rows)
    odd = (scores.other[rows] != NONE) | (selection.twin[rows] != NONE) | (scores.score[rows] == NONE)
    for place in np.flatnonzero(odd).tolist():
        told[place] = tell(selection, int(rows[place]))
    return told


def _twin(selection: Selection, row: int) -> str | None:
    """The photo that a photo is the same as: an excluded one, or one of the gallery."""
    if selection.excluded is not None and selection.scores.other[row] != NONE:
        return selection.excluded.path(int(selection.scores.other[row]))
    twin = int(selection.twin[row])
    return None if twin == NONE else selection.gallery.images.path(int(selection.gallery.rows[twin]))


def _detail(selection: Selection, row: int) -> str | None:
    scores = selection.scores
    if scores.other[row] == NONE:
        return scores.unreadable.get(row)
    told = [LEVELS[scores.level[row]], HOWS[scores.how[row]]]
    if scores.inliers[row]:
        told.append(f"{scores.inliers[row]} points")
    return ", ".join(told + ["mirrored"] * bool(scores.mirrored[row]))


def _copies(gallery: Gallery, part: slice) -> pa.RecordBatch:
    rows, stay = gallery.copies[part], gallery.rows[gallery.copied[part]]
    paths, of = gallery.images.paths(rows), gallery.images.paths(stay)
    return _batch(len(rows), path=paths, key=_keys(gallery.images, rows), why=COPY, of=of)


def _keys(images: ImageSet, rows: NDArray[np.int64]) -> pa.FixedSizeBinaryArray:
    keys = np.ascontiguousarray(images.keys[rows])
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(rows), [None, pa.py_buffer(keys)])


def _batch(count: int, **columns: Any) -> pa.RecordBatch:
    """A batch of decisions; a column that is not given is empty, one word stands in all its rows."""
    given = {"kept": np.zeros(count, bool)} | columns
    arrays = []
    for field in DECISIONS:
        value = given.get(field.name)
        if value is None:
            value = pa.nulls(count, field.type)
        elif isinstance(value, str):
            value = pa.array([value] * count, field.type)
        arrays.append(value if isinstance(value, pa.Array) else pa.array(value, field.type))
    return pa.record_batch(arrays, schema=DECISIONS)
