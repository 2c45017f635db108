"""All pairs of photos inside one set that are the same."""

from collections.abc import Iterator
from dataclasses import astuple, dataclass
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save

from limbeck.alike.compare import compare
from limbeck.alike.features import Features
from limbeck.alike.local import usual
from limbeck.alike.nearest import near_photos, near_vectors
from limbeck.alike.shards import Arrays, alone, assemble, centre, look_at, look_at_all, mapped, one_thread
from limbeck.alike.thresholds import LEVELS, NEAR_DUPLICATE, Thresholds
from limbeck.console import progress
from limbeck.errors import unknown_name
from limbeck.files import write_atomically
from limbeck.images.imageset import ImageSet
from limbeck.images.mapping import map_shards

SIGNATURES_WITHIN = ("hash", "local")

_HOWS = ("hash", "sift")
_QUERIES = 1024  # photos whose candidates are sought at once
_SHARD = 500  # pairs
_REMEMBERED = 256  # photos whose points a worker keeps for the next pairs


@dataclass(frozen=True)
class Pair:
    """Two photos of a set, by their indices, that are the same."""

    a: int
    b: int
    level: str
    how: str
    inliers: int = 0
    mirrored: bool = False


@dataclass(frozen=True)
class PairShard:
    """Some pairs to be compared, and the file that the outcome is kept in."""

    images: ImageSet
    pairs: NDArray[np.int64]  # [k, 2]
    thresholds: Thresholds
    result: Path

    def __str__(self) -> str:
        return f"{len(self.pairs)} pairs from {self.images.path(int(self.pairs[0, 0]))}"


def alike_within(
    images: ImageSet,
    home: Path,
    *,
    signature: str = "local",
    thresholds: Thresholds | None = None,
    engine: str = "plain",
    workers: int | None = None,
    shown: bool = True,
) -> list[Pair]:
    """All pairs, a < b, sorted; of files with the same bytes each is paired with the first of them only.

    What an earlier call has finished in `home` is not done again.
    """
    if signature not in SIGNATURES_WITHIN:
        raise unknown_name("signature", signature, SIGNATURES_WITHIN)
    limits = thresholds or Thresholds()
    first, pairs = _same_bytes(images)
    different = images.take(first)
    whole = home / blake2b(f"1 {signature} {different.fingerprint()}".encode(), digest_size=16).hexdigest()
    with alone(whole):
        if not (whole / "finished").exists():
            local = signature == "local"
            options = {"engine": engine, "workers": workers, "shown": shown}
            looks = look_at_all(different, whole / "looks", local=local, features=False, **options)  # type: ignore[arg-type]
            assemble(looks, whole)
            if local:
                centre(whole, usual())
            write_atomically(whole / "finished", b"")
            for file in looks:
                file.unlink(missing_ok=True)
    candidates = _candidates(mapped(whole), limits, shown)
    tasks = _tasks(different, candidates, limits, home / "pairs")
    left = [task for task in tasks if not task.result.exists()]
    title = "comparing photos, in shards"
    for _ in map_shards(compare_shard, left, engine, workers=workers, shown=shown, title=title, home=home):
        pass
    for task in tasks:
        pairs += _pairs(load_file(task.result), first)
    return sorted(pairs, key=lambda pair: (pair.a, pair.b))


def compare_shard(shard: PairShard) -> Path:
    """Compare every pair of a shard, and keep what was found."""
    if shard.result.exists():
        return shard.result

    @lru_cache(_REMEMBERED)
    def features(index: int) -> Features | None:
        seen = look_at(shard.images, index)
        return seen.features if seen else None

    rows = []
    with one_thread():
        for a, b in shard.pairs.tolist():
            one, two = features(a), features(b)
            evidence = compare(one, two, shard.thresholds) if one and two else None
            if evidence:
                level, how = LEVELS.index(evidence.level), _HOWS.index(evidence.how)
                rows.append((a, b, level, how, evidence.inliers, int(evidence.mirrored)))
    write_atomically(shard.result, save({"pairs": np.array(rows, np.int64).reshape(-1, 6)}))
    return shard.result


def _same_bytes(images: ImageSet) -> tuple[NDArray[np.int64], list[Pair]]:
    """The first index of each key, in order, and the pairs of those that follow with it."""
    keys = np.ascontiguousarray(images.keys).view("V16").ravel()
    _, first, place = np.unique(keys, return_index=True, return_inverse=True)
    twins = first[place.ravel()]
    later = (twins != np.arange(len(images))).nonzero()[0]
    pairs = [Pair(int(twins[row]), int(row), NEAR_DUPLICATE, "same bytes") for row in later]
    return np.sort(first), pairs


def _candidates(arrays: Arrays, limits: Thresholds, shown: bool) -> NDArray[np.int64]:
    """Every pair that one of its two photos names: [k, 2], sorted."""
    count = len(arrays["hashes"])
    with progress("looking for candidates", count, shown=shown) as advance:
        found = [np.zeros(0, np.int64)]
        for start in range(0, count, _QUERIES):
            rows = slice(start, min(start + _QUERIES, count))
            named = list(_named(arrays, rows, limits))
            query = np.repeat([one for one, _ in named], [len(others) for _, others in named])
            other = np.concatenate([others for _, others in named])
            low, high = np.minimum(query, other), np.maximum(query, other)
            readable = arrays["readable"][query] & arrays["readable"][other]
            found.append(np.unique((low * count + high)[readable & (low < high)]))
            advance(rows.stop - rows.start)
    together = np.unique(np.concatenate(found))
    return np.stack([together // count, together % count], 1)


def _named(arrays: Arrays, rows: slice, limits: Thresholds) -> Iterator[tuple[int, NDArray[np.int64]]]:
    most = limits.candidates + 1  # the first is the photo itself
    hashes = arrays["hashes"]
    for place, near in enumerate(near_photos(hashes[rows, 0], hashes, limits.hash_distance, most)):
        yield rows.start + place, near
    if "vectors" in arrays:
        vectors = arrays["vectors"]
        copies = vectors.shape[1]
        side = vectors.reshape(-1, vectors.shape[2])
        for place, near in near_vectors(vectors[rows, 0], side, limits.similarity, most):
            yield rows.start + place, near // copies


def _tasks(images: ImageSet, candidates: NDArray[np.int64], limits: Thresholds, home: Path) -> list[PairShard]:
    tasks = []
    for start in range(0, len(candidates), _SHARD):
        pairs = candidates[start : start + _SHARD]
        used = np.unique(pairs)
        digest = blake2b(f"1 {astuple(limits)}".encode(), digest_size=16)
        digest.update(np.ascontiguousarray(images.keys[used]).tobytes() + pairs.tobytes())
        tasks.append(PairShard(images, pairs, limits, home / f"{digest.hexdigest()}.safetensors"))
    return tasks


def _pairs(outcome: Arrays, first: NDArray[np.int64]) -> list[Pair]:
    return [
        Pair(int(first[a]), int(first[b]), LEVELS[level], _HOWS[how], inliers, bool(mirrored))
        for a, b, level, how, inliers, mirrored in outcome["pairs"].tolist()
    ]
