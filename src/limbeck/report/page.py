"""The one file that shows a run: report.html, without scripts and without a single address to fetch."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from limbeck.files import write_atomically
from limbeck.records import Skipped
from limbeck.report import words
from limbeck.report.curves import curves
from limbeck.report.history import series
from limbeck.report.interval import FEW
from limbeck.report.labelled import TABLE, Labelled, class_rows, matrix, pairs
from limbeck.report.templates import fill
from limbeck.report.verdict import labelled_verdict, verdict

PHOTOS = 48
SKIPPED = 100
Answers = Sequence[tuple[str, float]]


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """What is known of a model; None where it is not."""

    name: str
    parameters: int | None = None
    megabytes: float | None = None
    images_per_second: float | None = None
    top1: float | None = None
    top1_note: str = ""
    licence: str | None = None
    input_size: tuple[int, int] | None = None


@dataclass(frozen=True)
class HeldOut:
    """A photo that was not trained on, as a small JPEG, with both models' top answers (name, probability)."""

    path: str
    thumbnail: bytes
    teacher: Answers
    student: Answers
    divergence: float
    truth: str | None = None

    @property
    def agrees(self) -> bool:
        return bool(self.teacher and self.student) and self.teacher[0][0] == self.student[0][0]


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A row of the comparison: one way to get a model, and what came of it."""

    name: str
    top1: float | None = None
    agreement: float | None = None
    parameters: int | None = None
    megabytes: float | None = None
    images_per_second: float | None = None
    highlighted: bool = False


@dataclass(frozen=True, kw_only=True)
class Unfinished:
    """Where a run stands that is not done, `written` at this time; `stopped` says why it does not go on."""

    done: int
    steps: int
    resume: str
    written: str
    stopped: str = ""


@dataclass(frozen=True, kw_only=True)
class Page:
    """All that the page says.

    `history`: the records of metrics.jsonl; `commands`: pairs (what for, line to type); `held`: how many photos are
    held out, None where that is not known.
    """

    title: str
    classes: int
    student: ModelFacts
    teacher: ModelFacts | None = None
    history: Sequence[Mapping[str, Any]] = ()
    unfinished: Unfinished | None = None
    held: int | None = None
    held_out: Sequence[HeldOut] = ()
    agreeing: tuple[int, int] | None = None  # of all held-out photos, where more were asked than are shown
    skipped: Sequence[Skipped] = ()
    replaced: int = 0
    labelled: Labelled | None = None
    kind: str = "distillation"
    comparison: Sequence[Compared] = ()
    commands: Sequence[tuple[str, str]] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Tile:
    """A number worth a glance."""

    label: str
    value: str
    note: str


def write_report(run: Path, page: Page) -> Path:
    """Write `report.html` into the run folder, whole or not at all.

    >>> import tempfile
    >>> page = Page(title="run", classes=10, student=ModelFacts(name="resnet18"))
    >>> write_report(Path(tempfile.mkdtemp()), page).name
    'report.html'
    """
    path = run / "report.html"
    # a file name may hold bytes that are no text; they are shown as \udcXX
    data = render(page).encode("utf-8", "backslashreplace")
    write_atomically(path, data)
    return path


def render(page: Page) -> str:
    """The page as HTML.

    >>> page = Page(title="<run>", classes=10, student=ModelFacts(name="resnet18"))
    >>> "&lt;run&gt;" in render(page), "<run>" in render(page)
    (True, False)
    """
    from markupsafe import Markup

    told = page.labelled
    return fill(
        "page.html.j2",
        {"width": _width, "unbroken": lambda text: text.replace(" %", "\u00a0%"), "safe_svg": Markup},
        page=page,
        verdict=labelled_verdict(page.history, told) if told else verdict(page.history, page.classes, page.held),
        tiles=_tiles(page),
        curves=curves(page.history),
        photos=_worst_first(page.held_out)[:PHOTOS],
        skipped=page.skipped[:SKIPPED],
        tables=[
            (title, _flat(values))
            for title, values in (("Configuration", page.config), ("Environment", page.environment))
            if values
        ],
        times=words.times,
        pairs=pairs(told) if told else (),
        matrix=matrix(told) if told else None,
        class_rows=class_rows(told)[:TABLE] if told else (),
        chance=words.chance(page.classes),
    )


def _tiles(page: Page) -> list[Tile]:
    if page.labelled is not None:
        return [*_labelled_tiles(page.labelled), *_size_tiles(page)]
    student, teacher = page.student, page.teacher or ModelFacts(name="")
    agreement, labelled = (series(page.history, key)[1] for key in ("probe_agreement", "top1"))
    top1 = student.top1 if student.top1 is not None else float(labelled[-1]) if len(labelled) else None
    tiles = []
    if len(agreement):
        photos = "photo" if page.held == 1 else "photos"
        few = f"on {page.held} {photos}, too few to be sure" if page.held and page.held < FEW else ""
        note = few or f"with the teacher, chance {words.chance(page.classes)}"
        tiles.append(Tile("Held-out agreement", words.percent(float(agreement[-1])), note))
    if top1 is not None:
        note = f"the teacher {words.percent(teacher.top1)}" if teacher.top1 is not None else "on labelled photos"
        note += f" ({teacher.top1_note})" if teacher.top1 is not None and teacher.top1_note else ""
        tiles.append(Tile("Top-1 accuracy", words.percent(top1), note))
    return [*tiles, *_size_tiles(page)]


def _labelled_tiles(told: Labelled) -> list[Tile]:
    top1 = told.best[1] if told.best else 1 - told.wrong / max(1, told.measured)
    held = "held-out" if told.held_out else "labelled"
    note = f"on {told.measured:,} {held} photos"
    if told.best and told.last and told.best[0] != told.last[0]:
        note = f"of step {told.best[0]:,}, the best; the last {words.percent(told.last[1])}"
    most, least = max(told.learned), min(told.learned)
    photos = f"of {most:,} photos each" if most == least else f"of {least:,} to {most:,} photos"
    return [Tile("Top-1 accuracy", words.percent(top1), note), Tile("Classes", f"{len(told.classes):,}", photos)]


def _size_tiles(page: Page) -> list[Tile]:
    student, teacher = page.student, page.teacher or ModelFacts(name="")
    tiles = []
    if student.megabytes is not None:
        megabytes = teacher.megabytes, student.megabytes
        note = words.times(*megabytes, "smaller than the teacher", "larger than the teacher", "as the teacher")
        tiles.append(Tile("Size", f"{words.three_digits(student.megabytes)} MB", note))
    if student.images_per_second is not None:
        speeds = student.images_per_second, teacher.images_per_second
        note = words.times(*speeds, "faster than the teacher", "slower than the teacher", "as the teacher")
        tiles.append(Tile("Images a second", words.count(student.images_per_second), note))
    return tiles


def _worst_first(photos: Sequence[HeldOut]) -> list[HeldOut]:
    return sorted(photos, key=lambda photo: photo.divergence if math.isfinite(photo.divergence) else -1, reverse=True)


def _width(probability: float) -> str:
    return f"{100 * min(max(probability, 0), 1):.1f}%" if math.isfinite(probability) else "0%"


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows = []
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            rows += _flat(value, f"{prefix}{key}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
            rows.append((f"{prefix}{key}", text))
    return rows
