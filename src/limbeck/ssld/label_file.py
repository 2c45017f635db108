"""The classes of photos: from the folders that they lie in, or from a CSV file."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from limbeck.console import console
from limbeck.datasets.csv_files import image_and_label, split_column, table_of
from limbeck.datasets.lookup import Lookup
from limbeck.datasets.splits import split_of
from limbeck.errors import ImagesError, OptionError, as_typed, counted
from limbeck.files import write_atomically
from limbeck.images.imageset import ImageSet
from limbeck.images.places import is_url
from limbeck.ssld.labels import Named
from limbeck.ssld.options import Distill

_SHOWN = 3


class _Columns(NamedTuple):
    """The places of the file, the class and the split; -1 where the rows tell no splits."""

    image: int
    label: int
    split: int


class _Row(NamedTuple):
    name: str
    split: str  # train, val or test


def labels_file(run: Path) -> Path:
    """The classes that a run began with, where they came from a file."""
    return run / "last" / "labels.csv"


def named_photos(images: ImageSet, options: Distill) -> Named:
    """The photos whose class is known, by --labels or else by the folders that they lie in."""
    if options.labels:
        found = _by_file(images, options)
    else:
        found = Named(images, [images.folder(index) for index in range(len(images))])
    if len(found.kinds) < 2:
        where = f"in {options.labels}" if options.labels else "in one folder"
        raise ImagesError(
            f"{counted(len(found.photos), 'photo')} {where}, of one class, '{min(found.kinds, default='')}'",
            expected="two classes or more: a folder for each (PHOTOS/cat, PHOTOS/dog), or a CSV file that names them",
            hint="limbeck finetune MODEL --images PHOTOS --labels FILE.csv; without labels, limbeck distill",
        )
    return found


def keep_labels(found: Named, options: Distill) -> None:
    """Keep what a CSV file said: it may change or go before the run goes on."""
    kept = labels_file(Path(options.out))
    if options.labels and not kept.exists():
        text = io.StringIO(newline="")
        rows = csv.writer(text, lineterminator="\n")
        held = np.zeros(len(found.names), bool) if found.held is None else found.held
        rows.writerow(["file", "class", "split"])
        splits = ("val" if kept_out else "train" for kept_out in held)
        paths = map(found.photos.path, range(len(found.names)))
        rows.writerows(zip(paths, found.names, splits, strict=True))
        write_atomically(kept, text.getvalue().encode("utf-8", "surrogateescape"))


def _by_file(images: ImageSet, options: Distill) -> Named:
    file = Path(options.labels).expanduser()
    kept = labels_file(Path(options.out))
    if options.resume and kept.exists():
        table = table_of(kept.read_text("utf-8", "surrogateescape"), kept.name)
        columns = _Columns(0, 1, 2 if len(table[0]) > 2 else -1)
    else:
        table = _read(file)
        columns = _Columns(*_columns(table[0], options), _split_column(table, options))
    homes = [str(Path(source).expanduser()) for source in options.images if not is_url(source)]
    rows = _rows_of(images, table, columns, [*homes, str(file.parent)], file)
    if not rows:
        raise ImagesError(
            f"{file} says the class of no photo",
            expected="a row for each photo: its file, and its class",
            hint=f"{_some(table[0])} are its columns: --label-columns FILE_COLUMN CLASS_COLUMN",
        )
    without = len(images) - len(rows)
    if without:
        row = "has no row" if without == 1 else "have no row"
        console.print(f"{counted(without, 'photo')} {row} in {file}, and {_left(without)}", markup=False)
    tested = [index for index, row in rows.items() if row.split == "test"]
    if tested:
        what = counted(len(tested), "photo")
        console.print(f"{what} of the split 'test' in {file} {_left(len(tested))}", markup=False)
    chosen = np.array(sorted(set(rows) - set(tested)), np.int64)
    held = np.array([rows[index].split == "val" for index in chosen.tolist()])
    return Named(images.take(chosen), [rows[index].name for index in chosen.tolist()], held if held.any() else None)


def _left(count: int) -> str:
    return "is left out" if count == 1 else "are left out"


def _read(file: Path) -> list[list[str]]:
    try:
        table = table_of(file.read_text("utf-8-sig", "replace"), file.name)
    except (OSError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ImagesError(
            f"--labels {file} cannot be read: {reason}",
            expected="a CSV file with a row for each photo: its file, and its class",
            hint="--labels FILE.csv, or leave it out where the photos lie in class folders",
        ) from error
    if not table:
        raise ImagesError(
            f"--labels {file} is empty", expected="a row for each photo", hint="file,class in its first row"
        )
    return table


def _columns(names: Sequence[str], options: Distill) -> tuple[int, int]:
    """The columns of the file and of the class: those that --label-columns names, else the usual names."""
    found = ", ".join(names)
    if options.label_columns:
        spelt = [name.strip().lower() for name in names]
        places = [spelt.index(name.lower()) if name.lower() in spelt else -1 for name in options.label_columns]
        missing = [name for name, place in zip(options.label_columns, places, strict=True) if place < 0]
        if missing:
            raise OptionError(
                f"{options.labels} has no column {' and none '.join(missing)}",
                expected=f"two of its columns: {found}",
                hint=f"--label-columns {as_typed(names[:2])}",
            )
        return places[0], places[1]
    image, label = image_and_label(names)
    if image < 0 or label < 0:
        lost = [what for what, place in (("the file", image), ("the class", label)) if place < 0]
        raise ImagesError(
            f"{options.labels} has the columns {found}; none is known to hold {' or '.join(lost)}",
            expected="columns called file (or path, filename, image) and class (or label, category, species)",
            hint=f"--label-columns FILE_COLUMN CLASS_COLUMN, for instance --label-columns {as_typed(names[:2])}",
        )
    return image, label


def _split_column(table: list[list[str]], options: Distill) -> int:
    """The column that says train, val or test; one of another meaning (set 1, set 2) is left aside."""
    place = split_column(table[0])
    if place < 0:
        return -1
    said = sorted({row[place].strip() for row in table[1:] if place < len(row)} - {""})
    strange = [word for word in said if not split_of(word)]
    if len(strange) == len(said):
        return -1
    if strange:
        raise ImagesError(
            f"{options.labels} has {_some(strange)} in its column {table[0][place]}",
            expected="train, val or test, as in its other rows",
            hint="another name for the column, where it tells no splits",
        )
    return place


def _rows_of(
    images: ImageSet, table: list[list[str]], columns: _Columns, homes: Sequence[str], file: Path
) -> dict[int, _Row]:
    """The class and the split of each photo that a row names, by its index."""
    place = {path: index for index, path in enumerate(images.paths(np.arange(len(images))).to_pylist())}
    unread = {each.path for each in images.skipped}
    lookup = Lookup([*place, *unread])
    rows: dict[int, _Row] = {}
    lost: list[str] = []
    torn: list[str] = []
    for row in table[1:]:
        written, name, split = (row[at].strip() if 0 <= at < len(row) else "" for at in columns)
        if not written or not name:
            continue
        path = _found(lookup, written, homes, place)
        if path in unread:
            torn.append(path)
        elif not path:
            lost.append(written)
        elif (first := rows.setdefault(place[path], said := _Row(name, split_of(split) or "train"))) != said:
            one, other = (first.split, said.split) if first.name == name else (first.name, name)
            raise ImagesError(
                f"{file} says of {written} that it is '{one}', and in another row '{other}'",
                expected="one class for each photo, and one split",
                hint="take one of the rows away; limbeck doctor FOLDER lists all such rows",
            )
    if lost:
        raise _missing(lost, len(table) - 1, file, homes)
    if torn:
        console.print(f"{counted(len(torn), 'labelled photo')} cannot be read, and {_left(len(torn))}", markup=False)
    return rows


def _found(lookup: Lookup, written: str, homes: Sequence[str], place: dict[str, int]) -> str:
    name = written.replace("\\", "/").removeprefix("./")
    exact = next((whole for home in homes if (whole := f"{home}/{name}") in place), "")
    return exact or lookup.find(written, near=homes[0])[0]


def _missing(lost: Sequence[str], rows: int, file: Path, homes: Sequence[str]) -> ImagesError:
    names = "names a photo that is" if len(lost) == 1 else "name photos that are"
    return ImagesError(
        f"{len(lost):,} of the {counted(rows, 'row')} of {file} {names} not among --images: {_some(lost)}",
        expected=f"files below {' or '.join(homes[:-1]) or 'the folder of --images'}, named as from there",
        hint="--images with the folder that these names begin in, or a CSV file without these rows",
    )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
