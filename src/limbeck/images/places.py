"""Where the bytes of an image lie (a file, a stretch of an archive, a URL), and how to get them."""

import os
import struct
import zlib
from hashlib import blake2b
from typing import IO, Any, NamedTuple

import fsspec

from limbeck.errors import ImagesError
from limbeck.images.limits import MOST_BYTES

PLAIN, DEFLATED = 0, 8

_HEADER = 30  # bytes of a zip member's local header before its name
_NAME = 512  # read along with the header, so that one request is enough


class Damaged(OSError):
    """Bytes that are there, but cannot be what they claim to be."""


class Found(NamedTuple):
    """A file that may be an image. Inside an archive, `offset` of a zip member still points at its local header."""

    path: str
    container: str
    offset: int
    length: int
    size: int
    method: int
    headed: bool
    stamp: int


class Place(NamedTuple):
    """Where a manifest says that an image is; `stamp` is that of its file or archive when it was looked at."""

    path: str
    container: str
    offset: int
    length: int
    method: int
    stamp: int
    key: bytes


def is_url(location: str) -> bool:
    """Whether fsspec has to open it.

    >>> is_url("memory://photos/a.jpg"), is_url("photos/a.jpg")
    (True, False)
    """
    return "://" in location


def filesystem(url: str) -> tuple[Any, str]:
    """The filesystem of a URL, and the path in it; instances are cached by fsspec, per process."""
    try:
        return fsspec.url_to_fs(url)  # type: ignore[no-any-return]
    except ImportError as error:
        raise ImagesError(
            f"{url} cannot be opened: {error}",
            expected="the package that opens such URLs",
            hint="pip install the package named above",
        ) from None
    except ValueError as error:
        raise ImagesError(
            f"{url} cannot be opened: {error}",
            expected="a path, or a URL that fsspec knows",
            hint="download the photos first: --images FOLDER",
        ) from None


def state_of(location: str) -> tuple[int, int]:
    """Its size in bytes (0 if unknown), and a number that changes when its content does, as far as can be told."""
    if not is_url(location):
        status = os.stat(location)  # noqa: PTH116
        return status.st_size, status.st_mtime_ns
    system, path = filesystem(location)
    try:
        information = system.info(path)
    except OSError:
        raise
    except Exception as error:  # each filesystem has its own
        raise OSError(f"{type(error).__name__}: {error}") from error
    return information.get("size") or 0, stamp_of(information)


def stamp_of(information: dict[str, Any]) -> int:
    """The same number from what a remote filesystem says of a file."""
    marks = ("size", "mtime", "created", "ETag", "etag", "Last-Modified", "LastModified", "last_modified", "md5Hash")
    text = repr([str(information.get(mark)) for mark in marks])
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little", signed=True)


def open_seekable(location: str) -> IO[bytes]:
    """A binary file to seek in; of a remote one only the blocks that are touched travel."""
    if not is_url(location):
        return open(location, "rb")
    system, path = filesystem(location)
    file: IO[bytes] = system.open(path, "rb", block_size=2**18, cache_type="readahead")
    try:
        file.seek(-1, os.SEEK_END)
        file.read(1)
        file.seek(0)
    except ValueError as error:
        file.close()
        raise ImagesError(
            f"{location} cannot be read in parts: its server does not answer range requests",
            expected="a server that does, for an archive that is read in place",
            hint="download the archive first, and name the file: --images ARCHIVE",
        ) from error
    return file


def read_whole(location: str) -> bytes:
    """A whole file, refused when it is larger than an image can be."""
    if is_url(location):
        return _bounded(location) if location.startswith(("http://", "https://")) else _remote(location, None, None)
    with open(location, "rb", buffering=0) as file:
        length = os.fstat(file.fileno()).st_size
        if length > MOST_BYTES:
            raise Damaged(f"{length:,} bytes, more than an image within the pixel limit needs")
        return file.read()


def read_range(location: str, offset: int, length: int) -> bytes:
    """At most `length` bytes; fewer at the end of the file. Opens anew, so any thread or process may call it."""
    if is_url(location):
        return _remote(location, offset, offset + length)
    with open(location, "rb") as file:
        file.seek(offset)
        return file.read(length)


def _bounded(url: str) -> bytes:
    """In one request and as a stream: what a server says of a size need not be so, and not every one knows ranges."""
    system, path = filesystem(url)
    data = bytearray()
    try:
        with system.open(path, "rb", block_size=0, size=1) as stream:  # a size, so that it is not asked for
            while piece := stream.read(2**20):
                data += piece
                if len(data) > MOST_BYTES:
                    raise Damaged(f"over {MOST_BYTES:,} bytes, more than an image within the pixel limit needs")
    except OSError:
        raise
    except Exception as error:
        raise OSError(f"{url}: {type(error).__name__}: {error}") from error
    return bytes(data)


def _remote(url: str, start: int | None, end: int | None) -> bytes:
    system, path = filesystem(url)
    try:
        return system.cat_file(path, start=start, end=end)  # type: ignore[no-any-return]
    except OSError:
        raise
    except Exception as error:  # each filesystem has its own
        raise OSError(f"{url}: {type(error).__name__}: {error}") from error


def key_of(data: bytes) -> bytes:
    """What an image is known by.

    >>> key_of(b"pixels").hex()
    '7d448d65cb41c2b7821037c68e29b2db'
    """
    return blake2b(data, digest_size=16).digest()


def read_image(place: Place) -> bytes:
    """The bytes of an image of a manifest; OSError when they are gone or others.

    >>> from tempfile import mkdtemp
    >>> file = os.path.join(mkdtemp(), "photo.jpg")
    >>> with open(file, "wb") as photo:
    ...     _ = photo.write(b"pixels")
    >>> read_image(Place(file, "", 0, 6, PLAIN, 0, key_of(b"pixels")))
    b'pixels'
    >>> read_image(Place(file, "", 0, 6, PLAIN, 0, key_of(b"others")))
    Traceback (most recent call last):
    limbeck.images.places.Damaged: changed since it was listed
    """
    if place.container:
        data = _exactly(read_range(place.container, place.offset, place.length), place.length)
        data = data if place.method == PLAIN else _inflate(data, MOST_BYTES)
    else:
        data = read_whole(place.path)
    # its key, and with it every soft label, would be of other pixels; to look at the time is cheaper than to digest
    if not _looks_the_same(place, data) and key_of(data) != place.key:
        raise Damaged("changed since it was listed")
    return data


def _looks_the_same(place: Place, data: bytes) -> bool:
    if not place.container and len(data) != place.length:
        return False
    holder = place.container or place.path
    return is_url(holder) or state_of(holder)[1] == place.stamp


def read_found(found: Found) -> tuple[bytes, int]:
    """The bytes of a found file, and the offset at which they start."""
    if not found.container:
        return read_whole(found.path), 0
    if max(found.size, found.length) > MOST_BYTES:
        raise Damaged(f"declares {found.size:,} bytes, more than an image within the pixel limit needs")
    if found.headed:
        data, offset = _zip_member(found)
    else:
        data, offset = read_range(found.container, found.offset, found.length), found.offset
    data = _exactly(data, found.length)
    return (data if found.method == PLAIN else _inflate(data, found.size)), offset


def _zip_member(found: Found) -> tuple[bytes, int]:
    stretch = read_range(found.container, found.offset, _HEADER + _NAME + found.length)
    if len(stretch) < _HEADER or stretch[:4] != b"PK\3\4":
        raise Damaged("the archive is damaged here")
    name, extra = struct.unpack_from("<HH", stretch, 26)
    start = _HEADER + name + extra
    data = stretch[start : start + found.length]
    if len(data) < found.length:
        data += read_range(found.container, found.offset + start + len(data), found.length - len(data))
    return data, found.offset + start


def _exactly(data: bytes, length: int) -> bytes:
    if len(data) != length:
        raise Damaged(f"the archive holds {len(data):,} of its {length:,} bytes")
    return data


def _inflate(data: bytes, size: int) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        plain = inflater.decompress(data, size + 1)
    except zlib.error as error:
        raise Damaged(f"damaged in the archive ({error})") from None
    if len(plain) > size:
        raise Damaged(f"unpacks to more than the {size:,} bytes it declares")
    if not inflater.eof:
        raise Damaged("truncated in the archive")
    return plain
