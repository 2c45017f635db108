"""The curves of a run as SVG whose colours are the page's own, so that one drawing serves light and dark."""

import io
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from limbeck.report.history import Points, series, smooth, thin
from limbeck.report.words import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# matplotlib wants a colour, the page decides it: each of these stands for a CSS variable
COLOURS = {"muted": "#010203", "line": "#010204", "accent": "#010205", "ink": "#010206"}
_INCHES = (5.6, 2.9)
_FEW = 10  # points, that can be told apart


@dataclass(frozen=True)
class Line:
    """A number of the history and how it is drawn: `noisy` is a faint band and its mean, `dotted` marks points."""

    key: str
    label: str
    colour: str
    style: str = "solid"  # solid | noisy | dotted | dashed


@dataclass(frozen=True)
class Curve:
    """A drawing for the page: its title, the lines in it, the words for who cannot see it, and the SVG itself.

    `note` says what the points of a short run are.
    """

    title: str
    lines: tuple[Line, ...]
    words: str
    svg: str
    note: str = ""


PANELS: tuple[tuple[str, str, tuple[Line, ...]], ...] = (
    ("Loss", "loss", (Line("loss", "in training", "accent", "noisy"),)),
    (
        "Agreement with the teacher",
        "share",
        (
            Line("agreement", "in training", "muted", "noisy"),
            Line("probe_agreement", "on held-out photos", "accent", "dotted"),
            Line("top1", "top-1 on labelled photos", "ink", "dashed"),
        ),
    ),
    (
        "Accuracy",
        "share",
        (Line("accuracy", "in training", "muted", "noisy"), Line("top1", "on labelled photos", "accent", "dotted")),
    ),
    (
        "Distance from the teacher",
        "loss",
        (Line("probe_js", "Jensen-Shannon, on held-out photos", "accent", "dotted"),),
    ),
    ("Average precision", "share", (Line("AP", "AP", "accent", "dotted"), Line("AP50", "AP50", "ink", "dashed"))),
    (
        "Losses of a detector",
        "loss",
        (
            Line("classification", "classes", "accent", "noisy"),
            Line("quality", "classes and quality", "accent", "noisy"),
            Line("focal", "classes", "accent", "noisy"),
            Line("boxes", "boxes", "ink", "noisy"),
            Line("distributions", "distributions", "muted", "noisy"),
        ),
    ),
    (
        "Losses from the teacher",
        "loss",
        (
            Line("ld_main", "edges at boxes", "accent", "noisy"),
            Line("ld_around", "edges around boxes", "ink", "noisy"),
            Line("ld_classes", "classes", "muted", "noisy"),
            Line("ld_features", "features", "line", "noisy"),
        ),
    ),
    ("Learning rate", "plain", (Line("lr", "in training", "accent"),)),
)


def curves(history: Sequence[Mapping[str, Any]]) -> list[Curve]:
    """Every panel that the history has numbers for.

    >>> [curve.title for curve in curves([{"step": 1, "loss": 0.5}])]
    ['Loss']
    """
    last = max(
        (float(series(history, line.key)[0].max(initial=0)) for *_, lines in PANELS for line in lines), default=0
    )
    drawn = []
    for title, scale, lines in PANELS:
        found = {line: points for line in lines if len((points := series(history, line.key))[0])}
        if any(line.key != "top1" for line in found):  # alone it belongs to no panel: another one shows it
            words = f"{title}: " + "; ".join(_words(line, points, scale) for line, points in found.items()) + "."
            drawn.append(Curve(title, tuple(found), words, _svg(scale, found, last), _note(found, scale)))
    return drawn


def _note(lines: Mapping[Line, Points], scale: str) -> str:
    most = max(len(steps) for steps, _ in lines.values())
    noisy = any(line.style == "noisy" for line in lines)
    if most == 1:
        told = ", ".join(f"{line.label} {_value(values[0], scale)}" for line, (_, values) in lines.items())
        step = max(float(steps[0]) for steps, _ in lines.values())
        return f"one measurement, {'the mean up to' if noisy else 'at'} step {step:,.0f}: {told}"
    return "a point is the mean of the steps since the one before" if noisy and most <= _FEW else ""


def _words(line: Line, points: Points, scale: str) -> str:
    steps, values = points
    first, last = _value(values[0], scale), _value(values[-1], scale)
    if len(steps) == 1:
        return f"{line.label} {last} at step {steps[0]:,.0f}"
    return f"{line.label} from {first} at step {steps[0]:,.0f} to {last} at step {steps[-1]:,.0f}"


def _value(value: float, scale: str) -> str:
    return percent(value) if scale == "share" else f"{value:.3g}"


def _svg(scale: str, lines: Mapping[Line, Points], last: float) -> str:
    import matplotlib
    from matplotlib.figure import Figure

    text = io.StringIO()
    with matplotlib.rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": "limbeck", "font.size": 10, "path.simplify": False}
    ):
        figure = Figure(figsize=_INCHES, layout="constrained")
        axes = figure.subplots()
        for line, points in lines.items():
            _draw(axes, line, points)
        _dress(axes, scale, lines.values(), last)
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    return for_page(text.getvalue(), prefix="-".join(line.key for line in lines))


def _draw(axes: "Axes", line: Line, points: Points) -> None:
    colour = COLOURS[line.colour]
    marked = len(points[0]) <= _FEW or (line.style == "dotted" and len(points[0]) <= 40)
    look: dict[str, Any] = {"color": colour, "linewidth": 1.8, "marker": "o" if marked else "", "markersize": 4.5}
    if line.style == "noisy":
        axes.plot(*thin(points), color=colour, alpha=0.35, linewidth=0.8)
        axes.plot(*smooth(points), **look, clip_on=False)
    else:
        dashes = (0, (4, 2)) if line.style == "dashed" else "solid"
        axes.plot(*thin(points), **look, linestyle=dashes, clip_on=False)


def _dress(axes: "Axes", scale: str, drawn: Collection[Points], last: float) -> None:
    from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, MaxNLocator, NullFormatter, PercentFormatter

    low, high = (pick(float(pick(values)) for _, values in drawn) for pick in (min, max))
    axes.set_xlim(0, max(last, 1) * 1.02)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    if scale == "share":
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set_ylim(0, 1.02)
    elif scale == "loss" and low > 0 and high > 10 * low:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    else:
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        if low >= 0:
            axes.set_ylim(0, 1.06 * high or 1)
    axes.set_xlabel("step", color=COLOURS["muted"])
    axes.tick_params(which="both", length=0, labelcolor=COLOURS["muted"], pad=6)
    axes.grid(axis="y", color=COLOURS["line"], linewidth=1)
    axes.set_axisbelow(True)
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(COLOURS["line"])


def for_page(text: str, prefix: str) -> str:
    """Only the <svg>, without addresses and fixed sizes, with the page's colours and font, and ids of its own."""
    svg = text[text.index("<svg") :]
    svg = re.sub(r"\s*<metadata>.*?</metadata>|\s*<style.*?</style>", "", svg, flags=re.DOTALL)
    box = re.search(r'viewBox="[^"]+"', svg)
    assert box is not None
    svg = re.sub(r"<svg[^>]*>", f'<svg {box.group()} aria-hidden="true">', svg, count=1)
    used = set(re.findall(r"(?:url\(|href=\")#([^\")]+)", svg))
    svg = re.sub(r' id="([^"]+)"', lambda found: f' id="{prefix}-{found[1]}"' if found[1] in used else "", svg)
    svg = re.sub(r"(url\(#|href=\"#)", rf"\g<1>{prefix}-", svg)
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", svg)
    svg = re.sub(r" font-family: [^;]*;", "", svg)
    for name, sentinel in COLOURS.items():
        svg = svg.replace(sentinel, f"var(--{name})")
    return svg
