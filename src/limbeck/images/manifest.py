"""The manifest: one memory-mapped Arrow table of all usable images, made shard by shard and kept in the cache."""

import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from limbeck.console import console
from limbeck.errors import ImagesError, counted
from limbeck.files import replacing, scratch, sweep
from limbeck.images.check import LISTING, MANIFEST, Shard, check_shard
from limbeck.images.mapping import map_shards
from limbeck.images.places import Found
from limbeck.images.sources import IMAGES, Search, advice, find

SKIPPED = pa.schema([("path", pa.large_string()), ("reason", pa.large_string())])

_VERSION = "2"  # another one makes every shard be checked anew
_SHARD_MEAN, _SHARD_LEAST, _SHARD_MOST = 1000, 250, 4000
_FEW = 300  # fewer are checked sooner than a worker starts
_REASONS_SHOWN = 3
_EMPTY = pa.RecordBatch.from_pylist([], schema=MANIFEST)


def build(
    sources: Sequence[str], cache: Path, *, engine: str = "plain", workers: int | None = None, shown: bool = True
) -> Path:
    """The manifest of the sources; only files that are new or changed since the last time are read."""
    home = cache / "manifests"
    for folder in home, home / "shards":
        sweep(folder)
    search = Search(cache, shown)
    with scratch(home / "listing") as listing:
        found = _watched(find(sources, search), search, shown)
        shards, count = _list_shards(found, listing, home / "shards", _roots(sources))
        search.seen.clear()  # grows with the images; done with
        left = [shard for shard in shards if not shard.result.exists()]
        if count < _FEW or any(source.startswith("memory://") for source in sources):
            workers = 0  # a memory:// filesystem lives in this process alone
        title = "checking images, in shards"
        for _ in map_shards(check_shard, left, engine, workers=workers, shown=shown, title=title, home=home):
            pass
    files = [shard.result if shard.result.exists() else shard.unsettled for shard in shards]
    manifest = home / f"{_name(files, search.skipped)}.arrow"
    if not manifest.exists():
        _assemble(files, search.skipped, manifest)
        pa.default_memory_pool().release_unused()
    _tell(manifest, count, sources, search, shown)
    return manifest


def open_manifest(path: Path) -> pa.RecordBatch:
    """The one record batch of a manifest, memory-mapped.

    >>> open_manifest(Path("photos.jpg"))
    Traceback (most recent call last):
    limbeck.errors.ImagesError: photos.jpg is not a manifest of images...
    """
    try:
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
        if reader.schema.equals(MANIFEST) and reader.num_record_batches == 1:
            return reader.get_batch(0)
        problem = "it has other columns"
    except (OSError, pa.ArrowInvalid) as error:
        problem = str(error)
    raise ImagesError(
        f"{path} is not a manifest of images: {problem}",
        expected="the manifest.arrow of a run, or a manifest from the cache",
        hint="name the photos' own folder instead: the manifest is made again",
    )


def read_skipped(manifest: Path) -> list[tuple[str, str]]:
    """The files that were passed over when the manifest was made, with their reasons."""
    beside = skipped_beside(manifest)
    if not beside.exists():
        return []
    with pa.memory_map(str(beside)) as file:
        table = pa.ipc.open_file(file).read_all()
        return list(zip(table["path"].to_pylist(), table["reason"].to_pylist()))


def skipped_beside(manifest: Path) -> Path:
    """Where a manifest's skipped files are listed.

    >>> skipped_beside(Path("run/manifest.arrow")).name
    'manifest.skipped.arrow'
    """
    return manifest.with_suffix(".skipped.arrow")


def write(path: Path, images: pa.RecordBatch, skipped: Sequence[tuple[str, str]]) -> None:
    """A manifest and, before it, its skipped files: where the manifest is, both are whole."""
    paths = [path.encode("utf-8", "backslashreplace").decode() for path, _ in skipped]
    table = pa.record_batch([paths, [reason for _, reason in skipped]], schema=SKIPPED)
    for target, batch in (skipped_beside(path), table), (path, images):
        with replacing(target) as temporary, pa.ipc.new_file(str(temporary), batch.schema) as writer:
            writer.write_batch(batch)


def _watched(found: Iterator[Found], search: Search, shown: bool) -> Iterator[Found]:
    """Shows that something goes on, and leaves out what no table can name."""
    with console.status("listing images") if shown else nullcontext() as status:
        for count, entry in enumerate(found):
            if status and count % 1000 == 0:
                status.update(f"listing images: {count:,}")
            try:
                (entry.path + entry.container).encode()
            except UnicodeEncodeError:
                search.skip(entry.path, "its name is not UTF-8")
            else:
                yield entry


def _list_shards(found: Iterator[Found], listing: Path, home: Path, roots: Sequence[str]) -> tuple[list[Shard], int]:
    """Write the files found as one record batch a shard; the contents of a shard name its result."""
    shards: list[Shard] = []
    count = 0
    with pa.ipc.new_file(str(listing), LISTING) as writer:
        for entries in _cut(found, roots):
            digest = blake2b(_VERSION.encode(), digest_size=16)
            for entry in entries:
                digest.update(repr(tuple(entry)).encode())
            result = home / f"{digest.hexdigest()}.arrow"
            shards.append(Shard(listing, len(shards), result, label(*entries[0][:2]), label(*entries[-1][:2])))
            writer.write_batch(pa.record_batch(list(map(list, zip(*entries))), schema=LISTING))
            count += len(entries)
    return shards, count


def _roots(sources: Sequence[str]) -> list[str]:
    """The folders that the sources are, or lie in."""
    paths = [Path(os.path.abspath(Path(source).expanduser())) for source in sources]  # noqa: PTH100
    return [f"{path if path.is_dir() else path.parent}/" for path in paths]


def _cut(found: Iterator[Found], roots: Sequence[str]) -> Iterator[list[Found]]:
    """Where a shard ends is decided by the paths themselves, so that a new file moves no later boundary.

    By the paths below the sources: a folder that was moved is cut where it was.
    """
    entries: list[Found] = []
    for entry in found:
        entries.append(entry)
        root = next(filter(entry.path.startswith, roots), "")
        marked = zlib.crc32(entry.path.removeprefix(root).encode()) % _SHARD_MEAN == 0
        if (marked and len(entries) >= _SHARD_LEAST) or len(entries) == _SHARD_MOST:
            yield entries
            entries = []
    if entries:
        yield entries


def _name(files: Sequence[Path], skipped: Sequence[tuple[str, str]]) -> str:
    digest = blake2b(repr(skipped).encode(), digest_size=16)
    for file in files:
        digest.update(file.read_bytes() if ".unsettled." in file.name else file.name.encode())
    return digest.hexdigest()


def _assemble(files: Sequence[Path], skipped: Sequence[tuple[str, str]], manifest: Path) -> None:
    skipped = list(skipped)
    with scratch(manifest) as stage:
        with pa.ipc.new_file(str(stage), MANIFEST) as writer:
            for file in files:
                with pa.memory_map(str(file)) as source:
                    checked = pa.ipc.open_file(source).read_all()
                    usable = pc.equal(checked["reason"], "")
                    writer.write_table(checked.filter(usable).select(MANIFEST.names))
                    skipped += map(_refusal, checked.filter(pc.invert(usable)).to_pylist())
        with pa.memory_map(str(stage)) as source:
            # one batch, so that every column is one stretch of the file that numpy can map
            images = pa.ipc.open_file(source).read_all().combine_chunks()
            write(manifest, images.to_batches()[0] if len(images) else _EMPTY, skipped)


def _refusal(row: dict[str, Any]) -> tuple[str, str]:
    return label(row["path"], row["container"]), row["reason"]


def label(path: str, container: str) -> str:
    """How an image is called in messages.

    >>> label("cats/1.jpg", "photos.zip")
    'photos.zip/cats/1.jpg'
    """
    return f"{container}/{path}" if container else path


def _tell(manifest: Path, found: int, sources: Sequence[str], search: Search, shown: bool) -> None:
    usable = open_manifest(manifest).num_rows
    skipped = read_skipped(manifest)
    ignored = ", ".join(f"{kind} {count:,}" for kind, count in search.ignored.most_common(5))
    if not usable:
        reasons = "".join(f"\n  {path}: {reason}" for path, reason in skipped[:_REASONS_SHOWN])
        beside = f"; other files: {ignored}{advice(search.ignored)}" if ignored else ""
        raise ImagesError(
            f"no usable image in {', '.join(sources)}: {counted(found, 'image file')} found, "
            f"{len(skipped):,} unreadable{beside}{reasons}",
            expected=f"images ({' '.join(kind[1:] for kind in IMAGES)}), or archives of them named one by one",
            hint="--images FOLDER_OF_PHOTOS",
        )
    if shown:
        parts = [f"{_named(sources)}: {counted(usable, 'image')}"]
        if skipped:
            path, reason = skipped[0]
            parts.append(f"{len(skipped):,} skipped, the first: {path}: {reason}")
        if ignored:
            others = counted(search.ignored.total(), "other file")
            parts.append(f"{others} left aside: {ignored}{advice(search.ignored)}")
        console.print("; ".join(parts), markup=False)


def _named(sources: Sequence[str]) -> str:
    """The first sources, as they were named.

    >>> _named(["photos", "val"]), _named(["a", "b", "c", "d"])
    ('photos, val', 'a, b and 2 more')
    """
    beyond = len(sources) - 2
    return ", ".join(sources[:2]) + f" and {beyond:,} more" if beyond > 0 else ", ".join(sources)
