"""What the teacher says of each photo of a gallery: shard by shard, one file a shard, each photo read once."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from limbeck.console import console
from limbeck.errors import RunError, TeacherError
from limbeck.files import replacing
from limbeck.images.decode import Unreadable, decode
from limbeck.images.imageset import ImageSet
from limbeck.images.mapping import map_shards
from limbeck.images.prepare import centre_view
from limbeck.images.sources import reason_of
from limbeck.ssld.choosing import UNIT
from limbeck.ssld.gallery import Gallery
from limbeck.ssld.teacher import Teacher, TeacherSpec

SCORED = pa.schema(
    [
        ("key", pa.binary(16)),
        ("best", pa.int32()),
        ("score", pa.int32()),
        ("reason", pa.large_string()),
    ]
)
_VERSION = "1"  # another one makes every shard be scored anew
_BATCH = 32
_FEW = 300  # fewer are scored sooner than a worker starts
_NONE = -1


@dataclass(frozen=True)
class Asked:
    """The teacher that is asked, as a worker can be told of it."""

    spec: TeacherSpec
    device: str
    precision: str

    @property
    def identity(self) -> str:
        return f"{self.spec.fingerprint} {self.precision}"

    def teacher(self) -> Teacher:
        """Loaded once in each process."""
        known = _loaded.get((self.identity, self.device))
        if known is None:
            quiet, console.quiet = console.quiet, True  # the process that looked at it first has told
            try:
                known = self.spec.load(self.device, self.precision)
            finally:
                console.quiet = quiet
            _loaded.clear()
            _loaded[self.identity, self.device] = known
        return known


_loaded: dict[tuple[str, str], Teacher] = {}


@dataclass(frozen=True)
class ScoreShard:
    """Some photos, in key order; `result` is the file that their scores are kept in."""

    photos: ImageSet
    asked: Asked
    result: Path

    @property
    def unsettled(self) -> Path:
        """The outcome when files could not be read just now: looked at again the next time."""
        return self.result.with_suffix(".unsettled.arrow")

    @property
    def outcome(self) -> Path:
        return self.result if self.result.exists() else self.unsettled

    def __str__(self) -> str:
        return f"of {len(self.photos):,} photos from {self.photos.path(0)}"


@dataclass(frozen=True)
class Scores:
    """A row for each photo of a Gallery: best class and score in millionths (-1 where unreadable, with the reason)."""

    best: NDArray[np.int32]
    score: NDArray[np.int32]
    unreadable: dict[int, str]


def score_gallery(
    gallery: Gallery, asked: Asked, home: Path, *, engine: str = "plain", workers: int | None = None, shown: bool = True
) -> Scores:
    """Ask the teacher about every photo; shards that are finished already are only read."""
    shards = list(_shards(gallery, asked, home))
    left = [shard for shard in shards if not shard.result.exists()]
    if sum(len(shard.photos) for shard in left) < _FEW and engine == "plain":
        workers = 0
    if shown and left and len(left) < len(shards):
        console.print(f"{len(shards) - len(left):,} of {len(shards):,} shards are scored already")
    for _ in map_shards(score_shard, left, engine, workers=workers, shown=shown, title="scoring, in shards"):
        pass
    return _gather(gallery, shards)


def score_shard(shard: ScoreShard) -> Path:
    """Score the photos of a shard, in fixed slices, and keep the outcome."""
    rows: list[tuple[int, int, str]] = []
    settled = True
    with one_thread(shard.asked.device):
        teacher = shard.asked.teacher()
        for start in range(0, len(shard.photos), _BATCH):
            indices = range(start, min(start + _BATCH, len(shard.photos)))
            views: list[list[Tensor]] = []
            reasons: list[str] = []
            for index in indices:
                reason = ""
                try:
                    photo = decode(shard.photos.read(index))
                    views.append([centre_view(preprocess, photo) for preprocess in teacher.preprocesses])
                except Unreadable as error:
                    reason = str(error)
                except OSError as error:
                    reason, settled = reason_of(error), False
                reasons.append(reason)
            answers = iter(best_classes(teacher.evaluate([torch.stack(each) for each in zip(*views)])) if views else ())
            rows += [(_NONE, _NONE, reason) if reason else (*next(answers), "") for reason in reasons]
    result = shard.result if settled else shard.unsettled
    best, score, reason_column = zip(*rows)
    keys = pa.array([key.tobytes() for key in shard.photos.keys], pa.binary(16))
    with replacing(result) as temporary, pa.ipc.new_file(str(temporary), SCORED) as writer:
        writer.write_batch(pa.record_batch([keys, list(best), list(score), list(reason_column)], schema=SCORED))
    return result


def best_classes(log_probabilities: Tensor) -> Iterator[tuple[int, int]]:
    """(best class, its probability in millionths) of each row.

    >>> list(best_classes(torch.tensor([[0.25, 0.75]]).log()))
    [(1, 750000)]
    """
    answers = log_probabilities.float().cpu().numpy()
    if not np.isfinite(answers.max(axis=1)).all():
        raise TeacherError(
            "the teacher's answer to a photo is not a number",
            expected="probabilities",
            hint="--teacher-precision float32",
        )
    best = answers.argmax(axis=1)
    top = np.exp(answers[np.arange(len(answers)), best].astype(np.float64))
    return zip(best.tolist(), np.rint(np.minimum(top, 1) * UNIT).astype(np.int32).tolist())


@contextmanager
def one_thread(device: str) -> Iterator[None]:
    """On a CPU the bits of an answer depend on the number of threads."""
    before = torch.get_num_threads()
    if device == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _shards(gallery: Gallery, asked: Asked, home: Path) -> Iterator[ScoreShard]:
    for start, stop in gallery.parts:
        photos = gallery.part(start, stop)
        told = f"{_VERSION} {asked.identity} {photos.fingerprint()}"
        name = blake2b(told.encode(), digest_size=16).hexdigest()
        yield ScoreShard(photos, asked, home / "scores" / f"{name}.arrow")


def _gather(gallery: Gallery, shards: list[ScoreShard]) -> Scores:
    best, score = np.full(len(gallery), _NONE, np.int32), np.full(len(gallery), _NONE, np.int32)
    unreadable: dict[int, str] = {}
    for (start, stop), shard in zip(gallery.parts, shards, strict=True):
        batch = _read(shard)
        best[start:stop], score[start:stop] = (batch.column(name).to_numpy() for name in ("best", "score"))
        for row in np.flatnonzero(score[start:stop] == _NONE).tolist():
            unreadable[start + row] = batch.column("reason")[row].as_py()
    return Scores(best, score, unreadable)


def _read(shard: ScoreShard) -> pa.RecordBatch:
    try:
        with pa.memory_map(str(shard.outcome)) as file:
            batch = pa.ipc.open_file(file).get_batch(0)
            if batch.schema.equals(SCORED) and len(batch) == len(shard.photos):
                return batch
            problem = "it has other rows"
    except (OSError, pa.ArrowInvalid) as error:
        problem = str(error)
    raise RunError(
        f"the scores in {shard.outcome} cannot be read: {problem}",
        expected="a file that limbeck select wrote",
        hint=f"rm {shard.outcome}, then the same command again",
    )
