"""Is it really an image? The pass over every file that a manifest is made of, one shard at a time.

This module is imported in every worker, so it stays without torch until a file needs the full decoder.
"""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import simplejpeg
from PIL import Image

from limbeck.files import replacing
from limbeck.images.limits import MOST_PIXELS
from limbeck.images.places import Damaged, Found, key_of, read_found
from limbeck.images.sources import advice, reason_of

LISTING = pa.schema(
    [
        ("path", pa.large_string()),
        ("container", pa.large_string()),
        ("offset", pa.int64()),
        ("length", pa.int64()),
        ("size", pa.int64()),
        ("method", pa.uint8()),
        ("headed", pa.bool_()),
        ("stamp", pa.int64()),
    ]
)
MANIFEST = pa.schema(
    [
        ("key", pa.binary(16)),
        ("path", pa.large_string()),
        ("container", pa.large_string()),
        ("offset", pa.int64()),
        ("length", pa.int64()),
        ("method", pa.uint8()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("stamp", pa.int64()),
    ]
)
CHECKED = MANIFEST.append(pa.field("reason", pa.large_string()))

_ORIENTATION = 274
_HEIF = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1", b"avif", b"avis")
_NO_KEY = bytes(16)


class Unusable(Exception):
    """Bytes that are no image that limbeck can read, and why."""


@dataclass(frozen=True)
class Shard:
    """One record batch of a listing; `result` is the file that its outcome is kept in."""

    listing: Path
    number: int
    result: Path
    first: str
    last: str

    @property
    def unsettled(self) -> Path:
        """The outcome when files could not be read just now: looked at again the next time."""
        return self.result.with_suffix(".unsettled.arrow")

    def __str__(self) -> str:
        return f"{self.first} .. {self.last}"


def check_shard(shard: Shard) -> Path:
    """Look at every file of the shard, and keep the outcome."""
    with pa.memory_map(str(shard.listing)) as file:
        batch = pa.ipc.open_file(file).get_batch(shard.number)
        listed = list(map(Found._make, zip(*(column.to_pylist() for column in batch.columns))))
    rows, settled = [], True
    for found in listed:
        try:
            rows.append(_checked(found))
        except (Unusable, Damaged) as error:
            reason, more = str(error), advice([found.path])
            rows.append(_refused(found, reason if more in reason else reason + more))
        except OSError as error:
            rows.append(_refused(found, reason_of(error)))
            settled = False
    result = shard.result if settled else shard.unsettled
    with replacing(result) as temporary, pa.ipc.new_file(str(temporary), CHECKED) as writer:
        writer.write_batch(pa.record_batch(list(map(list, zip(*rows))), schema=CHECKED))
    return result


def measure(data: bytes) -> tuple[int, int]:
    """Height and width of an image, EXIF turned, after decoding all of it; Unusable says what is wrong.

    >>> file = BytesIO()
    >>> Image.new("L", (8, 6)).save(file, "JPEG")
    >>> measure(file.getvalue())
    (6, 8)
    """
    if not data:
        raise Unusable("empty file")
    return _jpeg(data) if data[:3] == b"\xff\xd8\xff" else _any(data)


def _checked(found: Found) -> tuple[object, ...]:
    data, offset = read_found(found)
    height, width = measure(data)
    length = found.length if found.container else len(data)
    return key_of(data), found.path, found.container, offset, length, found.method, height, width, found.stamp, ""


def _refused(found: Found, reason: str) -> tuple[object, ...]:
    return _NO_KEY, found.path, found.container, found.offset, found.length, found.method, 0, 0, found.stamp, reason


def _jpeg(data: bytes) -> tuple[int, int]:
    """An eighth of the size still reads every coefficient, so a cut or broken stream is noticed, at half the cost."""
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(data)
        if height * width > MOST_PIXELS:
            raise Unusable(f"declares {height * width:,} pixels, the limit is {MOST_PIXELS:,}")
        simplejpeg.decode_jpeg(data, "GRAY", min_height=1, min_width=1, min_factor=8)
    except ValueError:  # also raised for harmless oddities, which the full decoder judges
        return _any(data)
    return (width, height) if b"Exif\0\0" in data[:65536] and _turned(data) else (height, width)


def _any(data: bytes) -> tuple[int, int]:
    from limbeck.images.decode import Unreadable, decode

    try:
        _, height, width = decode(data).shape
    except Unreadable as error:
        kind = data[8:12] if data[4:8] == b"ftyp" else b""  # a phone may call it .jpg all the same
        raise Unusable(f"{error}{advice(['.heic']) if kind in _HEIF else ''}") from None
    return int(height), int(width)


def _turned(data: bytes) -> bool:
    try:
        with Image.open(BytesIO(data)) as image:
            return image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
    except Exception:  # damaged EXIF must not cost the photo
        return False
