"""Numbers as a person reads them; None is a dash."""

import math
from typing import TypeGuard

DASH = "–"


def percent(share: float | None, *, digits: int = 1) -> str:
    """A share of one.

    >>> percent(0.912), percent(0.1, digits=0), percent(None)
    ('91.2 %', '10 %', '–')
    """
    return f"{100 * share:.{digits}f} %" if _known(share) else DASH


def chance(classes: int) -> str:
    """The share that guessing gets right.

    >>> chance(10), chance(1000), chance(3)
    ('10 %', '0.1 %', '33 %')
    """
    return f"{100 / classes:.2g} %" if classes > 1 else "100 %"


def count(number: float | None) -> str:
    """A large count in three digits.

    >>> count(480), count(25_560_000), count(None)
    ('480', '25.6 M', '–')
    """
    if not _known(number):
        return DASH
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e4)):
        if number >= size:
            return f"{three_digits(number / (1000 if unit == 'k' else size))} {unit}"
    return f"{number:,.0f}"


def three_digits(number: float | None) -> str:
    """
    >>> three_digits(0.01234), three_digits(2.5), three_digits(97.54), three_digits(1234.5)
    ('0.012', '2.5', '97.5', '1,234')
    """
    if not _known(number):
        return DASH
    return f"{number:,.0f}" if abs(number) >= 100 else f"{round(number, 3 if abs(number) < 1 else 1):g}"


def thousandths(number: float) -> str:
    """
    >>> thousandths(0.1), thousandths(float("nan"))
    ('0.100', '–')
    """
    return f"{number:.3f}" if _known(number) else DASH


def times(larger: float | None, smaller: float | None, more: str, less: str, other: str = "") -> str:
    """How one number compares with another; empty where that cannot be said.

    >>> times(100, 25, "smaller", "larger"), times(1, 2, "smaller", "larger"), times(1.04, 1, "smaller", "larger")
    ('4× smaller', '2× larger', 'about the same')
    """
    if not (_known(larger) and _known(smaller) and larger > 0 and smaller > 0):
        return ""
    ratio = larger / smaller
    if 0.95 < ratio < 1.05:
        return f"about the same {other}".rstrip()
    return f"{three_digits(ratio)}× {more}" if ratio >= 1 else f"{three_digits(1 / ratio)}× {less}"


def _known(number: float | None) -> TypeGuard[float]:
    return number is not None and math.isfinite(number)
