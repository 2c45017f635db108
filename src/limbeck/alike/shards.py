"""Looks kept on disk, one file a shard: what an interrupted pass has finished is not done again."""

import fcntl
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import load_file, save

from limbeck.alike.features import SMALL_SIDE, Features
from limbeck.alike.local import COPIES, dimensions, local_vectors
from limbeck.alike.look import Look, look
from limbeck.alike.nearest import centred, rounded, shared_part
from limbeck.console import console
from limbeck.files import replacing, sweep, write_atomically
from limbeck.images.decode import Unreadable, decode
from limbeck.images.imageset import ImageSet
from limbeck.images.mapping import map_shards

Arrays = dict[str, NDArray[Any]]

_VERSION = "2"  # another one makes every shard be looked at anew
_SHARD = 250  # photos


@dataclass(frozen=True)
class LookShard:
    """Some photos in a row, and the file that their looks are kept in."""

    images: ImageSet
    result: Path
    local: bool
    features: bool

    def __str__(self) -> str:
        return f"{self.images.path(0)} .. {self.images.path(len(self.images) - 1)}"


def look_at_all(
    images: ImageSet,
    home: Path,
    *,
    local: bool,
    features: bool,
    engine: str = "plain",
    workers: int | None = None,
    shown: bool = True,
) -> list[Path]:
    """The files with the looks at all photos, in their order; those that are missing are made."""
    home.mkdir(parents=True, exist_ok=True)
    sweep(home)
    shards = [_shard(images, start, home, local, features) for start in range(0, len(images), _SHARD)]
    missing = [shard for shard in shards if not shard.result.exists()]
    told = {"workers": workers, "shown": shown, "home": home, "title": "looking, in shards"}
    for _ in map_shards(look_shard, missing, engine, **told):  # type: ignore[arg-type]
        pass
    return [shard.result for shard in shards]


def look_shard(shard: LookShard) -> Path:
    """Look at every photo of a shard, and keep what was seen; an unreadable one is kept as such."""
    if not shard.result.exists():
        with one_thread():
            looks = [look_at(shard.images, index) for index in range(len(shard.images))]
        write_atomically(shard.result, save(_packed(looks, shard)))
    return shard.result


def look_at(images: ImageSet, index: int) -> Look | None:
    """One photo of a set, or None when it cannot be read any more."""
    try:
        return look(decode(images.read(index)))
    except (OSError, Unreadable):
        return None


def assemble(shards: Sequence[Path], home: Path) -> None:
    """The arrays of all shards, each as one file that can be mapped: home/NAME.npy.

    They are readable, hashes; vectors (before centring); counts, points, descriptors, sizes, small.
    """
    lengths: Counter[str] = Counter()
    for shard in shards:
        with safe_open(shard, "numpy") as file:
            lengths.update({name: file.get_slice(name).get_shape()[0] for name in file.keys()})  # noqa: SIM118
    with ExitStack() as stack:
        whole: dict[str, np.memmap[Any, Any]] = {}
        at = Counter[str]()
        for shard in shards:
            for name, array in load_file(shard).items():
                if name not in whole:
                    path = stack.enter_context(replacing(home / f"{name}.npy"))
                    shape = lengths[name], *array.shape[1:]
                    whole[name] = np.lib.format.open_memmap(path, "w+", array.dtype, shape)
                whole[name][at[name] : at[name] + len(array)] = array
                at[name] += len(array)
        for mapped in whole.values():
            mapped.flush()


def mapped(home: Path) -> Arrays:
    """What `assemble` has written, by name."""
    return {file.stem: np.load(file, mmap_mode="r") for file in home.glob("*.npy")}


def centre(home: Path, usual: NDArray[np.float32]) -> None:
    """Take from the vectors what they have in common, and keep that beside them: home/mean.npy."""
    raw = np.load(home / "vectors.npy", mmap_mode="r")
    mean = shared_part(raw, usual)
    with replacing(home / "vectors.npy") as path:
        whole = np.lib.format.open_memmap(path, "w+", np.int8, raw.shape)
        for start in range(0, len(raw), _SHARD):
            whole[start : start + _SHARD] = centred(raw[start : start + _SHARD], mean)
        whole.flush()
    write_atomically(home / "mean.npy", partial(np.save, arr=mean))


@contextmanager
def alone(home: Path) -> Iterator[None]:
    """One process at a time makes the files of a folder, in several steps; the next one finds them made."""
    home.mkdir(parents=True, exist_ok=True)
    with open(home / "lock", "ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            console.print("another process is looking at the same photos: waiting for what it finds")
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:  # a file system without locks: go on as without one
            pass
        yield


@contextmanager
def one_thread() -> Iterator[None]:
    """Photos are small: the threads of OpenCV would only wait for each other."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _shard(images: ImageSet, start: int, home: Path, local: bool, features: bool) -> LookShard:
    part = images.take(np.arange(start, min(start + _SHARD, len(images))))
    digest = blake2b(f"{_VERSION} {local} {features} {part.fingerprint()}".encode(), digest_size=16).hexdigest()
    return LookShard(part, home / f"{digest}.safetensors", local, features)


def _packed(looks: Sequence[Look | None], shard: LookShard) -> Arrays:
    packed: Arrays = {
        "readable": np.array([seen is not None for seen in looks]),
        "hashes": np.stack([seen.hashes if seen else np.zeros(8, np.uint64) for seen in looks]),
    }
    if shard.local:
        packed["vectors"] = rounded(np.stack([_vectors(seen) for seen in looks]))
    if shard.features:
        packed |= _packed_features([seen.features if seen else None for seen in looks])
    return packed


def _vectors(seen: Look | None) -> NDArray[np.float32]:
    if seen is None:
        return np.zeros((len(COPIES), dimensions()), np.float32)
    return local_vectors(seen.features)


def _packed_features(several: Sequence[Features | None]) -> Arrays:
    there = [features or _NOTHING for features in several]
    return {
        "counts": np.array([len(features) for features in there], np.int64),
        "points": np.concatenate([features.points for features in there]),
        "descriptors": np.concatenate([features.descriptors for features in there]),
        "sizes": np.array([(features.height, features.width, features.scale) for features in there], np.float64),
        "small": np.stack([features.small for features in there]),
    }


_NOTHING = Features(
    np.zeros((0, 2), np.float32), np.zeros((0, 128), np.uint8), 1, 1, np.zeros((SMALL_SIDE, SMALL_SIDE), np.uint8)
)
