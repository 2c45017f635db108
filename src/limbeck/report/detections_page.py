"""The one file that shows how well a detector finds things: report.html, without scripts and addresses to fetch."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from limbeck.files import write_atomically
from limbeck.report.curves import COLOURS, curves, for_page
from limbeck.report.pictures import small
from limbeck.report.templates import fill

HUES = "#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080", "#9a6324", "#800000", "#000075"
_CURVES = 12
_SIDE = 420
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
class DetectionsPage:
    """All that the page shows."""

    title: str
    about: str
    numbers: Mapping[str, float]
    classes: Sequence[FoundClass]
    history: Sequence[Mapping[str, Any]]
    galleries: Mapping[str, Sequence[FoundPhoto]]  # by title
    facts: Mapping[str, str]


@dataclass(frozen=True)
class Marked:
    """A box of a picture: corners in its pixels, the number of its class, and what is written at it."""

    box: Sequence[float]
    label: int
    text: str


def drawn(photo: Image.Image, boxes: Sequence[Marked], side: int | None = None) -> Image.Image:
    """A copy with boxes, the first on top; at most `side` pixels a side."""
    image = photo.convert("RGB") if side is None else small(photo, side).convert("RGB")
    image = image.copy()
    times = image.width / photo.width
    pen = ImageDraw.Draw(image)
    thick = max(2, round(max(image.size) / 300))
    for each in reversed(boxes):
        colour = HUES[each.label % len(HUES)]
        corners = [value * times for value in each.box]
        pen.rectangle(corners, outline=colour, width=thick)
        if each.text:
            place = corners[0], max(0.0, corners[1] - 12)
            pen.rectangle(pen.textbbox(place, each.text), fill=colour)
            pen.text(place, each.text, fill="white")
    return image


def side_by_side(photo: Image.Image, truth: Sequence[Marked], found: Sequence[Marked]) -> bytes:
    """What is there and what was found, as one JPEG."""
    left, right = drawn(photo, truth, _SIDE), drawn(photo, found, _SIDE)
    both = Image.new("RGB", (left.width * 2 + 6, left.height), "white")
    both.paste(left, (0, 0))
    both.paste(right, (left.width + 6, 0))
    data = io.BytesIO()
    both.save(data, "JPEG", quality=82)
    return data.getvalue()


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
    )
    path = run / "report.html"
    write_atomically(path, text.encode("utf-8", "backslashreplace"))
    return path


def _precision(each: FoundClass, number: int) -> str:
    """Precision over recall as SVG."""
    import matplotlib
    from matplotlib.figure import Figure

    assert each.recall is not None
    assert each.precision is not None
    text = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "limbeck", "font.size": 10}):
        figure = Figure(figsize=_INCHES, layout="constrained")
        axes = figure.subplots()
        axes.plot(each.recall, each.precision, color=COLOURS["accent"], linewidth=1.8)
        axes.set_xlim(0, 1.02)
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("recall", color=COLOURS["muted"])
        axes.set_ylabel("precision", color=COLOURS["muted"])
        axes.tick_params(length=0, labelcolor=COLOURS["muted"])
        axes.grid(color=COLOURS["line"], linewidth=1)
        for side in axes.spines.values():
            side.set_visible(False)
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    return for_page(text.getvalue(), prefix=f"precision-{number}")
