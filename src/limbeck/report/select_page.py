"""The one file that shows a selection: select.html, without scripts and without a single address to fetch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from limbeck.files import write_atomically
from limbeck.report.templates import fill
from limbeck.report.words import percent

CLASSES = 40  # bars, at most: of more classes the largest and the smallest are shown
_WIDTH, _HEIGHT, _LEFT, _FOOT = 720, 220, 44, 26


@dataclass(frozen=True)
class Gate:
    """A gate: how many photos did not pass it, and how many are left after it."""

    name: str
    lost: int
    left: int


@dataclass(frozen=True)
class ClassCount:
    """How many photos the teacher saw in a class, and how many of them are kept."""

    name: str
    before: int
    after: int


@dataclass(frozen=True)
class Shot:
    """A photo on a contact sheet, as a small JPEG."""

    path: str
    jpeg: bytes
    score: float


@dataclass(frozen=True)
class Sheet:
    """Photos of one class: the best that are kept, the last that are kept, the first that are not."""

    name: str
    best: Sequence[Shot]
    worst: Sequence[Shot]
    missed: Sequence[Shot]


@dataclass(frozen=True)
class Twins:
    """Two photos that are nearly the same, side by side in one JPEG."""

    dropped: str
    stays: str
    why: str
    jpeg: bytes


@dataclass(frozen=True)
class Histogram:
    """Photos by score, in bins of one width from 0 to 1: all that were candidates, and those kept of them.

    `cuts` are the lowest, the middle and the highest of the classes' own cuts, where something was cut.
    """

    candidates: Sequence[int]
    kept: Sequence[int]
    cuts: tuple[float, float, float] | None


@dataclass(frozen=True, kw_only=True)
class SelectPage:
    """All that the page says. `commands`: pairs (what for, line to type); `settings`: pairs (option, value)."""

    title: str
    teacher: str
    files: int
    gates: Sequence[Gate]
    classes: Sequence[ClassCount]
    histogram: Histogram
    sheets: Sequence[Sheet] = ()
    twins: Sequence[Twins] = ()
    twins_in_all: int = 0
    commands: Sequence[tuple[str, str]] = ()
    settings: Sequence[tuple[str, str]] = ()

    @property
    def kept(self) -> int:
        return sum(each.after for each in self.classes)


@dataclass(frozen=True)
class Bar:
    """A rectangle of the histogram, in its own units."""

    x: float
    width: float
    y: float
    height: float
    kept_y: float
    kept_height: float
    words: str


def write_select_page(out: Path, page: SelectPage) -> Path:
    """Write `select.html` into the folder of a selection, whole or not at all."""
    path = out / "select.html"
    # a file name may hold bytes that are no text; they are shown as \udcXX
    write_atomically(path, render(page).encode("utf-8", "backslashreplace"))
    return path


def render(page: SelectPage) -> str:
    """The page as HTML.

    >>> gates, none = [Gate("kept", 0, 1)], Histogram([1], [1], None)
    >>> page = SelectPage(title="<set>", teacher="T", files=1, gates=gates, classes=[], histogram=none)
    >>> "&lt;set&gt;" in render(page), "<set>" in render(page)
    (True, False)
    """
    there = sorted((each for each in page.classes if each.before), key=lambda each: (-each.before, each.name))
    half = CLASSES // 2
    shown = there if len(there) <= CLASSES else [*there[:half], *there[-half:]]
    return fill(
        "select.html.j2",
        page=page,
        classes=shown,
        omitted=len(there) - len(shown),
        empty=len(page.classes) - len(there),
        most=max((each.before for each in there), default=1),
        bars=bars(page.histogram),
        ticks=ticks(page.histogram),
        cuts=cut_band(page.histogram),
        frame=(_WIDTH, _HEIGHT, _LEFT, _FOOT),
    )


def bars(histogram: Histogram) -> list[Bar]:
    """The bars, on a logarithmic scale: a good teacher is sure of most photos.

    >>> [bar.height > bar.kept_height > 0 for bar in bars(Histogram([10], [5], None))]
    [True]
    """
    count = len(histogram.candidates)
    wide = (_WIDTH - _LEFT) / count
    drawn = []
    for place, (all_of, kept) in enumerate(zip(histogram.candidates, histogram.kept, strict=True)):
        high, low = (_high(number, histogram) for number in (all_of, kept))
        base = _HEIGHT - _FOOT
        told = f"{place / count:.2f} to {(place + 1) / count:.2f}: {kept:,} of {all_of:,} kept"
        drawn.append(Bar(_LEFT + place * wide + 0.5, wide - 1, base - high, high, base - low, low, told))
    return drawn


def ticks(histogram: Histogram) -> list[tuple[float, str]]:
    """(y, label) of the powers of ten.

    >>> [label for _, label in ticks(Histogram([250], [5], None))]
    ['1', '10', '100']
    """
    most = max(histogram.candidates, default=0)
    powers = [10**power for power in range(len(str(most)))] if most else []
    return [(_HEIGHT - _FOOT - _high(number, histogram), f"{number:,}") for number in powers]


def cut_band(histogram: Histogram) -> tuple[float, float, float, str] | None:
    """Where the classes' cuts lie: x of the lowest, the middle and the highest, and words."""
    if histogram.cuts is None:
        return None
    low, middle, high = histogram.cuts
    at = [_LEFT + (_WIDTH - _LEFT) * value for value in histogram.cuts]
    spread = f"between {percent(low, digits=2)} and {percent(high, digits=2)}, the middle one at "
    return at[0], at[1], at[2], f"{spread if low < high else 'at '}{percent(middle, digits=2)}"


def _high(number: int, histogram: Histogram) -> float:
    most = max(histogram.candidates, default=0)
    return (_HEIGHT - _FOOT - 8) * math.log1p(number) / math.log1p(most) if number else 0.0
