"""CSV: a row an image or a box; which column is which is told by their names."""

import csv
import io
import math
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from limbeck.datasets.class_list import class_list
from limbeck.datasets.lookup import Lookup
from limbeck.datasets.records import Box, Labels, Sample, Thing, Trouble
from limbeck.datasets.splits import folder_splits, ordered, split_of
from limbeck.datasets.tree import Tree
from limbeck.images.sources import IMAGES

_IMAGE = (
    "file_name",
    "filename",
    "image_path",
    "filepath",
    "path",
    "image",
    "img",
    "file",
    "image_name",
    "image_id",
    "id",
)
_LABEL = ("label", "class", "class_name", "classname", "category", "target", "labels", "name", "species", "class_id",
          "label_id", "category_id", "breed", "wnid")  # fmt: skip
_SPLIT = ("split", "set", "subset", "data_set", "partition")
_CORNERS = (("xmin", "ymin", "xmax", "ymax"), ("x1", "y1", "x2", "y2"), ("left", "top", "right", "bottom"),
            ("x_min", "y_min", "x_max", "y_max"))  # fmt: skip
_SIDES = (("x", "y", "w", "h"), ("x", "y", "width", "height"), ("left", "top", "width", "height"))


class Columns(NamedTuple):
    """The place of each column that is understood; -1 where there is none."""

    image: int
    label: int
    split: int
    box: tuple[int, ...]
    sides: bool  # the box is left, top, width, height
    packed: int  # the box is one column of four numbers
    size: tuple[int, int]


def read(tree: Tree, lookup: Lookup) -> Labels | None:
    """The csv files of a tree that name images."""
    troubles: list[Trouble] = []
    samples: list[Sample] = []
    told: list[str] = []
    boxed = False
    for name in tree.files:
        if name.lower().endswith((".csv", ".tsv")):
            table = _rows(tree, name, troubles)
            columns = _columns(table) if table else None
            if columns is None or not _names_images(table, columns, lookup):
                continue
            boxed |= bool(columns.box) or columns.packed >= 0
            samples += _samples(tree, name, table, columns, lookup, troubles)
            label = f", classes by {table[0][columns.label]}" if columns.label >= 0 else ""
            told.append(f"{tree.inner(name)} ({len(table) - 1:,} rows{label})")
    if not samples:
        return None
    samples += _beside(tree, samples)
    task = "detection" if boxed else "classification"
    return Labels(
        "CSV",
        f"CSV: {', '.join(told[:3])}",
        task,
        samples,
        troubles=troubles,
        names=tuple(class_list(tree).classes.values()),
    )


def _rows(tree: Tree, name: str, troubles: list[Trouble]) -> list[list[str]]:
    try:
        return table_of(tree.text(name), name)
    except (csv.Error, OSError) as error:
        troubles.append(Trouble("unreadable-labels", name, f"not readable as CSV: {error}"))
        return []


def table_of(text: str, name: str) -> list[list[str]]:
    """The rows of a csv file, the names of the columns first: made up where a file begins with an image.

    >>> table_of("a.jpg;cat", "labels.csv")
    [['path', 'label'], ['a.jpg', 'cat']]
    """
    delimiter = "\t" if name.lower().endswith(".tsv") else _delimiter(text)
    rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True) if any(row)]
    if rows and any(cell.lower().endswith(IMAGES) for cell in rows[0]):
        first = next(at for at, cell in enumerate(rows[0]) if cell.lower().endswith(IMAGES))
        names = [f"column {at + 1}" for at in range(len(rows[0]))]
        names[first] = "path"
        if len(names) in (6, 7) and len(names) - first >= 6:
            names[first + 1 : first + 6] = [*_CORNERS[0], "label"]
        elif len(names) > first + 1:
            names[first + 1] = "label"
        rows.insert(0, names)
    return rows


def _delimiter(text: str) -> str:
    first = text.partition("\n")[0]
    return max(",;\t|", key=first.count)


def _columns(table: Sequence[Sequence[str]]) -> Columns | None:
    names = [_spelt(cell) for cell in table[0]]
    at = {name: place for place, name in reversed(list(enumerate(names)))}
    image = next((at[name] for name in _IMAGE if name in at), -1)
    if image < 0:
        return None
    corners = next((group for group in _CORNERS if all(name in at for name in group)), ())
    sides = next((group for group in _SIDES if all(name in at for name in group)), ()) if not corners else ()
    box = corners or sides
    size = ("height", "width") if not {"height", "width"} & set(box) and {"height", "width"} <= set(at) else ()
    return Columns(
        image,
        next((at[name] for name in _LABEL if name in at and at[name] != image), -1),
        next((at[name] for name in _SPLIT if name in at), -1),
        tuple(at[name] for name in box),
        bool(sides),
        next((at[name] for name in ("bbox", "box") if name in at), -1),
        (at[size[0]], at[size[1]]) if size else (-1, -1),
    )


def image_and_label(names: Sequence[str]) -> tuple[int, int]:
    """The columns that hold an image and its class, by their names; -1 where there is none.

    >>> image_and_label(["Species", "File Name"]), image_and_label(["a", "b"])
    ((1, 0), (-1, -1))
    """
    columns = _columns([names])
    if columns is not None:
        return columns.image, columns.label
    spelt = [_spelt(name) for name in names]
    return -1, next((spelt.index(name) for name in _LABEL if name in spelt), -1)


def split_column(names: Sequence[str]) -> int:
    """The column that tells the split, by its name; -1 where there is none.

    >>> split_column(["file", "class", "Split"]), split_column(["file", "class"])
    (2, -1)
    """
    spelt = [_spelt(name) for name in names]
    return next((spelt.index(name) for name in _SPLIT if name in spelt), -1)


def _names_images(table: Sequence[Sequence[str]], columns: Columns, lookup: Lookup) -> bool:
    """Some of the first rows lead to images, or at least speak of image files."""
    first = [row[columns.image] for row in table[1:200] if len(row) > columns.image]
    good = sum(cell.lower().endswith(IMAGES) or bool(lookup.find(cell)[0]) for cell in first)
    return good > len(first) / 2


def _samples(
    tree: Tree, name: str, table: Sequence[Sequence[str]], columns: Columns, lookup: Lookup, troubles: list[Trouble]
) -> list[Sample]:
    near, own = name.rpartition("/")[0], split_of(name.rpartition("/")[2])
    folders = folder_splits([tree.inner(image) for image in tree.images])
    rows: defaultdict[str, list[tuple[int, Sequence[str]]]] = defaultdict(list)
    for line, row in enumerate(table[1:], 2):
        if len(row) < len(table[0]):
            troubles.append(Trouble("short-rows", name, f"row {line} has {len(row)} of {len(table[0])} cells"))
        if len(row) > columns.image and row[columns.image].strip():
            rows[row[columns.image].strip()].append((line, row))
    samples: list[Sample] = []
    boxed = bool(columns.box) or columns.packed >= 0
    for written, lines in rows.items():
        found, how = lookup.find(written, near=near, split=own)
        if how == "case" or (how and "." in written.rpartition("/")[2]):
            troubles.append(Trouble("spelt-otherwise", name, f"{written} is {tree.inner(found)} on disk", found))
        first = lines[0][1]
        folder = folders.get(tree.inner(found).rpartition("/")[0], "") if found else ""
        said = filter(None, (split_of(_cell(row, columns.split)) for _, row in lines))
        splits = tuple(ordered(set(said))) or tuple(filter(None, (own or folder,)))
        labels = list(dict.fromkeys(_cell(row, columns.label) for _, row in lines))
        if not boxed and len(labels) > 1:
            what = f"{written} is {' and '.join(labels[:4])}"
            troubles.append(Trouble("several-labels", name, what, found))
        elif not boxed and len(lines) > 1:
            troubles.append(Trouble("repeated-rows", name, f"{written}, {len(lines)} times", found))
        height, width = (_number(_cell(first, place)) for place in columns.size)
        samples.append(
            Sample(
                found or written,
                found=bool(found),
                splits=splits,
                label="" if boxed else labels[0],
                things=tuple(thing for line, row in lines if (thing := _thing(row, line, columns))) if boxed else (),
                size=(int(height), int(width)) if height and width else None,
                source=name,
                labelled=columns.label < 0 or bool(labels[0]) or boxed,
            )
        )
    return samples


def _beside(tree: Tree, samples: Sequence[Sample]) -> list[Sample]:
    """Images that no row names, in the folders of those that some row does."""
    named = {sample.image for sample in samples}
    homes = {sample.image.rpartition("/")[0] for sample in samples if sample.found}
    return [
        Sample(image, labelled=False)
        for image in tree.images
        if image.rpartition("/")[0] in homes and image not in named
    ]


def _thing(row: Sequence[str], line: int, columns: Columns) -> Thing | None:
    label, place = _cell(row, columns.label), f"row {line}"
    cells = [_cell(row, at) for at in columns.box]
    if columns.packed >= 0:
        cells = _cell(row, columns.packed).strip("[]() ").replace(",", " ").split()
    if not any(cells):
        return None  # an image without objects
    numbers = [value for cell in cells if (value := _number(cell)) is not None]
    if len(numbers) != 4:
        return Thing(label, flaw=f"the box is {' '.join(cells)[:60]}", place=place)
    left, top, right, bottom = numbers
    box: Box = (
        (left, top, left + right, top + bottom) if columns.sides or columns.packed >= 0 else (left, top, right, bottom)
    )
    return Thing(label, box=box, place=place)


def _spelt(name: str) -> str:
    return name.strip().lower().replace(" ", "_")


def _cell(row: Sequence[str], place: int) -> str:
    return row[place].strip() if 0 <= place < len(row) else ""


def _number(cell: str) -> float | None:
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
