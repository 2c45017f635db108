"""The folder of a selection: whose it is, and the photos themselves where they are asked for."""

import dataclasses
import json
import os
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa

from limbeck.console import console, progress
from limbeck.errors import RunError, counted
from limbeck.files import replacing, scratch, sweep, write_atomically
from limbeck.images.imageset import ImageSet
from limbeck.images.manifest import open_manifest, read_skipped, write
from limbeck.images.places import PLAIN
from limbeck.images.sources import MANIFEST
from limbeck.runs.lock import LOCK, only_here
from limbeck.ssld.select_options import FREE, Select

OPTIONS_FILE, PHOTOS = "select.json", "photos"
_MOST_NAME = 80  # bytes of a photo's own name, so that a file system takes what is made of it
_BYTES_A_ROW = 400  # of selected.parquet and manifest.arrow together, with room to spare


@contextmanager
def selection_folder(options: Select) -> Iterator[Path]:
    """The folder of --out, held for this process: new, empty, or that of the same selection, which is made again."""
    out = Path(options.out)
    if out.exists() and not out.is_dir():
        raise RunError(f"--out {out} is a file", expected="a folder, new or empty", hint="another --out")
    refuse_inside(out, options)
    refuse_other(out, options)
    with only_here(out, "the same command again"):
        sweep(out)
        yield out


def keep_options(out: Path, options: Select) -> None:
    """What the selection is, so that another is not written over it."""
    write_atomically(out / OPTIONS_FILE, (json.dumps(told(options), indent=2) + "\n").encode())


def refuse_inside(out: Path, options: Select) -> None:
    """Raises where --out would lie among the user's photos."""
    for source in (*options.gallery, *options.exclude):
        folder = Path(source).expanduser()
        if folder.is_dir() and out.resolve().is_relative_to(folder.resolve()):
            raise RunError(
                f"--out {out} lies inside {source}, which is never written to",
                expected="a place outside of the photos",
                hint=f"--out {shlex.quote(str(folder.parent / out.name))}",
            )


def refuse_other(out: Path, options: Select) -> None:
    """Raises where --out holds another selection, or files that are no selection's."""
    try:
        kept = json.loads((out / OPTIONS_FILE).read_text())
    except (OSError, ValueError):
        kept = None
    if isinstance(kept, dict):
        now = told(options)
        other = [name for name in now if kept.get(name) != now[name]]
        if other:
            name = other[0]
            raise RunError(
                f"{out} holds another selection: its {name.replace('_', '-')} was {kept.get(name)!r}, "
                f"and is {now[name]!r} now",
                expected="a folder of its own for each selection",
                hint="another --out; what is scored already is not scored again",
            )
    elif out.is_dir() and any(path.name != LOCK and not path.name.endswith(".tmp") for path in out.iterdir()):
        raise RunError(
            f"{out} holds files that are not a selection's", expected="a new or empty folder", hint="another --out"
        )


def told(options: Select) -> dict[str, object]:
    """The options that the result depends on, as JSON keeps them; paths as they are from anywhere."""
    fields = {name: value for name, value in dataclasses.asdict(options).items() if name not in FREE}
    for name in ("gallery", "exclude"):
        fields[name] = [path if "://" in path else os.path.abspath(path) for path in fields[name]]  # noqa: PTH100
    kept: dict[str, object] = json.loads(json.dumps(fields))
    return kept


def require_room(out: Path, images: ImageSet) -> None:
    """Stop before the work where the disk cannot hold what it leads to."""
    refuse_full(out, _BYTES_A_ROW * len(images), "the list of what was decided", "another --out, on a larger disk")


def refuse_full(out: Path, size: int, what: str, hint: str) -> None:
    free = shutil.disk_usage(out).free
    if size > free:
        raise RunError(
            f"{what} takes {size / 1e6:,.1f} MB, and {out} has {free / 1e6:,.1f} MB free",
            expected="enough free disk",
            hint=hint,
        )


def materialise(images: ImageSet, out: Path, *, link: bool) -> pa.RecordBatch:
    """Copies of the photos, or links to them, in OUT/photos under names that are their own; as rows of a manifest.

    Nothing but OUT/photos is written to; what lies in an archive or behind a URL is copied.
    """
    folder = out / PHOTOS
    folder.mkdir(exist_ok=True)
    sweep(folder)
    batch = open_manifest(images.manifest)
    names = [_name(images, row) for row in range(len(images))]
    linked = _linked(batch) & link
    lengths = np.where(linked, 0, batch.column("length").to_numpy())
    missing = [row for row, name in enumerate(names) if not (folder / name).exists()]
    others = sum(1 for _ in folder.iterdir()) - (len(names) - len(missing))
    if others:
        console.print(f"{folder} holds {counted(others, 'file')} besides the photos of this selection", markup=False)
    refuse_full(out, int(lengths[missing].sum()), "copying the photos", "--link, or another --out on a larger disk")
    with progress("linking photos" if link else "copying photos", len(images)) as advance:
        for row, name in enumerate(names):
            if not (folder / name).exists():
                _place(images, row, folder / name, bool(linked[row]))
            advance()
    return _moved(batch, folder, names)


def keep_moved(images: ImageSet, batch: pa.RecordBatch, out: Path) -> None:
    """Let the manifest of a selection name the photos of its own folder."""
    write(out / MANIFEST, batch, read_skipped(images.manifest))


def _name(images: ImageSet, row: int) -> str:
    path = PurePosixPath(images.path(row).replace("\\", "/"))
    stem = path.stem.encode()[:_MOST_NAME].decode(errors="ignore")
    return f"{stem}-{images.keys[row].tobytes().hex()[:16]}{path.suffix}"


def _linked(batch: pa.RecordBatch) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which photos are files of their own on this machine."""
    return np.array(
        [
            not box and "://" not in path
            for box, path in zip(*(batch.column(n).to_pylist() for n in ("container", "path")))
        ]
    )


def _place(images: ImageSet, row: int, target: Path, link: bool) -> None:
    if link:
        with scratch(target) as temporary:
            temporary.symlink_to(images.path(row))
            os.replace(temporary, target)  # noqa: PTH105
        return
    data = images.read(row)
    with replacing(target) as temporary:
        temporary.write_bytes(data)


def _moved(batch: pa.RecordBatch, folder: Path, names: list[str]) -> pa.RecordBatch:
    files = [folder.absolute() / name for name in names]
    state = [file.stat() for file in files]
    columns = {
        "path": [str(file) for file in files],
        "container": [""] * len(files),
        "offset": [0] * len(files),
        "length": [each.st_size for each in state],
        "method": [PLAIN] * len(files),
        "stamp": [each.st_mtime_ns for each in state],
    }
    arrays = [
        pa.array(columns[field.name], field.type) if field.name in columns else batch.column(field.name)
        for field in batch.schema
    ]
    return pa.record_batch(arrays, schema=batch.schema)
