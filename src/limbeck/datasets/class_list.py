"""Lists of classes: lines of an optional number, a name and an optional colour, in any of these orders."""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import NamedTuple

from limbeck.datasets.tree import Tree

LISTS = (
    "classes.txt", "labels.txt", "names.txt", "obj.names", "label_colors.txt", "class_dict.csv", "codes.txt",
    "labelmap.txt",
)  # fmt: skip
_HEADERS = ("name", "name r g b", "id name", "index name", "index name r g b")


class ClassList(NamedTuple):
    """Names by id, ids by colour, and the file that says so; all empty where there is none."""

    classes: Mapping[int, str]
    colours: Mapping[tuple[int, int, int], int]
    where: str


def class_list(tree: Tree) -> ClassList:
    """The first list of classes of a tree."""
    for name in tree.files:
        if PurePosixPath(name).name.lower() in LISTS:
            classes, colours = _parsed(tree.text(name))
            if classes:
                return ClassList(classes, colours, tree.inner(name))
    return ClassList({}, {}, "")


def _parsed(text: str) -> tuple[dict[int, str], dict[tuple[int, int, int], int]]:
    classes: dict[int, str] = {}
    colours: dict[tuple[int, int, int], int] = {}
    for line in text.splitlines():
        words = [word for word in re.split(r"[\s,:;]+", line.partition("#")[0].strip()) if word]
        numbers = [int(word) for word in words if word.isdecimal()]
        label = " ".join(word for word in words if not word.isdecimal())
        if not label or (not classes and label.lower() in _HEADERS):
            continue
        own = numbers[0] if len(numbers) in (1, 4) and words[0].isdecimal() else len(classes)
        classes[own] = label
        if len(numbers) in (3, 4):
            red, green, blue = numbers[-3:]
            colours[red, green, blue] = own
    return classes, colours
