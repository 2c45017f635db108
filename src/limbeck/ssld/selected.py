"""A selection on disk: which photos it holds, and what became of every other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from limbeck.files import replacing
from limbeck.images.imageset import ImageSet
from limbeck.images.sources import MANIFEST
from limbeck.ssld import choosing
from limbeck.ssld.choosing import UNIT, Choice
from limbeck.ssld.gallery import Gallery
from limbeck.ssld.scoring import Scores

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
        ("of", pa.large_string()),  # the photo that it is nearly the same as
        ("detail", pa.large_string()),
    ]
)
WHY = {
    choosing.KEPT: "kept",
    choosing.BELOW_SCORE: "below min-score",
    choosing.BELOW_CUT: "below the cut",
    choosing.BALANCE: "balance",
}
UNREADABLE, SAME_BYTES = "unreadable", "same bytes"
_CHUNK = 65536


@dataclass(frozen=True)
class Selection:
    """What was decided about a gallery."""

    gallery: Gallery
    scores: Scores
    choice: Choice
    classes: Sequence[str]

    @property
    def order(self) -> NDArray[np.int64]:
        """All rows of the gallery by class and rank; those without rank after them, those without class at the end."""
        last = np.iinfo(np.int32).max
        rank = np.where(self.choice.rank > 0, self.choice.rank, last)
        best = np.where(self.scores.best >= 0, self.scores.best, last)
        return np.lexsort((rank, best))

    @property
    def kept(self) -> NDArray[np.int64]:
        """The rows of the gallery that are kept, by class and rank."""
        order = self.order
        kept: NDArray[np.int64] = order[self.choice.verdict[order] == choosing.KEPT]
        return kept


def write_selection(out: Path, selection: Selection) -> ImageSet:
    """The decisions and, after them, the manifest: where the manifest is, all is whole."""
    write_decisions(out / "selected.parquet", selection)
    gallery = selection.gallery
    gallery.images.take(gallery.rows[selection.kept]).save(out / MANIFEST)
    return ImageSet(out / MANIFEST)


def write_decisions(file: Path, selection: Selection) -> None:
    """One row for each file of the gallery, by class and rank."""
    with replacing(file) as temporary, pq.ParquetWriter(temporary, DECISIONS, compression="zstd") as writer:
        for batch in _decisions(selection):
            writer.write_batch(batch)


def _decisions(selection: Selection) -> Iterator[pa.RecordBatch]:
    gallery, order = selection.gallery, selection.order
    for start in range(0, len(order), _CHUNK):
        yield _scored(selection, order[start : start + _CHUNK])
    for start in range(0, len(gallery.copies), _CHUNK):
        yield _copies(gallery, slice(start, start + _CHUNK))
    skipped = sorted((each.path, each.reason) for each in gallery.images.skipped)
    for start in range(0, len(skipped), _CHUNK):
        paths, reasons = zip(*skipped[start : start + _CHUNK])
        yield _batch(len(paths), path=list(paths), why=UNREADABLE, detail=list(reasons))


def _scored(selection: Selection, rows: NDArray[np.int64]) -> pa.RecordBatch:
    images, scores, choice = selection.gallery.images, selection.scores, selection.choice
    part = selection.gallery.rows[rows].tolist()
    best, verdict = scores.best[rows], choice.verdict[rows]
    why = np.array([WHY.get(code, UNREADABLE) for code in range(5)], object)[verdict]
    return _batch(
        len(rows),
        path=[images.path(row) for row in part],
        key=[key.tobytes() for key in images.keys[selection.gallery.rows[rows]]],
        **{"class": pa.array(best, pa.int32(), mask=best < 0)},
        class_name=_names(best, selection.classes),
        score=pa.array(scores.score[rows] / UNIT, mask=best < 0),
        rank=pa.array(choice.rank[rows], mask=choice.rank[rows] == 0),
        kept=verdict == choosing.KEPT,
        why=why.tolist(),
        detail=[scores.unreadable.get(row) for row in rows.tolist()],
    )


def _names(best: NDArray[np.int32], classes: Sequence[str]) -> pa.DictionaryArray:
    codes = pa.array(best, pa.int32(), mask=best < 0)
    return pa.DictionaryArray.from_arrays(codes, pa.array(list(classes), pa.string()))


def _copies(gallery: Gallery, part: slice) -> pa.RecordBatch:
    rows = gallery.copies[part]
    stay = gallery.rows[gallery.copied[part]].tolist()
    return _batch(
        len(rows),
        path=[gallery.images.path(row) for row in rows.tolist()],
        key=[key.tobytes() for key in gallery.images.keys[rows]],
        why=SAME_BYTES,
        of=[gallery.images.path(row) for row in stay],
    )


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
