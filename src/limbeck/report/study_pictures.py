"""The pictures of a study: the curve along its axis, the convergence of its points, the bubbles of Figure 1.

Each is drawn twice: as SVG in the page's own colours, and as PNG to keep.
"""

import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limbeck.files import replacing
from limbeck.report.curves import COLOURS, for_page
from limbeck.report.outcomes import Cell

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# mid-tones that are told apart on light paper and on dark
SERIES = ("#c4592a", "#2f7fb8", "#3c9a5f", "#9a62b5", "#b58a1e", "#5f7080", "#c2487c", "#4b9aa6")
_PRINTED = {"muted": "#6a6159", "line": "#e7e1da", "accent": "#a3471a", "ink": "#1f1b17"}
_INCHES = (5.6, 3.3)
_DPI = 160
_LETTER = 0.022  # width of a letter under an axis, as a share of it

Draw = Callable[["Axes", Mapping[str, str]], None]


@dataclass(frozen=True)
class Picture:
    """A drawing for the page: what it shows, its words, its legend (name, colour, dashed), and the SVG."""

    name: str
    title: str
    words: str
    legend: tuple[tuple[str, str, bool], ...]
    svg: str


@dataclass(frozen=True)
class Series:
    """A line of the axis picture: points of one stage, by the places on the axis."""

    label: str
    cells: Sequence[Cell]
    dashed: bool = False


@dataclass(frozen=True)
class Bubble:
    """A model in the trade-off: its area is the photos that it learned from."""

    label: str
    kind: str  # distilled | labels
    latency_ms: float
    value: float
    photos: int


def axis_picture(
    out: Path, name: str, title: str, axis: str, series: Sequence[Series], *, log: bool, share: bool = True
) -> Picture:
    """Means over seeds along an axis, each seed a dot."""
    scale = 100 if share else 1

    def draw(axes: "Axes", colours: Mapping[str, str]) -> None:
        for place, each in enumerate(series):
            colour = SERIES[place]
            xs = [cell.x for cell in each.cells]
            style: dict[str, Any] = {"color": colour, "linewidth": 1.8, "linestyle": "--" if each.dashed else "-"}
            axes.plot(xs, [scale * cell.mean for cell in each.cells], **style, marker="_", markersize=11, zorder=3)
            dots = [(cell.x, scale * value) for cell in each.cells for value in cell.values if len(cell.values) > 1]
            if dots:
                across, up = zip(*dots, strict=True)
                axes.scatter(across, up, s=20, color=colour, alpha=0.75, linewidths=0, zorder=2)
        places = sorted({(cell.x, cell.point) for each in series for cell in each.cells})
        _dress(axes, colours, axis, log)
        _ticks(axes, places, log)

    legend = tuple((each.label, SERIES[place], each.dashed) for place, each in enumerate(series))
    told = "; ".join(
        f"{each.label}: " + ", ".join(f"{cell.point} {scale * cell.mean:.2f} %" for cell in each.cells)
        for each in series
    )
    return _picture(out, name, title, told + ".", legend, draw)


def convergence_picture(
    out: Path, name: str, title: str, lines: Sequence[tuple[str, Sequence[tuple[float, float]]]]
) -> Picture:
    """One curve a point over the epochs, as in Figure 3."""
    from matplotlib.ticker import MaxNLocator

    def draw(axes: "Axes", colours: Mapping[str, str]) -> None:
        for place, (_, curve) in enumerate(lines):
            xs, ys = zip(*curve, strict=True)
            marker = "o" if len(xs) <= 20 else ""
            look: dict[str, Any] = {
                "color": SERIES[place % len(SERIES)],
                "linewidth": 1.8,
                "marker": marker,
                "markersize": 3.5,
            }
            axes.plot(xs, [100 * y for y in ys], **look)
        _dress(axes, colours, "epoch", log=False)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))

    legend = tuple((label, SERIES[place % len(SERIES)], False) for place, (label, _) in enumerate(lines))
    told = "; ".join(f"{label}: {100 * curve[-1][1]:.2f} % in the end" for label, curve in lines)
    return _picture(out, name, title, told + ".", legend, draw)


def bubble_picture(out: Path, name: str, title: str, bubbles: Sequence[Bubble]) -> Picture:
    """Accuracy against latency; the area of a bubble is the photos behind it, as in Figure 1."""
    kinds = {"labels": ("taught by labels", SERIES[3]), "distilled": ("distilled without labels", SERIES[0])}
    most = max(bubble.photos for bubble in bubbles)

    wide = max(each.latency_ms for each in bubbles) > 4 * min(each.latency_ms for each in bubbles)

    def draw(axes: "Axes", colours: Mapping[str, str]) -> None:
        tops: dict[str, tuple[float, tuple[float, float]]] = {}
        for bubble in sorted(bubbles, key=lambda each: -each.photos):
            area = 90 + 1100 * bubble.photos / most
            colour = kinds[bubble.kind][1]
            place = bubble.latency_ms, 100 * bubble.value
            axes.scatter(*place, s=area, color=colour, alpha=0.45, linewidths=0, zorder=2)
            axes.scatter(*place, s=10, color=colour, linewidths=0, zorder=3)
            if bubble.label not in tops or place[1] > tops[bubble.label][1][1]:
                tops[bubble.label] = math.sqrt(area) / 2 + 5, place
        for label, (above, place) in tops.items():
            axes.annotate(
                label, place, textcoords="offset points", xytext=(0, above), fontsize=8.5, ha="center", va="bottom",
                color=colours["ink"],
            )  # fmt: skip
        _dress(axes, colours, "milliseconds of one photo", log=wide)
        if wide:
            _round_ticks(axes)
        axes.margins(0.2, 0.25)

    legend = tuple((told, colour, False) for kind, (told, colour) in kinds.items() if _any(bubbles, kind))
    told = "; ".join(
        f"{each.label}, {kinds[each.kind][0]}: {100 * each.value:.2f} %, {each.latency_ms:.2f} ms, "
        f"{each.photos:,} photos"
        for each in bubbles
    )
    return _picture(out, name, title, told + ".", legend, draw)


def _any(bubbles: Sequence[Bubble], kind: str) -> bool:
    return any(bubble.kind == kind for bubble in bubbles)


def _picture(
    out: Path, name: str, title: str, words: str, legend: tuple[tuple[str, str, bool], ...], draw: Draw
) -> Picture:
    import matplotlib
    from matplotlib.figure import Figure

    settings: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "limbeck",
        "font.size": 10,
        "path.simplify": False,
    }
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=_INCHES, layout="constrained")
        draw(figure.subplots(), COLOURS)
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
        printed = Figure(figsize=_INCHES, layout="constrained")
        axes = printed.subplots()
        draw(axes, _PRINTED)
        axes.set_title(title, loc="left", fontsize=11, color=_PRINTED["ink"])
        _legend(axes, legend)
        with replacing(out / f"{name}.png") as temporary:
            printed.savefig(temporary, format="png", dpi=_DPI, facecolor="white")
    return Picture(name, title, words, legend, for_page(text.getvalue(), prefix=name))


def _legend(axes: "Axes", legend: Sequence[tuple[str, str, bool]]) -> None:
    from matplotlib.lines import Line2D

    if len(legend) > 1:
        handles: list[Any] = [
            Line2D([], [], color=colour, linestyle="--" if dashed else "-", linewidth=1.8, label=label)
            for label, colour, dashed in legend
        ]
        axes.legend(handles=handles, frameon=False, fontsize=8.5, labelcolor=_PRINTED["ink"])


def _dress(axes: "Axes", colours: Mapping[str, str], axis: str, log: bool) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    if log:
        axes.set_xscale("log")
    axes.margins(0.06, 0.12)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %"))
    axes.set_xlabel(axis, color=colours["muted"])
    axes.tick_params(which="both", length=0, labelcolor=colours["muted"], pad=6)
    axes.grid(axis="y", color=colours["line"], linewidth=1)
    axes.set_axisbelow(True)
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(colours["line"])


def _ticks(axes: "Axes", places: Sequence[tuple[float, str]], log: bool) -> None:
    """A tick at each point, with its own name, where they have room."""
    from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

    xs = [math.log(x) if log else x for x, _ in places]
    shown = [places[0]]
    for x, place in zip(xs[1:], places[1:], strict=True):
        last = math.log(shown[-1][0]) if log else shown[-1][0]
        if x - last >= max(0.09, _LETTER * len(place[1])) * ((xs[-1] - xs[0]) or 1):
            shown.append(place)
    axes.xaxis.set_major_locator(FixedLocator([x for x, _ in shown]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xticklabels([label for _, label in shown])


def _round_ticks(axes: "Axes") -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
