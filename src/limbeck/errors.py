"""What goes wrong, told to the user: what was found, what was expected, what to type next.

LimbeckError
├── OptionError        options that contradict each other, or have no sensible value
├── UnknownName        a name that no table knows; the nearest ones are listed
├── ImagesError        photos that cannot be found or used
├── UnsafeFile         a file that would run code, leave its root or fill the memory
├── CheckpointError    a checkpoint that is missing, foreign or does not fit
├── TeacherError       a teacher whose answers cannot teach
├── StoreError         a soft-label store that belongs to another teacher or view policy
├── RunError           a run folder in the way, or one that cannot go on
├── NonFiniteLoss      a loss that became nan or infinite
└── Interrupted        stopped by the user; everything is saved
"""

import shlex
from collections.abc import Iterable
from difflib import get_close_matches
from reprlib import Repr


class LimbeckError(Exception):
    """An error for the user, in three parts.

    >>> print(LimbeckError("12 images", expected="at least 256", hint="--batch 8"))
    12 images
      expected: at least 256
      try:      --batch 8
    """

    def __init__(self, found: str, *, expected: str = "", hint: str = "") -> None:
        self.found, self.expected, self.hint = found, expected, hint
        lines = [found]
        if expected:
            lines.append(f"  expected: {expected}")
        if hint:
            lines.append(f"  try:      {hint}")
        super().__init__("\n".join(lines))

    def __reduce__(self) -> tuple[object, ...]:
        # crosses process boundaries: pickle would otherwise call __init__ with the joined text
        return _rebuild, (type(self), self.found, self.expected, self.hint)


def _rebuild(kind: type[LimbeckError], found: str, expected: str, hint: str) -> LimbeckError:
    return kind(found, expected=expected, hint=hint)


class OptionError(LimbeckError):
    pass


class UnknownName(LimbeckError):
    pass


class ImagesError(LimbeckError):
    pass


class UnsafeFile(LimbeckError):
    pass


class CheckpointError(LimbeckError):
    pass


class TeacherError(LimbeckError):
    pass


class StoreError(LimbeckError):
    pass


class RunError(LimbeckError):
    pass


class NonFiniteLoss(LimbeckError):
    pass


class Interrupted(LimbeckError):
    told = True  # False where another process of the same run tells it


def unknown_name(
    kind: str, name: str, known: Iterable[str], *, hint: str = "", option: str = "", otherwise: str = ""
) -> UnknownName:
    """The error for a name that is not in a table, with the nearest names that are; `option` takes such names.

    `otherwise` is what is expected where no name is near.

    >>> print(unknown_name("loss", "JSS", ["js", "kl"]))
    unknown loss 'JSS'
      expected: js
    """
    names = sorted(known)
    near = nearest(name, names) or (names if len(names) <= 12 else [])
    if option and not hint:
        hint = f"{option} {(near or names)[0]}"
    return UnknownName(f"unknown {kind} '{name}'", expected=", ".join(near) or otherwise, hint=hint)


def nearest(name: str, known: Iterable[str], most: int = 5) -> list[str]:
    """The known names that are spelt most alike, whatever their case.

    >>> nearest("TensorBord", ["tensorboard", "wandb"])
    ['tensorboard']
    """
    spelt: dict[str, list[str]] = {}
    for each in known:
        spelt.setdefault(each.lower(), []).append(each)
    near = get_close_matches(name.lower(), spelt, n=most, cutoff=0.6)
    return [each for match in near for each in spelt[match]][:most]


def counted(number: int, noun: str, several: str = "") -> str:
    """A number of things as a sentence has it.

    >>> counted(1, "photo"), counted(1200, "photo"), counted(0, "class", "classes")
    ('1 photo', '1,200 photos', '0 classes')
    """
    return f"{number:,} {noun if number == 1 else several or noun + 's'}"


def shown(name: object) -> str:
    """A name out of a file, without letters that would steer a terminal or begin a line.

    >>> shown("neck\\x1b[2J"), shown("é")
    ('neck\\\\x1b[2J', 'é')
    """
    text = peek(name) if isinstance(name, tuple | frozenset) else str(name)
    return text if text.isprintable() else repr(text)[1:-1]


def peek(value: object) -> str:
    """The beginning of a value out of a file, which may hold itself, or one list a million times.

    >>> peek([1, [0.5, "a\\x1b"]]), peek(tuple(range(100))), peek({"a": object()})
    ("[1, [0.5, 'a\\\\x1b']]", '(0, 1, 2, 3, 4, 5, 6, 7, ...)', "{'a': <object>}")
    """
    return _PEEK.repr(value)


class _Peek(Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 2
        self.maxlist = self.maxtuple = self.maxdict = 8
        self.maxstring = 60

    def repr_int(self, x: int, level: int) -> str:
        return str(x) if x.bit_length() < 200 else "a very large number"  # which Python would refuse to write

    def repr_instance(self, x: object, level: int) -> str:
        return str(x) if isinstance(x, float | bool | None) else f"<{type(x).__name__}>"


_PEEK = _Peek()


def as_typed(value: object) -> str:
    """A value as the command line takes it.

    >>> as_typed((0.75, 4 / 3)), as_typed(("none",)), as_typed("my run")
    ('0.75 1.33333', 'none', "'my run'")
    """
    if isinstance(value, list | tuple):
        return " ".join(map(as_typed, value))
    if isinstance(value, float):
        return repr(value) if len(repr(value)) < 9 else f"{value:.6g}"
    return shlex.quote(str(value))
