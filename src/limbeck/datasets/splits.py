"""train, val and test, from the names that people give to folders and files."""

import re
from collections import defaultdict
from collections.abc import Iterable

_WORDS = {
    "train": "train", "training": "train", "trn": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val", "eval": "val",
    "test": "test", "testing": "test", "tst": "test",
}  # fmt: skip
_SPLIT = re.compile(
    rf"(?:^|[^a-z])({'|'.join(sorted(_WORDS, key=len, reverse=True))})"
    r"(?:annot|annotations|set|images|img|labels|masks)?(?:[^a-z]|$)"
)
BESIDE = {"annotations", "annotations_coco", "labels", "masks", "annots"}


def split_of(name: str) -> str:
    """The split that a name speaks of, or nothing.

    >>> split_of("instances_val2017.json"), split_of("trainannot"), split_of("trainval"), split_of("trains")
    ('val', 'train', '', '')
    """
    found = _SPLIT.search(name.lower())
    return _WORDS[found[1]] if found else ""


def ordered(splits: Iterable[str]) -> list[str]:
    """In the order in which they are used.

    >>> ordered({"test", "val", "train"})
    ['train', 'val', 'test']
    """
    return sorted(splits, key=lambda split: (("train", "val", "test", split).index(split), split))


def folder_splits(names: Iterable[str]) -> dict[str, str]:
    """The split of each folder of these files, by the topmost of its folders that is called after one.

    A class called train, beside bus and car, is none.

    >>> folder_splits(["train/cat/1.jpg", "val/cat/2.jpg"])
    {'train/cat': 'train', 'val/cat': 'val'}
    >>> folder_splits(["bus/1.jpg", "car/1.jpg", "train/1.jpg"])
    {'bus': '', 'car': '', 'train': ''}
    """
    folders = sorted({name.rpartition("/")[0] for name in names})
    children: defaultdict[str, set[str]] = defaultdict(set)
    for folder in folders:
        parts = folder.split("/")
        for depth, part in enumerate(parts):
            children["/".join(parts[:depth])].add(part)
    marked = {parent for parent, names in children.items() if _is_level(names)}
    return {folder: _of_folder(folder, marked) for folder in folders}


def _is_level(names: set[str]) -> bool:
    splits = {name: split_of(name) for name in names if name.lower() not in BESIDE}
    return len(set(filter(None, splits.values()))) > 1 or (bool(splits) and all(splits.values()))


def _of_folder(folder: str, marked: set[str]) -> str:
    parts = folder.split("/")
    for depth, part in enumerate(parts):
        if "/".join(parts[:depth]) in marked and split_of(part):
            return split_of(part)
    return ""
