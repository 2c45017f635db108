"""Archives read in place: an index of their members is kept in the cache, and nothing is ever extracted to a path."""

import gzip
import stat
import struct
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

import pyarrow as pa

from limbeck.console import Advance, console, progress
from limbeck.files import replacing, sweep
from limbeck.images.cache import require_space
from limbeck.images.places import DEFLATED, PLAIN, Damaged, open_seekable, state_of

ZIP, TAR, PACKED_TAR = (".zip",), (".tar",), (".tar.gz", ".tgz")

_BATCH = 4096
_CHUNK = 2**20
_MOST_GROWTH, _FREE_GROWTH = 200, 2**30  # an honest tar of tiny photos grows tenfold; a gzip bomb a thousandfold


class Member(NamedTuple):
    """One entry of an archive; `reason` says why it cannot be read, or is empty."""

    path: str
    offset: int
    length: int
    size: int
    method: int
    headed: bool
    reason: str


_SCHEMA = pa.schema(
    [
        ("path", pa.large_string()),
        ("offset", pa.int64()),
        ("length", pa.int64()),
        ("size", pa.int64()),
        ("method", pa.uint8()),
        ("headed", pa.bool_()),
        ("reason", pa.large_string()),
    ]
)


def is_archive(location: str) -> bool:
    """Whether the name is one of an archive that limbeck opens.

    >>> is_archive("photos.tar.gz"), is_archive("photo.jpg")
    (True, False)
    """
    return location.lower().endswith(ZIP + TAR + PACKED_TAR)


def open_archive(archive: str, cache: Path, *, shown: bool = True) -> tuple[str, int, Iterator[Member]]:
    """Where the bytes lie (the archive, or its unpacked tar), their stamp, and the members sorted by name."""
    if archive.lower().endswith(PACKED_TAR):
        archive = str(unpack(archive, cache, shown=shown))
    size, stamp = state_of(archive)
    index = cache / "archives" / f"{_digest(archive, size, stamp)}.arrow"
    if not index.exists():
        list_members = _zip_members if archive.lower().endswith(ZIP) else _tar_members
        with progress(f"listing {archive}", size, shown=shown) as advance, open_seekable(archive) as file:
            _keep(_told(list_members(file, size), advance), index)
    return archive, stamp, _kept(index)


def unpack(archive: str, cache: Path, *, shown: bool = True) -> Path:
    """The plain tar of a .tar.gz, made once in the cache: a gzip stream has no random access."""
    size, stamp = state_of(archive)
    name = PurePosixPath(archive).name.removesuffix(".gz").removesuffix(".tgz").removesuffix(".tar")
    target = cache / "archives" / f"{name}-{_digest(archive, size, stamp)}.tar"
    if target.exists():
        return target
    purpose = f"unpacking {archive}"
    require_space(target.parent, size, purpose)
    sweep(target.parent)
    with (
        progress(purpose, size, shown=shown) as advance,
        open_seekable(archive) as source,
        replacing(target) as temporary,
        open(temporary, "wb") as plain,
    ):
        told = 0
        for chunk in _gunzip(source):
            require_space(target.parent, len(chunk), purpose)
            plain.write(chunk)
            if plain.tell() > max(_FREE_GROWTH, _MOST_GROWTH * size):
                raise Damaged(f"unpacks to over {_MOST_GROWTH} times its size, which photos never do")
            advance(source.tell() - told)
            told = source.tell()
        plain.flush()
    if shown:
        console.print(f"unpacked {archive} ({size / 1e6:,.0f} MB) to {target} ({target.stat().st_size / 1e6:,.0f} MB)")
    return target


def _gunzip(source: IO[bytes]) -> Iterator[bytes]:
    try:
        with gzip.open(source) as stream:
            while chunk := stream.read(_CHUNK):
                yield chunk
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise Damaged(f"not a whole gzip file ({error})") from None


def _tar_members(file: IO[bytes], size: int) -> Iterator[Member]:
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            while entry := archive.next():
                archive.members.clear()  # type: ignore[attr-defined]  # it would keep every header in memory
                if not entry.isdir():
                    path = _label(entry.name)
                    length = entry.size
                    reason = _unsafe(path) or ("" if entry.isreg() and not entry.issparse() else _tar_kind(entry))
                    yield Member(path, entry.offset_data, length, length, PLAIN, False, reason)
            end = archive.offset
        file.seek(end)
        if any(file.read(tarfile.BLOCKSIZE)):
            yield _broken("damaged: the members after this point cannot be found")
    except tarfile.TarError as error:
        yield _broken(f"damaged tar file ({error})")


def _tar_kind(entry: tarfile.TarInfo) -> str:
    if entry.issym() or entry.islnk():
        return "a link inside an archive"
    return "a sparse file inside an archive" if entry.issparse() else "a device inside an archive"


def _zip_members(file: IO[bytes], size: int) -> Iterator[Member]:
    """The central directory, read as a stream: zipfile would hold an object for each member."""
    try:
        start, length, shift = _central_directory(file, size)
        file.seek(start)
        end = start + length
        position = start
        while position < end:
            record = _read(file, 46)
            if record[:4] != b"PK\1\2":
                raise Damaged("the list of members breaks off")
            name, extra, comment = struct.unpack_from("<HHH", record, 28)
            yield from _zip_member(record, _read(file, name), _read(file, extra), shift)
            _read(file, comment)
            position += 46 + name + extra + comment
    except (Damaged, struct.error) as error:
        yield _broken(f"damaged zip file ({error})")


def _zip_member(record: bytes, name: bytes, extra: bytes, shift: int) -> Iterator[Member]:
    made_by, _, flags, method = struct.unpack_from("<HHHH", record, 4)
    length, size = struct.unpack_from("<II", record, 20)
    attributes, offset = struct.unpack_from("<II", record, 38)
    path = _label(name.decode("utf-8", "surrogateescape") if flags & 0x800 else name.decode("cp437"))
    if path.endswith("/"):
        return
    size, length, offset = _zip64(extra, size, length, offset)
    reason = _unsafe(path)
    if not reason and made_by >> 8 == 3 and stat.S_ISLNK(attributes >> 16):
        reason = "a link inside an archive"
    if not reason and flags & 0x2041:
        reason = "encrypted"
    if not reason and method not in (PLAIN, DEFLATED):
        reason = f"compressed by method {method}; only stored and deflated members are read"
    yield Member(path, offset + shift, length, size, method & 0xFF, True, reason)


def _zip64(extra: bytes, *values: int) -> tuple[int, int, int]:
    wide: list[int] = []
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<HH", extra)
        if kind == 1:
            wide = list(struct.unpack_from(f"<{min(length, len(extra) - 4) // 8}Q", extra, 4))
        extra = extra[4 + length :]
    size, stored, offset = (wide.pop(0) if value == 0xFFFFFFFF and wide else value for value in values)
    return size, stored, offset


def _central_directory(file: IO[bytes], size: int) -> tuple[int, int, int]:
    """Its start and length, and what to add to every offset when something stands before the archive."""
    tail_start = max(0, size - 65_557 - 20)
    file.seek(tail_start)
    tail = file.read(size - tail_start)
    found = tail.rfind(b"PK\5\6")
    if found < 0 or len(tail) - found < 22:
        raise Damaged("it has no list of members; is it cut short?")
    length, start = struct.unpack_from("<II", tail, found + 12)
    end = tail_start + found
    if found >= 20 and tail[found - 20 : found - 16] == b"PK\6\7":
        record = struct.unpack_from("<Q", tail, found - 12)[0]
        file.seek(record)
        header = _read(file, 56)
        if header[:4] != b"PK\6\6":
            raise Damaged("its zip64 record is not where it should be")
        length, start = struct.unpack_from("<QQ", header, 40)
        end = record
    if length > end:
        raise Damaged("its list of members is longer than the file")
    return end - length, length, end - length - start


def _read(file: IO[bytes], length: int) -> bytes:
    data = file.read(length)
    if len(data) < length:
        raise Damaged("it ends too soon")
    return data


def _label(name: str) -> str:
    """The name as text; `tar c .` begins each with ./"""
    parts = name.encode("utf-8", "backslashreplace").decode().split("/")
    return "/".join(part for part in parts if part != ".")


def _unsafe(path: str) -> str:
    parts = path.replace("\\", "/").split("/")
    if parts[0] == "" or parts[0].endswith(":"):
        return "an absolute name inside an archive"
    return "a name that leaves the archive" if ".." in parts else ""


def _broken(reason: str) -> Member:
    return Member("", 0, 0, 0, PLAIN, False, reason)


def _told(listed: Iterable[Member], advance: Advance) -> Iterator[Member]:
    told = 0
    for member in listed:
        if member.offset > told:
            advance(member.offset - told)
            told = member.offset
        yield member


def _keep(listed: Iterator[Member], index: Path) -> None:
    batches = [pa.record_batch(list(map(list, zip(*rows))), schema=_SCHEMA) for rows in _batched(listed)]
    table = pa.Table.from_batches(batches, _SCHEMA).sort_by("path")
    with replacing(index) as temporary, pa.ipc.new_file(str(temporary), _SCHEMA) as writer:
        writer.write_table(table, max_chunksize=_BATCH)


def _batched(listed: Iterator[Member]) -> Iterator[list[Member]]:
    while rows := list(islice(listed, _BATCH)):
        yield rows


def _kept(index: Path) -> Iterator[Member]:
    with pa.memory_map(str(index)) as file:
        reader = pa.ipc.open_file(file)
        for number in range(reader.num_record_batches):
            batch = reader.get_batch(number)
            yield from map(Member._make, zip(*(column.to_pylist() for column in batch.columns)))


def _digest(archive: str, size: int, stamp: int) -> str:
    return blake2b(repr((archive, size, stamp)).encode(), digest_size=12).hexdigest()
