"""Soft labels on disk: (image key, view number) -> what the teacher said.

A cache that is filled on a miss and shared by students, subsets and supersets of the images, and by several processes
and machines at once. Its files are mapped into memory, so that memory does not grow with it.
"""

import contextlib
import shutil
import time
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limbeck.console import console, progress
from limbeck.errors import RunError, StoreError, counted
from limbeck.records import Skipped, SoftLabels
from limbeck.ssld.codes import default_keep, encode, unpack
from limbeck.ssld.shard import (
    DAMAGED,
    PART,
    PIECE,
    SUFFIX,
    Block,
    DamagedShard,
    Keys,
    Names,
    Numbers,
    block_of,
    layout,
    merge,
    open_shard,
    shard_bytes,
    sorted_block,
    write_shard,
)
from limbeck.ssld.stamp import Stamp, read_stamp, stamped

__all__ = ["EVALUATION_VIEW", "SoftLabelStore", "check_space", "default_keep", "encode", "read_stamp"]

EVALUATION_VIEW = 2**32 - 1  # the number of the teacher's own evaluation view

_PENDING_BYTES = 2**24
_ABANDONED_SECONDS = 3600.0
_MANY = 2**16
_SAMPLED = 2**18
_SHARD_BYTES = 2**27  # every file more makes each look-up slower; two of half the size are merged in memory


class SoftLabelStore:
    """The soft labels of one teacher under one view policy.

    >>> import tempfile, torch
    >>> store = SoftLabelStore.open(tempfile.mkdtemp(), teacher="t", views="v", classes=3, keep=2, shown=False)
    >>> keys, numbers = np.arange(32, dtype=np.uint8).reshape(2, 16), np.array([0, 0])
    >>> store.add(keys[:1], numbers[:1], encode(torch.tensor([[2.0, 0.0, -1.0]]), keep=2))
    >>> labels, hit = store.look_up(keys, numbers)
    >>> hit.tolist(), labels.index[0].tolist(), labels.log_probability[0].exp().numpy().round(2)
    ([True, False], [0, 1], array([0.84, 0.11], dtype=float32))
    """

    def __init__(self, root: Path, stamp: Stamp, *, shown: bool = True) -> None:
        self.root, self.stamp, self.shown = root, stamp, shown
        self.damaged: list[Skipped] = []
        self._kind = layout(stamp.classes, stamp.keep)
        self._facts = {"format": stamp.format, "teacher": stamp.teacher, "views": stamp.views}
        self._shards: dict[str, Block] = {}
        self._pending: list[Block] = []
        self._own: list[str] = []
        self._clean()
        self.refresh()

    @classmethod
    def open(
        cls,
        root: str | Path,
        *,
        teacher: str,
        views: str,
        classes: int,
        keep: int = 0,
        about_teacher: str = "",
        about_views: str = "",
        class_names: tuple[str, ...] = (),
        extra: dict[str, Any] | None = None,
        shown: bool = True,
    ) -> "SoftLabelStore":
        """The store in a folder, made where there is none. `teacher` and `views` are fingerprints: another's store is
        refused. With `keep` 0 the store keeps as many classes as it did, a new one the default number: `stamp.keep`.
        `extra` is kept for whoever reads the stamp."""
        asked = Stamp(teacher, views, classes, min(keep, classes), about_teacher, about_views, class_names, extra or {})
        return cls(Path(root), stamped(Path(root), asked), shown=shown)

    def __len__(self) -> int:
        """Labels held; one that two processes wrote counts twice."""
        return sum(map(len, self._blocks()))

    def look_up(self, keys: Keys, numbers: Numbers) -> tuple[SoftLabels, NDArray[np.bool_]]:
        """The labels of a batch of views, and which of them are there; the other rows hold nothing of use."""
        records, hit = np.zeros(len(keys), self._kind), np.zeros(len(keys), bool)
        names = Names.of(keys, numbers)
        for rows, block, at in self._find(names):
            records[rows], hit[rows] = block.records[at], True
        self._release(names)
        return unpack(records, self.stamp.classes), hit

    def covers(self, keys: Keys, numbers: Numbers) -> bool:
        """Whether there is a label for every one of these views."""
        spans = (slice(start, start + _MANY) for start in range(0, len(keys), _MANY))
        return all(self.held(keys[span], numbers[span]).all() for span in spans)

    def missing(self, keys: Keys, views: int) -> int:
        """How many labels of these images are not there, of the views from 0 on; estimated where that is many."""
        asked = len(keys) * views
        step = max(1, asked // _SAMPLED)
        drawn = np.arange(0, asked, step)
        absent = 0
        for start in range(0, len(drawn), _MANY):
            number, row = np.divmod(drawn[start : start + _MANY], len(keys))
            absent += int((~self.held(keys[row], number)).sum())
        return min(asked, absent * step)

    def held(self, keys: Keys, numbers: Numbers) -> NDArray[np.bool_]:
        """For which of these views there is a label."""
        return self._has(Names.of(keys, numbers))

    def add(self, keys: Keys, numbers: Numbers, labels: SoftLabels) -> None:
        """Labels to keep, on disk after the next commit, which comes by itself when many wait. Those that are there
        already stay as they are."""
        assert len(keys) == len(numbers) == len(labels)
        assert labels.classes == self.stamp.classes
        assert labels.log_probability.shape[1] == self.stamp.keep
        block = block_of(keys, numbers, labels)
        _, once = np.unique(
            np.stack([block.first, block.records["second"], block.records["number"].astype(np.uint64)]),
            return_index=True,
            axis=1,
        )
        fresh = np.intersect1d(once, np.flatnonzero(~self._has(block.names)))
        if len(fresh):
            self._pending.append(sorted_block(block[fresh]))
        while len(self._pending) > 1 and _alike(*self._pending[-2:]):
            self._pending[-2:] = [merge(self._pending[-2:])]
        if self.bytes_for(sum(map(len, self._pending))) >= _PENDING_BYTES:
            self.commit()

    def commit(self) -> None:
        """Everything added is on disk after this. Where the disk is full it is still held, and nothing half-written."""
        if not self._pending:
            return
        self._own.append(self._write(merge(self._pending)))
        self._pending = []
        with contextlib.suppress(StoreError):  # no space to merge: everything is on disk all the same
            self._merge_own()

    def _merge_own(self) -> None:
        """Small files of this process become larger ones, so that a store has few."""
        self._own = [name for name in self._own if name in self._shards]
        while len(self._own) > 1:
            last = [self._shards[name] for name in self._own[-2:]]
            if not _alike(*last) or self.bytes_for(sum(map(len, last))) > _SHARD_BYTES:
                break
            written = self._write(merge(last))
            for name in self._own[-2:]:
                del self._shards[name]
                with contextlib.suppress(OSError):  # labels that are there twice do no harm
                    (self.root / name).unlink()
            self._own[-2:] = [written]

    def gather(self) -> None:
        """Make few large files of the many that were made ahead of time; what is there twice is left out."""
        parts = {name: self._shards.pop(name) for name in sorted(self._shards) if name.startswith(PART)}
        for names in _groups({name: self.bytes_for(len(block)) for name, block in parts.items()}):
            fresh = [parts[name][~self._has(parts[name].names)] for name in names]
            try:
                if any(map(len, fresh)):
                    self._write(
                        merge(fresh), f"{blake2b(' '.join(names).encode(), digest_size=16).hexdigest()}{SUFFIX}"
                    )
            except StoreError:  # no space for it: everything is on disk all the same
                self._shards |= parts
                return
            for name in names:
                del parts[name]
                with contextlib.suppress(OSError):
                    (self.root / name).unlink()

    def refresh(self) -> None:
        """See what other processes have written since."""
        there = {path.name for path in self.root.glob(f"*{SUFFIX}")}
        self._shards = {name: block for name, block in self._shards.items() if name in there}
        self._own = [name for name in self._own if name in there]
        self._take(sorted(there - set(self._shards)))

    def bytes_for(self, count: int) -> int:
        """What so many labels take on disk, but for some hundred bytes a file."""
        return shard_bytes(count, self._kind)

    def _blocks(self) -> list[Block]:
        return [*self._shards.values(), *self._pending]

    def _has(self, names: Names) -> NDArray[np.bool_]:
        held = np.zeros(len(names), bool)
        for rows, _, _ in self._find(names):
            held[rows] = True
        self._release(names)
        return held

    def _release(self, names: Names) -> None:
        for block in self._shards.values():
            if block.may_hold(names):
                block.release()

    def _find(self, names: Names) -> list[tuple[NDArray[np.int64], Block, NDArray[np.int64]]]:
        """(positions in names, block, rows in that block), each position at most once."""
        found = []
        left = np.argsort(names.first)  # neighbours lie on one page
        names = names[left]
        for block in self._blocks():
            if not len(left):
                break
            if not block.may_hold(names):
                continue
            here, rows = block.find(names)
            if len(here):
                found.append((left[here], block, rows))
                left = np.delete(left, here)
                names = names[np.delete(np.arange(len(names)), here)]
        return found

    def _write(self, block: Block, name: str = "") -> str:
        try:
            path = write_shard(self.root, block, self._facts, name)
        except RunError as full:
            raise StoreError(
                f"no space left for {counted(len(block), 'soft label')} in {self.root}",
                expected=f"{_megabytes(self.bytes_for(len(block)))}; {_megabytes(_free(self.root))} are free",
                hint="free some space and go on: the same command with --resume",
            ) from full
        self._take([path.name])
        return path.name

    def _take(self, names: list[str]) -> None:
        paths = [self.root / name for name in names]
        pieces = sum(-(-path.stat().st_size // PIECE) for path in paths if path.exists())
        with progress("checking soft labels (MB)", pieces, shown=self.shown and pieces > 256) as advance:
            for path in paths:
                try:
                    self._shards[path.name] = open_shard(path, self._kind, self._facts, advance)
                except FileNotFoundError:  # another process has merged it or set it aside
                    continue
                except DamagedShard as reason:
                    self._set_aside(path, str(reason))

    def _set_aside(self, path: Path, reason: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            path.replace(path.with_name(path.name + DAMAGED))
        self.damaged.append(Skipped(str(path), reason))
        console.print(f"soft labels in {path} are damaged and will be made again: {reason}", markup=False)

    def _clean(self) -> None:
        """Remove what killed processes left half-written."""
        for path in self.root.glob(".*.tmp"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
                    path.unlink()


def _groups(sizes: dict[str, int]) -> list[list[str]]:
    """Names of neighbours whose sizes together make a file."""
    groups: list[list[str]] = []
    room = 0
    for name, size in sizes.items():
        if size > room:
            groups.append([])
            room = _SHARD_BYTES
        groups[-1].append(name)
        room -= size
    return groups


def _alike(earlier: Block, later: Block) -> bool:
    return len(earlier) <= 2 * len(later)


def check_space(path: str | Path, needed: int) -> None:
    """Raises where a disk has no room for so many bytes.

    >>> check_space(".", 1000)
    """
    free = _free(Path(path))
    if free < needed:
        raise StoreError(
            f"soft labels in {path} take up to {_megabytes(needed)}, but {_megabytes(free)} are free",
            expected="a disk with room for them",
            hint="--store on a larger disk, a smaller --keep-top, or fewer --views",
        )


def _free(path: Path) -> int:
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
