"""What the teacher says of each photo of a gallery, and which excluded photo it is the same as: a file a shard."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from limbeck.alike.look import Look, look
from limbeck.alike.side import Match, Side
from limbeck.alike.thresholds import NEAR_DUPLICATE, SAME_SCENE, Thresholds
from limbeck.console import console
from limbeck.errors import RunError, TeacherError
from limbeck.files import replacing
from limbeck.images.decode import Unreadable, decode
from limbeck.images.imageset import ImageSet
from limbeck.images.mapping import default_workers, map_shards
from limbeck.images.prepare import centre_view
from limbeck.images.sources import reason_of
from limbeck.ssld.choosing import UNIT
from limbeck.ssld.features import Sight
from limbeck.ssld.gallery import Gallery
from limbeck.ssld.teacher import TeacherSpec

SCORED = pa.schema(
    [
        ("key", pa.binary(16)),
        ("best", pa.int32()),
        ("score", pa.int32()),
        ("other", pa.int32()),
        ("level", pa.uint8()),
        ("how", pa.uint8()),
        ("inliers", pa.int32()),
        ("mirrored", pa.bool_()),
        ("reason", pa.large_string()),
    ]
)
LEVELS = ("", NEAR_DUPLICATE, SAME_SCENE)
HOWS = ("", "same bytes", "hash", "sift")
NONE = -1

_VERSION = "2"  # another one makes every shard be scored anew
_BATCH = 32
_FEW = 300  # fewer are scored sooner than a worker starts
_ON_A_GPU = 4  # workers that share a GPU: each has its own copy of the teacher there


@dataclass(frozen=True)
class Asked:
    """The teacher that is asked, as a worker can be told of it."""

    spec: TeacherSpec
    device: str
    precision: str

    @property
    def identity(self) -> str:
        return f"{self.spec.fingerprint} {self.precision}"

    def sight(self, *, shown: bool = False) -> Sight:
        """Loaded once in each process; only the first of them tells of it."""
        place = self.identity, self.device
        if place not in _loaded:
            quiet, console.quiet = console.quiet, console.quiet or not shown
            try:
                sight = Sight(self.spec.load(self.device, self.precision))
            finally:
                console.quiet = quiet
            _loaded.clear()
            _loaded[place] = sight
        return _loaded[place]

    def embed(self, photos: Sequence[Tensor]) -> NDArray[np.float32]:
        """What the teacher sees of decoded photos, float32 [b, d]."""
        with one_thread(self.device):
            sight = self.sight()
            views = [torch.stack([centre_view(each, photo) for photo in photos]) for each in sight.teacher.preprocesses]
            _, features = sight.evaluate(views)
        assert features is not None
        return features.numpy()


_loaded: dict[tuple[str, str], Sight] = {}


@dataclass(frozen=True)
class Excluding:
    """The photos that must not be learned from, and when a photo counts as one of them."""

    home: Path  # of a Side
    identity: str
    signature: str
    thorough: bool = False
    thresholds: Thresholds = field(default_factory=Thresholds)

    def match(self, looks: list[Look], features: Tensor | None, keys: NDArray[np.uint8]) -> list[Match | None]:
        embeddings = None if features is None else features.numpy()
        return _side(self.home).match(looks, embeddings, self.thresholds, keys=keys, thorough=self.thorough)


@lru_cache(maxsize=1)
def _side(home: Path) -> Side:
    return Side.open(home)


@dataclass(frozen=True)
class ScoreShard:
    """Some photos, in key order; `result` is the file that their scores are kept in."""

    photos: ImageSet
    asked: Asked
    excluding: Excluding | None
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
    """A row for each photo of a Gallery: best class and score in millionths, -1 where unreadable, with the reason.

    `other` is the row of the excluded side that a photo is the same as, or -1; `level` and `how` are places in LEVELS
    and HOWS.
    """

    best: NDArray[np.int32]
    score: NDArray[np.int32]
    other: NDArray[np.int32]
    level: NDArray[np.uint8]
    how: NDArray[np.uint8]
    inliers: NDArray[np.int32]
    mirrored: NDArray[np.bool_]
    unreadable: dict[int, str]

    @classmethod
    def unmatched(cls, best: NDArray[np.int32], score: NDArray[np.int32]) -> "Scores":
        """Of photos that were compared with no others."""
        none = np.zeros(len(best), np.int32)
        small = np.zeros(len(best), np.uint8)
        return cls(best, score, none - 1, small, small.copy(), none, np.zeros(len(best), bool), {})


def score_gallery(
    gallery: Gallery,
    asked: Asked,
    excluding: Excluding | None,
    home: Path,
    *,
    engine: str = "plain",
    workers: int | None = None,
    shown: bool = True,
) -> Scores:
    """Ask the teacher about every photo; shards that are finished already are only read."""
    shards = list(shards_of(gallery, asked, excluding, home))
    left = [shard for shard in shards if not shard.result.exists()]
    if sum(len(shard.photos) for shard in left) < _FEW and engine == "plain":
        workers = 0
    elif workers is None and engine == "plain" and asked.device != "cpu":
        workers = min(default_workers(), _ON_A_GPU)
    if shown and len(left) < len(shards):
        console.print(f"{len(shards) - len(left):,} of {len(shards):,} shards are scored already")
    given = {"workers": workers, "shown": shown, "home": home, "gpus": 1.0 if asked.device.startswith("cuda") else 0.0}
    for _ in map_shards(score_shard, left, engine, title="scoring, in shards", **given):  # type: ignore[arg-type]
        pass
    return _gather(gallery, shards)


def shards_of(gallery: Gallery, asked: Asked, excluding: Excluding | None, home: Path) -> Iterator[ScoreShard]:
    """The shards of a gallery; what an outcome depends on names its file."""
    compared = (excluding.identity, excluding.signature, excluding.thorough, excluding.thresholds) if excluding else ()
    for start, stop in gallery.parts:
        photos = gallery.part(start, stop)
        told = f"{_VERSION} {asked.identity} {compared} {photos.fingerprint()}"
        name = blake2b(told.encode(), digest_size=16).hexdigest()
        yield ScoreShard(photos, asked, excluding, home / f"{name}.arrow")


@dataclass
class _Seen:
    """What was seen of the photos of a shard so far; `reasons` is of all, the others are of those that can be read."""

    answers: list[tuple[int, int]] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    features: list[Tensor] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    settled: bool = True


def score_shard(shard: ScoreShard) -> Path:
    """Score the photos of a shard, in fixed slices, and keep the outcome."""
    if shard.result.exists():
        return shard.result
    seen = _Seen()
    with one_thread(shard.asked.device):
        for start in range(0, len(shard.photos), _BATCH):
            _score_slice(shard, range(start, min(start + _BATCH, len(shard.photos))), seen)
        matches = _compare(shard, seen)
    rows = []
    found = zip(seen.answers, matches, strict=True)
    for key, reason in zip(shard.photos.keys, seen.reasons, strict=True):
        answer, match = ((NONE, NONE), None) if reason else next(found)
        rows.append((key.tobytes(), *answer, *_matched(match), reason))
    result = shard.result if seen.settled else shard.unsettled
    with replacing(result) as temporary, pa.ipc.new_file(str(temporary), SCORED) as writer:
        writer.write_batch(pa.record_batch(list(map(list, zip(*rows))), schema=SCORED))
    return result


def _score_slice(shard: ScoreShard, indices: range, seen: _Seen) -> None:
    """Read some photos, each once: what the teacher answers, and what they are compared by."""
    sight, excluding = shard.asked.sight(), shard.excluding
    views: list[list[Tensor]] = []
    for index in indices:
        reason = ""
        try:
            photo = decode(shard.photos.read(index))
            views.append([centre_view(preprocess, photo) for preprocess in sight.teacher.preprocesses])
            if excluding:
                seen.looks.append(look(photo))
        except Unreadable as error:
            reason = str(error)
        except OSError as error:
            reason, seen.settled = reason_of(error), False
        seen.reasons.append(reason)
    if views:
        answers, features = sight.evaluate([torch.stack(each) for each in zip(*views)])
        seen.answers += best_classes(answers)
        if features is not None and excluding and excluding.signature == "embedding":
            seen.features.append(features)


def _compare(shard: ScoreShard, seen: _Seen) -> Sequence[Match | None]:
    """With all excluded photos, once for the whole shard: a product with few rows is mostly spent on the other side."""
    if shard.excluding is None or not seen.looks:
        return [None] * len(seen.answers)
    there = shard.photos.keys[[not reason for reason in seen.reasons]]
    return shard.excluding.match(seen.looks, torch.cat(seen.features) if seen.features else None, there)


def _matched(match: Match | None) -> tuple[int, int, int, int, bool]:
    if match is None:
        return NONE, 0, 0, 0, False
    return match.other, LEVELS.index(match.level), HOWS.index(match.how), match.inliers, match.mirrored


def best_classes(log_probabilities: Tensor) -> list[tuple[int, int]]:
    """(best class, its probability in millionths) of each row.

    >>> best_classes(torch.tensor([[0.25, 0.75]]).log())
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
    return list(zip(best.tolist(), np.rint(np.minimum(top, 1) * UNIT).astype(int).tolist()))


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


def _gather(gallery: Gallery, shards: Sequence[ScoreShard]) -> Scores:
    scores = Scores.unmatched(*(np.full(len(gallery), NONE, np.int32) for _ in range(2)))
    columns = [name for name in SCORED.names if name not in ("key", "reason")]
    for (start, stop), shard in zip(gallery.parts, shards, strict=True):
        batch = _read(shard)
        for name in columns:
            getattr(scores, name)[start:stop] = batch.column(name).to_numpy(zero_copy_only=False)
        for row in np.flatnonzero(scores.score[start:stop] == NONE).tolist():
            scores.unreadable[start + row] = batch.column("reason")[row].as_py()
    return scores


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
