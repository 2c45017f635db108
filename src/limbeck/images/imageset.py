"""The photos of a run: an ordered set of images, found by a manifest on disk."""

import csv
import os
from collections.abc import Sequence
from functools import cached_property
from hashlib import blake2b
from io import StringIO
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from limbeck.files import replacing
from limbeck.images import manifest as manifests
from limbeck.images.cache import cache_root
from limbeck.images.places import Place, read_image
from limbeck.images.sources import MANIFEST
from limbeck.records import Skipped

Source = str | os.PathLike[str]

_CHUNK = 65536
_WHERE = "offset", "length", "method", "stamp"


class ImageSet:
    """An ordered set of images. What is held in memory is a mapped file and, for a part of a set, its indices.

    >>> from tempfile import mkdtemp
    >>> from PIL import Image
    >>> folder = mkdtemp()
    >>> Image.new("RGB", (8, 6)).save(f"{folder}/a.png")
    >>> images = ImageSet.open(folder, cache=mkdtemp(), shown=False)
    >>> len(images), images.size(0), images.read(0)[1:4]
    (1, (6, 8), b'PNG')
    """

    def __init__(self, manifest: Path, indices: NDArray[np.unsignedinteger[Any]] | None = None) -> None:
        self.manifest = manifest
        self._indices = indices

    @classmethod
    def open(
        cls,
        sources: Source | Sequence[Source],
        *,
        cache: Source | None = None,
        engine: str = "plain",
        workers: int | None = None,
        shown: bool = True,
    ) -> Self:
        """The images of folders, files, .txt lists, .zip/.tar/.tar.gz archives, globs, URLs and manifests.

        Made once, shard by shard, and kept in `cache`; `workers` processes look at the files (None: one a core), on
        this machine or, by another `engine`, on many.
        """
        several = [sources] if isinstance(sources, str | os.PathLike) else sources
        names = [os.fspath(source) for source in several]
        manifest = _lone_manifest(names)
        if manifest is None:
            home = Path(cache or cache_root()).absolute()
            manifest = manifests.build(names, home, engine=engine, workers=workers, shown=shown)
        images = cls(manifest)
        assert len(images) > 0
        return images

    def __len__(self) -> int:
        return self._table.num_rows if self._indices is None else len(self._indices)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.manifest, self._indices)

    @cached_property
    def keys(self) -> NDArray[np.uint8]:
        """The digest of each image's bytes: uint8 [n, 16]; of a whole set a view of the file, not a copy."""
        return self._all_keys if self._indices is None else self._all_keys[self._indices]

    def path(self, index: int) -> str:
        """The file, or archive/member."""
        row = self._row(index)
        return manifests.label(self._text("path", row), self._text("container", row))

    def paths(self, indices: ArrayLike) -> pa.LargeStringArray:
        """`path` of many images: an Arrow array, made without an object for each."""
        rows = pa.array(self.take(indices)._indices)
        path, container = (self._table.column(name).take(rows) for name in ("path", "container"))
        inside = pc.binary_join_element_wise(container, path, pa.scalar("/", pa.large_string()))
        return pc.if_else(pc.equal(container, ""), path, inside)

    def folder(self, index: int) -> str:
        """The name of the folder that the image lies in: a class label, perhaps."""
        return self.path(index).rpartition("/")[0].rpartition("/")[2]

    def read(self, index: int) -> bytes:
        """The bytes of the image, for any thread or process; OSError when they are gone or others."""
        row = self._row(index)
        offset, length, method, stamp = (int(self._numbers[name][row]) for name in _WHERE)
        path, container = self._text("path", row), self._text("container", row)
        return read_image(Place(path, container, offset, length, method, stamp, self._all_keys[row].tobytes()))

    def size(self, index: int) -> tuple[int, int]:
        """Height and width, EXIF turned."""
        row = self._row(index)
        return int(self._numbers["height"][row]), int(self._numbers["width"][row])

    def tall(self) -> NDArray[np.bool_]:
        """Which images are higher than wide, EXIF turned: [n]."""
        higher: NDArray[np.bool_] = np.asarray(self._numbers["height"] > self._numbers["width"])
        return higher if self._indices is None else higher[self._indices]

    def take(self, indices: ArrayLike) -> Self:
        """The images at these indices, in this order.

        >>> ImageSet(Path("unread.arrow"), np.arange(5, 9, dtype=np.uint32)).take([2, 0])._indices.tolist()
        [7, 5]
        """
        chosen: NDArray[Any] = np.asarray(indices, dtype=np.int64)
        if self._indices is not None:
            chosen = self._indices[chosen]
        elif ((chosen < 0) | (chosen >= len(self))).any():
            raise IndexError(f"images are numbered 0 to {len(self) - 1:,}")
        small = chosen.size == 0 or int(chosen.max()) < 2**32
        return type(self)(self.manifest, chosen.astype(np.uint32 if small else np.uint64))

    def beside(self, other: Self, cache: Source | None = None) -> Self:
        """These images, then another set's, as one; what lists them is kept in `cache`."""
        digest = blake2b(f"{self.fingerprint()} {other.fingerprint()}".encode(), digest_size=16)
        both = pa.Table.from_batches([self._rows, other._rows]).combine_chunks().to_batches()
        path = Path(cache or cache_root()).absolute() / "beside" / f"{digest.hexdigest()}.arrow"
        skipped = [*manifests.read_skipped(self.manifest), *manifests.read_skipped(other.manifest)]
        manifests.write(path, both[0], skipped)
        return type(self)(path)

    def fingerprint(self) -> str:
        """A digest of which images these are, and in which order."""
        digest = blake2b(digest_size=16)
        for start in range(0, len(self), _CHUNK):
            digest.update(np.ascontiguousarray(self.keys[start : start + _CHUNK]).data)
        return digest.hexdigest()

    @property
    def skipped(self) -> list[Skipped]:
        """The files that are no usable images, and why."""
        return [Skipped(path, reason) for path, reason in manifests.read_skipped(self.manifest)]

    def write_skipped(self, path: Source) -> None:
        """The skipped files as a .csv with the columns path and reason."""
        text = StringIO(newline="")
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(["path", "reason"])
        rows.writerows(manifests.read_skipped(self.manifest))
        with replacing(Path(path)) as temporary:
            temporary.write_text(text.getvalue(), encoding="utf-8", newline="")

    def save(self, path: Source) -> None:
        """This set as a manifest of its own, with its skipped files beside it, wherever the run wants to keep it."""
        manifests.write(Path(path), self._rows, manifests.read_skipped(self.manifest))

    @cached_property
    def _table(self) -> pa.RecordBatch:
        return manifests.open_manifest(self.manifest)

    @property
    def _rows(self) -> pa.RecordBatch:
        return self._table if self._indices is None else self._table.take(pa.array(self._indices))

    @cached_property
    def _all_keys(self) -> NDArray[np.uint8]:
        column = self._table.column("key")
        raw = np.frombuffer(column.buffers()[1], np.uint8)
        return raw[16 * column.offset : 16 * (column.offset + len(column))].reshape(-1, 16)

    @cached_property
    def _numbers(self) -> dict[str, NDArray[Any]]:
        return {name: self._table.column(name).to_numpy() for name in (*_WHERE, "height", "width")}

    def _text(self, column: str, row: int) -> str:
        return str(self._table.column(column)[row].as_py())

    def _row(self, index: int) -> int:
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} of {len(self):,}")
        return index if self._indices is None else int(self._indices[index])


def _lone_manifest(sources: Sequence[str]) -> Path | None:
    if len(sources) != 1 or "://" in sources[0]:
        return None
    path = Path(sources[0]).expanduser().absolute()
    if (path / MANIFEST).is_file():
        return path / MANIFEST
    return path if path.suffix == ".arrow" and path.is_file() else None
