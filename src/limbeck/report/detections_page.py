"""The one file that shows how well a detector finds things: report.html, without scripts and addresses to fetch."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup
from numpy.typing import NDArray

from limbeck.files import write_atomically
from limbeck.report.curves import COLOURS, curves, for_page
from limbeck.report.templates import fill

_CURVES = 12
_INCHES = (5.6, 2.9)


@dataclass(frozen=True)
class FoundClass:
    """A class: COCO's numbers, -1 where it has no object; precision over recall at an overlap of 0.5."""

    name: str
    ap: float
    ap50: float
    ap75: float
    objects: int
    found: int
    recall: NDArray[Any] | None = None
    precision: NDArray[Any] | None = None


@dataclass(frozen=True)
class FoundPhoto:
    """A photo with what is there beside what was found, in one JPEG."""

    path: str
    told: str
    jpeg: bytes


@dataclass(frozen=True)
class Rival:
    """A detector beside others: its name and COCO's numbers on the same photos."""

    name: str
    numbers: Mapping[str, float]
    history: Sequence[Mapping[str, Any]] = ()
    highlighted: bool = False


@dataclass(frozen=True)
class DetectionsPage:
    """All that the page shows."""

    title: str
    about: str
    numbers: Mapping[str, float]
    classes: Sequence[FoundClass]
    history: Sequence[Mapping[str, Any]]
    galleries: Mapping[str, Sequence[FoundPhoto]]  # by title
    facts: Mapping[str, str]
    shown: str = "On the left what is there, on the right what was found."  # said of the galleries
    rivals: Sequence[Rival] = ()


def write_detections(run: Path, page: DetectionsPage) -> Path:
    """Write `report.html` into the run folder, whole or not at all.

    >>> import tempfile
    >>> page = DetectionsPage("run", "", {"AP": 0.5}, [FoundClass("cat", 0.5, 0.7, 0.4, 2, 9)], [], {}, {})
    >>> write_detections(Path(tempfile.mkdtemp()), page).name
    'report.html'
    """
    shown = [each for each in page.classes if each.precision is not None]
    text = fill(
        "detections.html.j2",
        {"safe_svg": Markup, "share": lambda value: f"{value:.3f}" if value >= 0 else "–"},
        page=page,
        curves=curves(page.history),
        precisions=[(each, _precision(each, number)) for number, each in enumerate(shown[:_CURVES])],
        more=max(0, len(shown) - _CURVES),
        race=_race(page.rivals),
    )
    path = run / "report.html"
    write_atomically(path, text.encode("utf-8", "backslashreplace"))
    return path


def _precision(each: FoundClass, number: int) -> str:
    """Precision over recall as SVG."""
    assert each.recall is not None
    assert each.precision is not None
    line = each.recall, each.precision, COLOURS["accent"], "solid"
    return _drawing([line], ("recall", "precision"), f"precision-{number}", ends=(1.02, 1.02))


def _race(rivals: Sequence[Rival]) -> str:
    """AP of each over the steps of its training, as SVG; nothing where fewer than two points are known."""
    lines = []
    for rival in rivals:
        points = [(each["step"], each["AP"]) for each in rival.history if "AP" in each]
        if len(points) > 1:
            colour, style = ("accent", "solid") if rival.highlighted else ("ink", "dashed")
            lines.append(([step for step, _ in points], [ap for _, ap in points], COLOURS[colour], style))
    return _drawing(lines, ("step", "AP"), "race") if lines else ""


_Numbers = Sequence[float] | NDArray[Any]


def _drawing(
    lines: Sequence[tuple[_Numbers, _Numbers, str, str]],
    names: tuple[str, str],
    prefix: str,
    ends: tuple[float | None, float | None] = (None, None),
) -> str:
    import matplotlib
    from matplotlib.figure import Figure

    text = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "limbeck", "font.size": 10}):
        figure = Figure(figsize=_INCHES, layout="constrained")
        axes = figure.subplots()
        for across, up, colour, style in lines:
            axes.plot(across, up, color=colour, linestyle=style, linewidth=1.8)
        axes.set_xlim(0, ends[0])
        axes.set_ylim(0, ends[1])
        axes.set_xlabel(names[0], color=COLOURS["muted"])
        axes.set_ylabel(names[1], color=COLOURS["muted"])
        axes.tick_params(length=0, labelcolor=COLOURS["muted"])
        axes.grid(color=COLOURS["line"], linewidth=1)
        for side in axes.spines.values():
            side.set_visible(False)
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    return for_page(text.getvalue(), prefix=prefix)
