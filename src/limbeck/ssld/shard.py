"""A file of soft labels, sorted by image key and view number, memory-mapped and checksummed.

8 bytes   magic
16 bytes  blake2b of everything behind it
4 bytes   length of the header
header    json: what is in the file; padded to a multiple of 64 bytes
first     uint64 [count]: the first half of each image key
records   [count]: second half of the key, view number, label
"""

import json
import mmap
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from limbeck.files import write_atomically
from limbeck.records import SoftLabels
from limbeck.ssld.codes import Records, label_layout, pack

SUFFIX = ".labels"
PART = "part-"  # what files begin with that are made ahead of time, and then made few
DAMAGED = ".damaged"  # what is added to the name of a file that is set aside
_MAGIC = b"limbeckL"
_DIGEST = 16
_START = len(_MAGIC) + _DIGEST
PIECE = 2**20

Keys = NDArray[np.uint8]
Numbers = NDArray[Any]


class DamagedShard(Exception):
    """What is wrong with a shard."""


@dataclass(frozen=True)
class Names:
    """Image keys and view numbers, [B]: what a label is asked for by."""

    first: NDArray[np.uint64]
    second: NDArray[np.uint64]
    number: NDArray[np.uint32]

    @classmethod
    def of(cls, keys: Keys, numbers: Numbers) -> "Names":
        halves = np.ascontiguousarray(keys, np.uint8).view("<u8").reshape(-1, 2)
        return cls(halves[:, 0].copy(), halves[:, 1].copy(), np.asarray(numbers).astype(np.uint32))

    def __len__(self) -> int:
        return len(self.first)

    def __getitem__(self, rows: Any) -> "Names":
        return Names(self.first[rows], self.second[rows], self.number[rows])


@dataclass(frozen=True)
class Block:
    """Labels sorted by name, in memory or in a mapped file."""

    first: NDArray[np.uint64]
    records: Records  # second, number and the fields of the label
    mapped: mmap.mmap | None = None

    def __len__(self) -> int:
        return len(self.first)

    def __getitem__(self, rows: Any) -> "Block":
        return Block(self.first[rows], self.records[rows])

    @property
    def names(self) -> Names:
        return Names(self.first, self.records["second"], self.records["number"])

    @cached_property
    def _span(self) -> tuple[int, int]:
        numbers = self.records["number"]
        return (int(numbers.min()), int(numbers.max())) if len(self) else (0, 0)

    def may_hold(self, names: Names) -> bool:
        """Whether the view numbers meet at all: what one epoch wrote is of few of them."""
        lowest, highest = self._span
        return bool(((names.number >= lowest) & (names.number <= highest)).any())

    def find(self, names: Names) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Which of the names are here, and their rows."""
        at = np.searchsorted(self.first, names.first)
        wanted = np.flatnonzero(self.first.take(at, mode="clip") == names.first) if len(self) else at[:0]
        at = at[wanted]
        found, rows = [wanted[:0]], [at[:0]]
        seconds, numbers = self.records["second"], self.records["number"]
        while len(wanted):  # once, and again for each other view of an image in this block
            same = (seconds[at] == names.second[wanted]) & (numbers[at] == names.number[wanted])
            found.append(wanted[same])
            rows.append(at[same])
            wanted, at = wanted[~same], at[~same] + 1
            further = self.first.take(at, mode="clip") == names.first[wanted]
            further &= at < len(self)
            wanted, at = wanted[further], at[further]
        return np.concatenate(found), np.concatenate(rows)

    def release(self) -> None:
        """Give the mapped pages back, which would count as this process's memory; the system's cache keeps them."""
        if self.mapped is not None and hasattr(self.mapped, "madvise"):
            self.mapped.madvise(mmap.MADV_DONTNEED)


def layout(classes: int, keep: int) -> np.dtype[Any]:
    return np.dtype([("second", "<u8"), ("number", "<u4"), *label_layout(classes, keep)])


def block_of(keys: Keys, numbers: Numbers, labels: SoftLabels) -> Block:
    """Labels as they come."""
    names, packed = Names.of(keys, numbers), pack(labels)
    records = np.empty(len(names), layout(labels.classes, labels.log_probability.shape[1]))
    records["second"], records["number"] = names.second, names.number
    for name in packed.dtype.names or ():
        records[name] = packed[name]
    return Block(names.first, records)


def sorted_block(block: Block) -> Block:
    order = np.lexsort((block.records["number"], block.records["second"], block.first))
    return block[order]


def merge(blocks: list[Block]) -> Block:
    first = np.concatenate([block.first for block in blocks])
    return sorted_block(Block(first, np.concatenate([block.records for block in blocks])))


def shard_bytes(count: int, kind: np.dtype[Any]) -> int:
    return count * (8 + kind.itemsize)


def write_shard(folder: Path, block: Block, facts: dict[str, Any], name: str = "") -> Path:
    """One new file; without a name for its content, under one that is of no other process or machine."""
    path = folder / (name or f"{uuid.uuid4().hex}{SUFFIX}")
    write_atomically(path, lambda stream: _write(stream, block, facts))
    return path


def _write(stream: BinaryIO, block: Block, facts: dict[str, Any]) -> None:
    digest = blake2b(digest_size=_DIGEST)
    stream.write(_MAGIC + bytes(_DIGEST))
    for piece in _pieces(block, facts):
        digest.update(piece)
        stream.write(piece)
    stream.seek(len(_MAGIC))
    stream.write(digest.digest())


def _pieces(block: Block, facts: dict[str, Any]) -> Iterator[bytes | memoryview]:
    header = json.dumps({"count": len(block), **facts, "record": block.records.dtype.descr}).encode()
    header += b" " * (-(_START + 4 + len(header)) % 64)
    yield len(header).to_bytes(4, "little") + header
    for array in (block.first, block.records):
        yield np.ascontiguousarray(array).view(np.uint8).data


def open_shard(path: Path, kind: np.dtype[Any], facts: dict[str, Any], advance: Callable[[], object]) -> Block:
    """The labels of a file, after every bit of it was checked; `advance` is called for every megabyte read."""
    with path.open("rb") as stream:
        start = stream.read(_START)
        if start[: len(_MAGIC)] != _MAGIC:
            raise DamagedShard("it does not start as a file of soft labels does")
        digest = blake2b(digest_size=_DIGEST)
        while piece := stream.read(PIECE):
            digest.update(piece)
            advance()
        if digest.digest() != start[len(_MAGIC) :]:
            raise DamagedShard("its checksum does not fit its content: cut short, or bits flipped")
        stream.seek(_START)
        length = int.from_bytes(stream.read(4), "little")
        header = json.loads(stream.read(length))
        found = {key: header.get(key) for key in facts}
        if found != facts or header["record"] != json.loads(json.dumps(kind.descr)):
            raise DamagedShard(f"it belongs to another store: {found}")
        return _map(stream, header["count"], _START + 4 + length, kind)


def _map(stream: BinaryIO, count: int, offset: int, kind: np.dtype[Any]) -> Block:
    mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    if hasattr(mapped, "madvise"):
        mapped.madvise(mmap.MADV_RANDOM)  # labels are asked for in random order: read no neighbours
    first = np.frombuffer(mapped, "<u8", count, offset)
    return Block(first, np.frombuffer(mapped, kind, count, offset + 8 * count), mapped)
