"""Class names, and the folders that are called after them."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from typing import Any

from timm.data.imagenet_info import ImageNetInfo

from limbeck.errors import ImagesError, counted

_SUBSETS = {
    1000: "imagenet-1k",
    11221: "imagenet-21k-miil",
    11821: "imagenet-12k",
    21841: "imagenet-22k",
    21842: "imagenet-22k-ms",
    21843: "imagenet-21k-goog",
}
_SYNSET = re.compile(r"n\d{8}")


@cache
def _imagenet(classes: int) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    if classes not in _SUBSETS:
        return None
    info: Any = ImageNetInfo(_SUBSETS[classes])
    return tuple(info.label_descriptions()), tuple(info.label_names())


def imagenet_names(classes: int) -> tuple[str, ...] | None:
    """The class names of the ImageNet edition with so many classes.

    >>> imagenet_names(1000)[1], imagenet_names(10)
    ('goldfish, Carassius auratus', None)
    """
    known = _imagenet(classes)
    return known[0] if known else None


def synsets(classes: Sequence[str]) -> tuple[str, ...] | None:
    """The WordNet ids of classes that are called by ImageNet's names.

    >>> synsets(imagenet_names(1000))[1]
    'n01443537'
    """
    known = _imagenet(len(classes))
    return known[1] if known and known[0] == tuple(classes) else None


def numbered(count: int) -> tuple[str, ...]:
    """The names of classes that nobody named.

    >>> numbered(3)
    ('0', '1', '2')
    """
    return tuple(str(number) for number in range(count))


def find_classes(folders: Iterable[str], classes: Sequence[str]) -> dict[str, int]:
    """The class of every folder that is called after one: by name, WordNet id, loosely spelt name, or number.

    Where nobody named the classes and there is a folder for each, they are taken in the folders' order, as everybody
    does who trains on class folders.

    >>> find_classes(["Fire_Truck", "n01443537_x", "cat"], ["cat", "fire truck"])
    {'Fire_Truck': 1, 'cat': 0}
    >>> find_classes(["dog", "cat"], ["0", "1"])
    {'cat': 0, 'dog': 1}
    """
    names = sorted(set(folders))
    if tuple(classes) == numbered(len(names)) and not any(name.isdecimal() for name in names):
        return {name: number for number, name in enumerate(names)}
    tables = _tables(names, classes)
    found = {folder: _look_up(folder, tables) for folder in names}
    return {folder: index for folder, index in found.items() if index is not None}


def match_folders(folders: Iterable[str], classes: Sequence[str], *, otherwise: str = "") -> dict[str, int]:
    """The class of every folder; an error that lists those without one, and says what to do `otherwise`.

    >>> match_folders(["dog", "cat"], ["cat", "dog"])
    {'cat': 0, 'dog': 1}
    """
    names = sorted(set(folders))
    found = find_classes(names, classes)
    lost = [name for name in names if name not in found]
    if lost:
        near = [match for name in lost[:5] for match in get_close_matches(name, classes, n=1, cutoff=0.5)]
        proper = list(dict.fromkeys([*near, *classes]))
        raise ImagesError(
            f"{len(lost)} of {counted(len(names), 'folder')} called after no class: {_some(lost)}",
            expected=f"folders named as the {len(classes)} classes: {_some(proper)}",
            hint="rename the folders, or leave those out that are no class" + (f"; {otherwise}" if otherwise else ""),
        )
    return found


_Table = tuple[Callable[[str], str], Mapping[str, set[int]]]


def _tables(folders: Sequence[str], classes: Sequence[str]) -> list[_Table]:
    tables: list[_Table] = [(_same, _index(classes))]
    ids = synsets(classes)
    if ids:
        tables.append((_synset, _index(ids)))
    tables.append((_loose, _index([_loose(name) for name in classes])))
    tables.append((_loose, _index([_loose(name.split(",")[0]) for name in classes])))
    unnamed = tuple(classes) == numbered(len(classes))
    if all(folder.isdecimal() for folder in folders) and (unnamed or len(folders) == len(classes)):
        tables.append((_number, _index(numbered(len(classes)))))
    return tables


def _look_up(folder: str, tables: Sequence[_Table]) -> int | None:
    for spell, index in tables:
        matches = index.get(spell(folder), set())
        if len(matches) == 1:
            return next(iter(matches))
    return None


def _index(names: Sequence[str]) -> Mapping[str, set[int]]:
    index: dict[str, set[int]] = defaultdict(set)
    for number, name in enumerate(names):
        index[name].add(number)
    return index


def _same(name: str) -> str:
    return name


def _synset(name: str) -> str:
    found = _SYNSET.match(name)
    return found[0] if found else name


def _loose(name: str) -> str:
    return " ".join(re.split(r"[\s_\-]+", name.strip().casefold()))


def _number(name: str) -> str:
    return str(int(name))


def _some(names: Sequence[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
