"""What of a file's values is plain, so that it can be written again for anybody to read."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from limbeck.checkpoints.weights import kind
from limbeck.errors import shown

_DEEPEST = 50
_PLAIN = (str, int, float, bool, type(None))


class _NotPlain(Exception):
    pass


def plain(value: Any, dropped: dict[str, str]) -> Any:
    """Tables, lists, texts, numbers and tensors as they are; entries that are something else are named and left out.

    >>> left: dict[str, str] = {}
    >>> plain({"epoch": 3, "meta": {"seed": 0, "hook": object()}}, left), left
    ({'epoch': 3, 'meta': {'seed': 0}}, {'meta.hook': 'a object'})
    """
    return _Copy(dropped).of(value, ())


class _Copy:
    """A copy of a tree whose branches may meet again, and may not lead back to where they come from."""

    def __init__(self, dropped: dict[str, str]) -> None:
        self.dropped = dropped
        self.done: dict[int, Any] = {}
        self.open: set[int] = set()

    def of(self, value: Any, path: tuple[str, ...]) -> Any:
        if type(value) in _PLAIN or isinstance(value, Tensor):
            return value
        if id(value) in self.done:
            return self.done[id(value)]
        if id(value) in self.open or len(path) > _DEEPEST:
            raise _NotPlain
        self.open.add(id(value))
        if type(value) in (dict, OrderedDict):
            found: Any = type(value)()
            self._copy_items(value, found, path)
        elif type(value) in (list, tuple):
            found = type(value)(self.of(each, (*path, str(number))) for number, each in enumerate(value))
        else:
            raise _NotPlain
        self.open.discard(id(value))
        self.done[id(value)] = found
        return found

    def _copy_items(self, value: Mapping[Any, Any], into: dict[Any, Any], path: tuple[str, ...]) -> None:
        for key, each in value.items():
            here = (*path, shown(key))
            try:
                if type(key) not in _PLAIN:
                    raise _NotPlain
                into[key] = self.of(each, here)
            except _NotPlain:
                self.dropped[".".join(here)] = kind(each)
