"""What the bytes of every image say: format, mode, turn, transparency, blankness, and the values of masks.

One look at each image, shard by shard through `map_shards`; a shard's outcome is a file in the cache.
"""

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from limbeck.files import replacing, sweep
from limbeck.images.imageset import ImageSet
from limbeck.images.limits import MOST_PIXELS
from limbeck.images.mapping import map_shards

NO_ALPHA, OPAQUE, SEE_THROUGH = range(3)
MOST_VALUES = 256  # different values that are kept of a mask

_VERSION = "1"
_SHARD = 500
_FEW = 300  # images; fewer are looked at sooner than a worker starts
_ORIENTATION = 274
_BLANK = 2  # levels between the darkest and the lightest pixel that no eye sees
_SCHEMA = pa.schema(
    [
        ("format", pa.string()),
        ("mode", pa.string()),
        ("orientation", pa.uint8()),
        ("alpha", pa.uint8()),
        ("frames", pa.int32()),
        ("blank", pa.bool_()),
        ("coloured", pa.bool_()),
        ("values", pa.list_(pa.int64())),
        ("counts", pa.list_(pa.int64())),
    ]
)
_UNSEEN: dict[str, Any] = {
    "format": "",
    "mode": "",
    "orientation": 1,
    "alpha": NO_ALPHA,
    "frames": 1,
    "blank": False,
    "coloured": False,
}


@dataclass(frozen=True)
class Shard:
    """Some images, which of them are masks, and the file for what is seen."""

    images: ImageSet
    masks: tuple[bool, ...]
    result: Path

    def __str__(self) -> str:
        return f"{self.images.path(0)} .. {self.images.path(len(self.images) - 1)}"


@dataclass(frozen=True)
class Survey:
    """One entry an image, in the order of the set; `values` and `counts` are of masks only.

    A coloured mask's value is red * 65536 + green * 256 + blue.
    """

    format: list[str]
    mode: list[str]
    orientation: NDArray[np.uint8]
    alpha: NDArray[np.uint8]
    frames: NDArray[np.int32]
    blank: NDArray[np.bool_]
    coloured: NDArray[np.bool_]
    values: list[list[int] | None]
    counts: list[list[int] | None]


def survey(
    images: ImageSet,
    masks: NDArray[np.bool_],
    home: Path,
    *,
    engine: str = "plain",
    workers: int | None = None,
    shown: bool = True,
) -> Survey:
    """Look at every image once; what was seen before is not read again."""
    sweep(home)
    shards = []
    for start in range(0, len(images), _SHARD):
        stop = min(start + _SHARD, len(images))
        part, of_masks = images.take(np.arange(start, stop)), masks[start:stop]
        digest = blake2b(_VERSION.encode() + part.keys.tobytes() + of_masks.tobytes(), digest_size=16).hexdigest()
        shards.append(Shard(part, tuple(map(bool, of_masks)), home / f"{digest}.arrow"))
    left = [shard for shard in shards if not shard.result.exists()]
    few = len(left) * _SHARD < _FEW or len(images) < _FEW
    title = "looking closer, in shards"
    new = zip(left, map_shards(look_at, left, engine, workers=0 if few else workers, shown=shown, title=title))
    results = {shard.result: result for shard, result in new}
    tables = []
    for shard in shards:
        with pa.memory_map(str(results.get(shard.result, shard.result))) as file:
            tables.append(pa.ipc.open_file(file).read_all())
    table = pa.concat_tables(tables) if tables else _SCHEMA.empty_table()
    columns: dict[str, Any] = {name: table.column(name) for name in _SCHEMA.names}
    texts = {name: columns[name].to_pylist() for name in ("format", "mode", "values", "counts")}
    numbers = {name: columns[name].to_numpy() for name in ("orientation", "alpha", "frames", "blank", "coloured")}
    return Survey(**texts, **numbers)


def look_at(shard: Shard) -> Path:
    """See every image of a shard, and keep what was seen."""
    rows, settled = [], True
    for index, mask in enumerate(shard.masks):
        try:
            data = shard.images.read(index)
        except OSError:  # gone since it was listed: looked at again the next time
            rows.append(_UNSEEN)
            settled = False
            continue
        try:
            rows.append(_seen(data, mask))
        except Exception:  # of a kind that Pillow knows too little of; the pass that made the manifest could read it
            rows.append(_UNSEEN)
    result = shard.result if settled else shard.result.with_suffix(".unsettled.arrow")
    with replacing(result) as temporary, pa.ipc.new_file(str(temporary), _SCHEMA) as writer:
        writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=_SCHEMA))
    return result


def _seen(data: bytes, mask: bool) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = Image.open(io.BytesIO(data))
        if image.width * image.height > MOST_PIXELS:
            raise ValueError("too large")
        seen: dict[str, Any] = {
            "format": image.format or "",
            "mode": image.mode,
            "orientation": _orientation(image),
            "alpha": _alpha(image),
            "frames": getattr(image, "n_frames", 1),
            "blank": not mask and _blank(image, data),
            "coloured": False,
            "values": None,
            "counts": None,
        }
        return seen | _histogram(image) if mask else seen


def _orientation(image: Image.Image) -> int:
    try:
        turn = int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged EXIF must not cost the photo
        return 1
    return turn if 1 <= turn <= 8 else 1


def _alpha(image: Image.Image) -> int:
    if "A" not in image.getbands() and "transparency" not in image.info:
        return NO_ALPHA
    least = image.convert("RGBA").getchannel("A").getextrema()[0]
    return OPAQUE if least == 255 else SEE_THROUGH


def _blank(image: Image.Image, data: bytes) -> bool:
    if image.format == "JPEG" and image.mode in ("RGB", "L"):
        try:
            pixels = simplejpeg.decode_jpeg(data, "RGB", min_height=1, min_width=1, min_factor=8)
            return bool((np.ptp(pixels.reshape(-1, 3), axis=0) <= _BLANK).all())
        except ValueError:
            pass
    extrema: Any = image.convert("RGB").getextrema() if image.mode in ("P", "CMYK", "YCbCr") else image.getextrema()
    pairs = extrema if isinstance(extrema[0], tuple) else (extrema,)
    bands = [pair for pair, band in zip(pairs, image.getbands()) if band != "A"] or list(pairs)
    return all(high - low <= _BLANK for low, high in bands)


def _histogram(image: Image.Image) -> dict[str, Any]:
    """Values and how many pixels have each; a palette's numbers, not its colours, are the classes."""
    coloured = image.mode in ("RGB", "RGBA", "CMYK", "YCbCr")
    if coloured:
        pixels = np.asarray(image.convert("RGB")).astype(np.int64)
        flat = (pixels[..., 0] << 16 | pixels[..., 1] << 8 | pixels[..., 2]).ravel()
        if ((flat >> 16 == flat >> 8 & 255) & (flat & 255 == flat >> 8 & 255)).all():
            flat, coloured = flat & 255, False  # grey, stored in colour
    else:
        flat = np.asarray(image.getchannel(0) if image.mode in ("LA", "PA") else image).astype(np.int64).ravel()
    values, counts = np.unique(flat, return_counts=True)
    most: Sequence[int] = np.argsort(-counts, kind="stable")[:MOST_VALUES].tolist()
    return {"coloured": coloured, "values": values[most].tolist(), "counts": counts[most].tolist()}
