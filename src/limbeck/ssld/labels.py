"""The classes of photos: from the folders that they lie in, or from a CSV file."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from limbeck.classification.names import find_classes, match_folders
from limbeck.console import console
from limbeck.datasets.csv_files import image_and_label, table_of
from limbeck.datasets.lookup import Lookup
from limbeck.errors import ImagesError, OptionError, as_typed, counted
from limbeck.files import write_atomically
from limbeck.images.imageset import ImageSet
from limbeck.images.places import is_url
from limbeck.ssld.options import Distill

_SHOWN = 3
_UNEVEN = 10


@dataclass(frozen=True)
class Labels:
    """Labelled photos: row i of `truth` is the class of photo i."""

    photos: ImageSet
    truth: Tensor
    classes: tuple[str, ...]

    def take(self, rows: NDArray[np.int64]) -> "Labels":
        return Labels(self.photos.take(rows), self.truth[torch.from_numpy(rows)], self.classes)

    def counts(self) -> list[int]:
        """How many photos each class has."""
        return torch.bincount(self.truth, minlength=len(self.classes)).tolist()


@dataclass(frozen=True)
class Named:
    """Labelled photos, each with the name of its class."""

    photos: ImageSet
    names: Sequence[str]

    @cached_property
    def kinds(self) -> frozenset[str]:
        return frozenset(self.names)

    def labels(self, classes: tuple[str, ...]) -> Labels:
        place = find_classes(self.kinds, classes)
        return Labels(self.photos, torch.tensor([place[name] for name in self.names]), classes)


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
        rows.writerow(["file", "class"])
        rows.writerows((found.photos.path(index), name) for index, name in enumerate(found.names))
        write_atomically(kept, text.getvalue().encode("utf-8", "surrogateescape"))


def labels_of(photos: ImageSet, classes: tuple[str, ...]) -> Labels:
    """The classes of photos whose folders are called after a model's own."""
    folders = [photos.folder(index) for index in range(len(photos))]
    position = match_folders(folders, classes)
    return Labels(photos, torch.tensor([position[folder] for folder in folders]), classes)


def tell_balance(labels: Labels) -> str:
    """The largest and the smallest class in one line, and what that may ask for."""
    counts = labels.counts()
    most, least = max(counts), min(counts)
    large, small = labels.classes[counts.index(most)], labels.classes[counts.index(least)]
    if most == least:
        return f"{counted(len(counts), 'class', 'classes')} of {counted(most, 'photo')} each"
    told = f"{counted(len(counts), 'class', 'classes')}: '{large}' has {counted(most, 'photo')}, '{small}' {least:,}"
    if least == 0 or most / least < _UNEVEN:
        return told
    return (
        f"{told}, {most / least:,.0f} times fewer: what is rare is learned last; look at its recall in report.html, "
        "and label more of it"
    )


def _by_file(images: ImageSet, options: Distill) -> Named:
    file = Path(options.labels).expanduser()
    kept = labels_file(Path(options.out))
    if options.resume and kept.exists():
        table, (image, label) = table_of(kept.read_text("utf-8", "surrogateescape"), kept.name), (0, 1)
    else:
        table = _read(file)
        image, label = _columns(table[0], options)
    homes = [str(Path(source).expanduser()) for source in options.images if not is_url(source)]
    rows = _rows_of(images, table, image, label, [*homes, str(file.parent)], file)
    if not rows:
        raise ImagesError(
            f"{file} says the class of no photo",
            expected="a row for each photo: its file, and its class",
            hint=f"{_some(table[0])} are its columns: --label-columns FILE_COLUMN CLASS_COLUMN",
        )
    chosen = np.array(sorted(rows))
    without = len(images) - len(chosen)
    if without:
        row = "has no row" if without == 1 else "have no row"
        console.print(f"{counted(without, 'photo')} {row} in {file}, and {_left(without)}", markup=False)
    return Named(images.take(chosen), [rows[index] for index in chosen.tolist()])


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


def _rows_of(
    images: ImageSet, table: list[list[str]], image: int, label: int, homes: Sequence[str], file: Path
) -> dict[int, str]:
    """The class of each photo that a row names, by its index."""
    place = {path: index for index, path in enumerate(images.paths(np.arange(len(images))).to_pylist())}
    unread = {each.path for each in images.skipped}
    lookup = Lookup([*place, *unread])
    rows: dict[int, str] = {}
    lost: list[str] = []
    torn: list[str] = []
    for row in table[1:]:
        written, name = (row[at].strip() if at < len(row) else "" for at in (image, label))
        if not written or not name:
            continue
        path = _found(lookup, written, homes, place)
        if path in unread:
            torn.append(path)
        elif not path:
            lost.append(written)
        elif rows.setdefault(place[path], name) != name:
            raise ImagesError(
                f"{file} says of {written} that it is '{rows[place[path]]}', and in another row '{name}'",
                expected="one class for each photo",
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
