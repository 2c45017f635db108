"""From what a label file calls an image to the file that is meant."""

from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property
from pathlib import PurePosixPath

Groups = dict[tuple[str, str], list[str]]  # (the folder that they lie in, what is alike), and ("", what is alike)


class Lookup:
    """The image files of a tree, found by exact name, by the end of the name, then by looser spelling.

    >>> lookup = Lookup(["set/train/a.jpg", "set/val/a.jpg", "set/val/B.JPG"])
    >>> lookup.find("a.jpg", near="set/val"), lookup.find("val/b.jpg"), lookup.find("c.jpg")
    (('set/val/a.jpg', ''), ('set/val/B.JPG', 'case'), ('', ''))
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.names = list(names)
        self._exact = set(self.names)

    def find(self, written: str, *, near: str = "", split: str = "") -> tuple[str, str]:
        """The file, and how its spelling differs ("", "case", "extension"); two empty texts where there is none.

        Of several equally good ones that in the folder `near`, then one whose path speaks of the split, is taken.
        """
        name = written.replace("\\", "/").removeprefix("./")
        for whole in (f"{near}/{name}" if near else name, name):
            if whole in self._exact:
                return whole, ""
        last = name.rpartition("/")[2]
        for how, groups, key in (
            ("", self._by_name, last),
            ("case", self._by_lower, last.lower()),
            ("extension", self._by_stem, _stem(last.lower())),
        ):
            likely = self._likely(groups, key, _parent(name))
            if likely:
                return max(likely, key=lambda each: _closeness(each, name, near, split)), how
        return "", ""

    def _likely(self, groups: Groups, key: str, parent: str) -> list[str]:
        """cats/1.jpg is not dogs/1.jpg; but /home/someone/a.jpg is the only a.jpg there is."""
        anywhere = groups.get(("", key), [])
        only = len(anywhere) == 1 and parent not in self._parents
        return anywhere if only else groups.get((parent, key), [])

    @cached_property
    def _parents(self) -> set[str]:
        return {
            part for folder in {name.rpartition("/")[0] for name in self.names} for part in folder.lower().split("/")
        }

    @cached_property
    def _by_name(self) -> Groups:
        return _grouped((name.rpartition("/")[2], name) for name in self.names)

    @cached_property
    def _by_lower(self) -> Groups:
        return _grouped((name.rpartition("/")[2].lower(), name) for name in self.names)

    @cached_property
    def _by_stem(self) -> Groups:
        return _grouped((_stem(name.rpartition("/")[2].lower()), name) for name in self.names)


def _closeness(name: str, written: str, near: str, split: str) -> tuple[int, bool, bool]:
    ends = zip(reversed(name.lower().split("/")), reversed(written.lower().split("/")))
    alike = next((depth for depth, (ours, theirs) in enumerate(ends) if ours != theirs), len(written.split("/")))
    return alike, bool(near) and name.startswith(f"{near}/"), bool(split) and split in name.lower().split("/")


def _parent(name: str) -> str:
    return name.rpartition("/")[0].rpartition("/")[2].lower()


def _stem(name: str) -> str:
    return PurePosixPath(name).stem


def _grouped(pairs: Iterable[tuple[str, str]]) -> Groups:
    groups: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for key, name in pairs:
        for parent in {"", _parent(name)}:
            groups[parent, key].append(name)
    return dict(groups)
