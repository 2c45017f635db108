"""The one file that shows a study: NAME.html, without scripts and without a single address to fetch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Protocol

from limbeck.files import write_atomically
from limbeck.report.findings import Finding, findings
from limbeck.report.outcomes import Cell, Outcome, cells
from limbeck.report.study_pictures import (
    Bubble,
    Picture,
    Series,
    axis_picture,
    bubble_picture,
    convergence_picture,
)
from limbeck.report.templates import fill

STAGES = {"distilled": "student", "finetuned": "student, stage two", "labels": "taught by labels"}
MEASURES = {"top1": "top-1", "agreement": "agreement with the teacher"}
VERDICTS = {"holds": "holds here", "fails": "does not hold here", "open": "cannot be told"}


class Paper(Protocol):
    """A table of the paper."""

    @property
    def title(self) -> str: ...
    @property
    def setting(self) -> str: ...
    @property
    def columns(self) -> tuple[str, ...]: ...
    @property
    def rows(self) -> tuple[tuple[str, ...], ...]: ...
    @property
    def lines(self) -> list[tuple[str, list[tuple[float, float]]]]: ...


@dataclass(frozen=True, kw_only=True)
class StudyPage:
    """All that the page says. `settings`: pairs (option, value); `runs`: how many there will be."""

    name: str
    title: str
    about: str
    axis: str
    log: bool
    paper: Paper
    student: str
    teacher: str
    measure: str
    outcomes: Sequence[Outcome]
    runs: int
    seeds: int
    settings: Sequence[tuple[str, str]] = ()
    command: str = ""


@dataclass(frozen=True)
class Row:
    """A point in the table: what it is, and for each stage the mean, the spread and the seeds."""

    label: str
    teacher: float | None
    latency: float | None
    photos: int | None
    stages: Sequence[Cell | None]


def write_study_page(out: Path, page: StudyPage) -> Path:
    """Write NAME.html, and beside it a PNG of each picture."""
    path = out / f"{page.name}.html"
    out.mkdir(parents=True, exist_ok=True)
    # a file name may hold bytes that are no text; they are shown as \udcXX
    write_atomically(path, render(page, pictures(out, page)).encode("utf-8", "backslashreplace"))
    return path


def render(page: StudyPage, drawn: Sequence[Picture] = ()) -> str:
    """The page as HTML."""
    from markupsafe import Markup

    stages = [stage for stage in STAGES if cells(page.outcomes, stage, page.measure)]
    return fill(
        "study.html.j2",
        {"safe_svg": Markup, "points": lambda share: f"{100 * share:.2f}"},
        page=page,
        measure=MEASURES[page.measure],
        rows=rows(page, stages),
        stages=[STAGES[stage] for stage in stages],
        findings=findings(page.name, page.outcomes, page.measure),
        verdicts=VERDICTS,
        pictures=drawn,
        failed=[outcome for outcome in page.outcomes if outcome.failed],
        done=len(page.outcomes),
    )


def rows(page: StudyPage, stages: Sequence[str]) -> list[Row]:
    """A row for each point, in the order of the axis."""
    grids = [{cell.point: cell for cell in cells(page.outcomes, stage, page.measure)} for stage in stages]
    found = []
    place = {outcome.student: number for number, outcome in enumerate(reversed(page.outcomes))}
    order = (
        (lambda run: (-place[run.student], run.photos or 0)) if page.name == "trade-off" else (lambda run: (run.x, 0))
    )
    for label in dict.fromkeys(outcome.point for outcome in sorted(page.outcomes, key=order)):
        of = [outcome for outcome in page.outcomes if outcome.point == label]
        latencies = [outcome.latency_ms for outcome in of if outcome.latency_ms is not None]
        latency = mean(latencies) if latencies else None
        cell = [grid.get(label) for grid in grids]
        name = of[0].student if page.name == "trade-off" else label
        found.append(Row(name, of[0].teacher_top1, latency, of[0].photos, cell))
    return found


def pictures(out: Path, page: StudyPage) -> list[Picture]:
    """Every picture that there are numbers for, as far as the runs are."""
    measure = MEASURES[page.measure]
    if page.name == "trade-off":
        found = bubbles(page)
        title = f"{measure.capitalize()} against latency; the area is the photos"
        return [bubble_picture(out, "trade-off-bubbles", title, found)] if found else []
    drawn = []
    series = [Series(STAGES[stage], grid(page, stage), stage != "distilled") for stage in ("distilled", "finetuned")]
    series = [each for each in series if each.cells]
    if series:
        title = f"{measure.capitalize()} by {page.axis}"
        drawn.append(axis_picture(out, f"{page.name}-{page.measure}", title, page.axis, series, log=page.log))
        if page.paper.lines:
            drawn.append(_of_the_paper(out, page))
    curves = convergence(page)
    if curves:
        title = f"{measure.capitalize()} as the runs go on"
        drawn.append(convergence_picture(out, f"{page.name}-convergence", title, curves))
    return drawn


def _of_the_paper(out: Path, page: StudyPage) -> Picture:
    """The same picture from the paper's own table."""
    paper, teachers = page.paper, page.name == "teacher"
    labels = [f"{row[1]} %" if teachers else row[0] for row in paper.rows]
    series = [
        Series(name, [Cell(label, x, (y,)) for label, (x, y) in zip(labels, line, strict=True)], bool(place))
        for place, (name, line) in enumerate(paper.lines)
    ]
    axis = "unlabeled photos" if page.name == "volume" else page.axis
    title = f"The paper's {paper.title}"
    return axis_picture(out, f"{page.name}-paper", title, axis, series, log=page.log, share=False)


def grid(page: StudyPage, stage: str) -> list[Cell]:
    """The cells of a stage; teachers are called after their own accuracy on the axis."""
    found = cells(page.outcomes, stage, page.measure)
    if page.name != "teacher":
        return found
    known = {outcome.point: outcome.teacher_top1 for outcome in page.outcomes}
    return [
        replace(cell, point=f"{100 * (known[cell.point] or 0):.1f} %") if known[cell.point] else cell for cell in found
    ]


def convergence(page: StudyPage) -> list[tuple[str, list[tuple[float, float]]]]:
    """The mean curve over the seeds of each point, where there are two evaluations or more."""
    found = []
    for cell in cells(page.outcomes, "distilled", page.measure):
        runs = [run.curve for run in page.outcomes if run.point == cell.point and run.stage == "distilled"]
        whole = [curve for curve in runs if len(curve) == max(map(len, runs))]
        if len(whole[0]) > 1:
            points = [(places[0][0], mean(value for _, value in places)) for places in zip(*whole, strict=True)]
            found.append((cell.point, points))
    return found


def bubbles(page: StudyPage) -> list[Bubble]:
    """A bubble for each student and volume, and for each baseline."""
    found = []
    for stage in ("labels", "distilled"):
        for cell in cells(page.outcomes, stage, page.measure):
            of = [run for run in page.outcomes if run.point == cell.point and run.stage == stage]
            latency, photos = of[0].latency_ms, of[0].photos
            if latency is not None and photos:
                found.append(Bubble(of[0].student, stage, latency, cell.mean, photos))
    return found


__all__ = ["Finding", "StudyPage", "pictures", "render", "write_study_page"]
