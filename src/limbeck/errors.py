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

from collections.abc import Iterable
from difflib import get_close_matches


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
    pass


def unknown_name(kind: str, name: str, known: Iterable[str], *, hint: str = "", option: str = "") -> UnknownName:
    """The error for a name that is not in a table, with the nearest names that are; `option` takes such names.

    >>> print(unknown_name("loss", "jss", ["js", "kl"]))
    unknown loss 'jss'
      expected: js
    """
    names = sorted(known)
    near = get_close_matches(name, names, n=5, cutoff=0.5) or (names if len(names) <= 12 else [])
    if option and not hint:
        hint = f"{option} {(near or names)[0]}"
    return UnknownName(f"unknown {kind} '{name}'", expected=", ".join(near), hint=hint)
