"""Neighbouring crops of one larger picture: the border of one photo goes on in the border of another."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from limbeck.console import progress
from limbeck.files import replacing, sweep
from limbeck.images.decode import Unreadable, decode
from limbeck.images.imageset import ImageSet
from limbeck.images.mapping import map_shards

MOST = 20_000  # photos; more are no mosaic

_LIKE, _LEAD = 0.9, 0.1  # correlation of two borders, and how much better than the second best
_LEAST = 128  # pixels of a border that says something
_FINE, _COARSE = (
    1.0,
    6.0,
)  # what is kept of a border: detail between these scales, so that skies and floors are not alike
_FLAT = 1.0
_SHARD, _BLOCK = 500, 1024
_VERSION = "1"
_SIDES = ("left", "right", "top", "bottom")
_SCHEMA = pa.schema([(side, pa.list_(pa.float32())) for side in _SIDES])

Borders = dict[str, list[NDArray[np.float32]]]


@dataclass(frozen=True)
class Crop:
    """Photo `a` goes on in photo `b`, on its right side or below."""

    a: int
    b: int
    side: str  # right | bottom


@dataclass(frozen=True)
class BorderShard:
    """Some photos, and the file for their borders."""

    images: ImageSet
    result: Path

    def __str__(self) -> str:
        return f"{self.images.path(0)} .. {self.images.path(len(self.images) - 1)}"


def neighbours(
    images: ImageSet, home: Path, *, engine: str = "plain", workers: int | None = None, shown: bool = True
) -> list[Crop]:
    """All pairs of which one goes on in the other; goes on from what an interrupted look has left."""
    if not 2 <= len(images) <= MOST:
        return []
    sweep(home)
    shards = []
    for start in range(0, len(images), _SHARD):
        part = images.take(np.arange(start, min(start + _SHARD, len(images))))
        digest = blake2b(_VERSION.encode() + part.keys.tobytes(), digest_size=16).hexdigest()
        shards.append(BorderShard(part, home / f"{digest}.arrow"))
    left = [shard for shard in shards if not shard.result.exists()]
    title = "looking at borders, in shards"
    for _ in map_shards(see_borders, left, engine, workers=workers if len(left) > 1 else 0, shown=shown, title=title):
        pass
    borders = _read(shards)
    with progress("comparing borders", 2 * len(images), shown=shown) as advance:
        found = []
        for side, other in ("right", "left"), ("bottom", "top"):
            for a, b in _matches(borders[side], borders[other]):
                found.append(Crop(a, b, side))
            advance(len(images))
    return sorted(found, key=lambda crop: (crop.a, crop.b))


def see_borders(shard: BorderShard) -> Path:
    """The four borders of every photo of a shard; empty ones where a photo is small or cannot be read."""
    rows = []
    for index in range(len(shard.images)):
        try:
            grey = decode(shard.images.read(index)).numpy().mean(0, dtype=np.float32)
            rows.append(dict(zip(_SIDES, map(_detail, (grey[:, 0], grey[:, -1], grey[0], grey[-1])))))
        except (OSError, Unreadable):
            rows.append(dict.fromkeys(_SIDES, np.zeros(0, np.float32)))
    with replacing(shard.result) as temporary, pa.ipc.new_file(str(temporary), _SCHEMA) as writer:
        writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=_SCHEMA))
    return shard.result


def _detail(border: NDArray[np.float32]) -> NDArray[np.float32]:
    """What is fine in a border, of length one; nothing where it is short or flat."""
    if len(border) < _LEAST:
        return np.zeros(0, np.float32)
    line = np.ascontiguousarray(border, np.float32)[None]
    fine, coarse = (cv2.GaussianBlur(line, (0, 0), sigma, sigmaY=1e-6) for sigma in (_FINE, _COARSE))
    detail = (fine - coarse)[0]
    if detail.std() <= _FLAT:
        return np.zeros(0, np.float32)
    return np.asarray(detail / np.linalg.norm(detail), np.float32)


def _read(shards: list[BorderShard]) -> Borders:
    borders: Borders = {side: [] for side in _SIDES}
    for shard in shards:
        with pa.memory_map(str(shard.result)) as file:
            table = pa.ipc.open_file(file).read_all()
            for side in _SIDES:
                borders[side] += [np.asarray(values, np.float32) for values in table[side].to_pylist()]
    return borders


def _matches(ends: list[NDArray[np.float32]], starts: list[NDArray[np.float32]]) -> Iterator[tuple[int, int]]:
    """(a, b) where the end of a is like the start of b, and like no other's nearly as much."""
    for length in sorted({len(end) for end in ends} - {0}):
        ours = [row for row, end in enumerate(ends) if len(end) == length]
        theirs = [row for row, start in enumerate(starts) if len(start) == length]
        if not theirs:
            continue
        side = np.stack([starts[row] for row in theirs])
        for begin in range(0, len(ours), _BLOCK):
            rows = ours[begin : begin + _BLOCK]
            product = np.stack([ends[row] for row in rows]) @ side.T
            product[np.array(rows)[:, None] == np.array(theirs)] = -1
            best = product.argmax(1)
            highest = product[np.arange(len(rows)), best]
            product[np.arange(len(rows)), best] = -1
            for place in np.flatnonzero((highest >= _LIKE) & (highest - product.max(1) >= _LEAD)):
                yield rows[place], theirs[best[place]]
