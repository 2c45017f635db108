"""What pickles of weights are made of: records for what pickle would build, and why a file is refused."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from limbeck.checkpoints.unpickle import Machine

MOST_LETTERS = 1000
_MOST_AXES, _MOST_VALUES = 32, 2**48


class Refused(Exception):
    """What a file of arrays never holds."""


class Damaged(Exception):
    """The bytes are no whole pickle."""


@dataclass
class Kind:
    """A plain number type: `f4` and the order of its bytes, which numpy says afterwards."""

    code: str
    order: str = ""


@dataclass
class Array:
    """An array, empty until its state is read; its bytes are those of the file."""

    kind: Kind | None = None
    shape: tuple[int, ...] = ()
    fortran: bool = False
    content: memoryview | bytes = b""

    def numpy(self) -> np.ndarray[Any, Any]:
        """The array itself, read-only: its memory is the file."""
        if self.kind is None:
            raise Refused("it holds an array without a state")
        flat = np.frombuffer(self.content, np.dtype(self.kind.order + self.kind.code))
        return flat.reshape(self.shape, order="F" if self.fortran else "C")


@dataclass(frozen=True)
class Word:
    """A name of another module, as the file writes it."""

    name: str


@dataclass
class Thing:
    """A class or function that nobody imports, or an object of it: what the file says, and nothing that runs."""

    name: str
    args: Any = None  # None: the class itself
    state: Any = None


@dataclass(frozen=True)
class Language:
    """What files of one kind may name: words that make values, and names whose objects are passed over as `Thing`."""

    words: Mapping[str, str]
    calls: "Mapping[str, Callable[[Machine, tuple[Any, ...]], Any]]"
    harmless: re.Pattern[str] | None = None
    mappings: re.Pattern[str] | None = None  # the harmless ones that are dicts
    outside: "Callable[[Machine, Any], Any] | None" = None  # what a reference to outside of the pickle means


def is_shape(shape: object) -> bool:
    """Whether numpy can have an array of this shape, should it be empty too.

    >>> is_shape((0, 3)), is_shape((0, 2**62))
    (True, False)
    """
    if not isinstance(shape, tuple) or len(shape) > _MOST_AXES or not all(type(n) is int and n >= 0 for n in shape):
        return False
    return bool(prod(max(n, 1) for n in shape) <= _MOST_VALUES)


def plain(text: object) -> str:
    """Text; that of Python 2 is bytes."""
    if isinstance(text, memoryview | bytes):
        return bytes(text[:MOST_LETTERS]).decode("latin1")
    return text if isinstance(text, str) else ""
