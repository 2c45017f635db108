"""Is it working? The answer in plain words, from numbers that need no labels."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from limbeck.report import words
from limbeck.report.history import Points, series
from limbeck.report.interval import FEW, interval
from limbeck.report.labelled import Labelled

_GAP = 0.2  # between the photos learned from and others, which few photos or too many epochs make
_LEVEL = 0.05  # a relative change of the held-out distance that is taken for noise

Mood = Literal["good", "fair", "bad", "unknown"]
Trend = Literal["improving", "level", "worse", "unknown"]


@dataclass(frozen=True)
class Verdict:
    """A headline, the sentence with the numbers, and what to do about it (empty: nothing)."""

    mood: Mood
    headline: str
    text: str
    advice: str = ""


def verdict(history: Sequence[Mapping[str, Any]], classes: int, held: int | None = None) -> Verdict:
    """Whether the student is learning to answer as the teacher does; `held` photos are held out, None: enough.

    >>> history = [{"step": s, "probe_agreement": 1 - 10 / s, "probe_js": 1 / s} for s in (20, 50, 75, 100)]
    >>> found = verdict(history, classes=10)
    >>> found.headline, found.text[:58]
    ('It is working', "The student gives the teacher's answer on 90.0 % of held-o")
    """
    broken = _broken_step(history)
    if broken is not None:
        return _broken(broken)
    if len(series(history, "accuracy")[1]):
        return _labelled(history)
    agreement = series(history, "probe_agreement")
    if not len(agreement[1]):
        return _without_probe(history, held)
    if held is not None and 0 < held < FEW:
        return _uncertain(float(agreement[1][-1]), held, classes)
    chance, last, best = 1 / classes, float(agreement[1][-1]), float(agreement[1].max())
    trend = _trend(_distance(history, agreement))
    text = (
        f"The student gives the teacher's answer on {words.percent(last)} of held-out photos "
        f"(chance {words.chance(classes)}){_TREND_WORDS[trend]}."
    )
    return _judge(text, chance, last, best, trend)


def _broken(step: int) -> Verdict:
    text = f"The loss is not a finite number at step {step:,}."
    return Verdict("bad", "The loss broke", text, "Lower the learning rate, or train the student in float32.")


_TREND_WORDS: dict[Trend, str] = {
    "improving": ", still improving in the last quarter",
    "level": ", level over the last quarter",
    "worse": ", and moved away from the teacher in the last quarter",
    "unknown": "",
}


def _judge(text: str, chance: float, last: float, best: float, trend: Trend) -> Verdict:
    gain = (last - chance) / (1 - chance) if chance < 1 else 0.0
    if gain < 0.02 and last < 3 * chance:
        advice = "Check that the teacher gets its own mean, std and size, and try another learning rate."
        return Verdict("bad", "The student is not learning", text, advice)
    if trend == "worse":
        advice = f"Its best agreement was {words.percent(best)}. Lower the learning rate, or use more photos."
        return Verdict("fair", "It is getting worse", text, advice)
    if trend == "improving":
        headline = "It is working" if gain >= 0.5 else "It is learning"
        return Verdict("good", headline, text, "More epochs may bring it closer still.")
    if gain >= 0.5:
        return Verdict("good", "It is working", text)
    if trend == "level":
        advice = "Try another learning rate, a larger student, or photos closer to what the teacher knows."
        return Verdict("fair", "It has stopped far from the teacher", text, advice)
    return Verdict("good", "It is learning", text)


def _uncertain(agreement: float, held: int, classes: int) -> Verdict:
    low, high = (words.percent(end, digits=0) for end in interval(agreement, held))
    photos = "the one held-out photo" if held == 1 else f"the {held} held-out photos"
    return Verdict(
        "unknown",
        "Uncertain: few photos are held out",
        f"The student gives the teacher's answer on {words.percent(agreement)} of {photos} "
        f"(chance {words.chance(classes)}). So few photos tell little: on many, it could be anything from {low} to "
        f"{high} (95 % interval).",
        f"Measure it on {FEW} photos or more: {_MEASURE}.",
    )


_MEASURE = "limbeck evaluate RUN --images OTHER_PHOTOS, or a larger --probe in a new run"


def _without_probe(history: Sequence[Mapping[str, Any]], held: int | None) -> Verdict:
    agreement = series(history, "agreement")[1]
    text = "Nothing has been measured yet."
    if len(agreement):
        text = f"The student gives the teacher's answer on {words.percent(agreement[-1])} of the photos it trains on"
        text += "." if held == 0 else "; held-out photos have not been measured yet."
    if held == 0:
        known = f" {text}" if len(agreement) else ""
        text = f"No photos were held out: nothing tells how it does on photos that it has not seen.{known}"
        return Verdict("unknown", "Not measured", text, f"Measure it: {_MEASURE}.")
    return Verdict("unknown", "Too early to say", text)


def _labelled(history: Sequence[Mapping[str, Any]]) -> Verdict:
    accuracy, top1 = (series(history, key)[1] for key in ("accuracy", "top1"))
    text = f"It is right on {words.percent(accuracy[-1])} of the photos it trains on"
    if not len(top1):
        advice = "Measure it on photos that it has not seen: limbeck evaluate RUN --images LABELLED."
        return Verdict("unknown", "Learned from labels", f"{text}.", advice)
    return Verdict("unknown", "Learned from labels", f"{text}, and on {words.percent(top1[-1])} of those of --eval.")


def labelled_verdict(history: Sequence[Mapping[str, Any]], told: Labelled) -> Verdict:
    """Whether a model learned its classes, from photos that it did not learn from.

    >>> told = Labelled(classes=["cat", "dog"], learned=[300, 300], confusion=[[60, 0], [6, 54]])
    >>> labelled_verdict([{"step": 9, "accuracy": 0.97}], told).headline
    'It is right on 95.0 % of new photos'
    """
    broken = _broken_step(history)
    if broken is not None:
        return _broken(broken)
    top1 = 1 - told.wrong / max(1, told.measured)
    accuracy = series(history, "accuracy")[1]
    own = float(accuracy[-1]) if len(accuracy) else top1
    which = "held-out" if told.held_out else "labelled"
    text = f"Of {told.measured:,} {which} photos it knows {words.percent(top1)}, of those that it learns from "
    text += (
        f"{words.percent(own)}; always saying the most frequent class would be right on {words.percent(told.majority)}."
    )
    low, high = (words.percent(end, digits=0) for end in interval(top1, max(1, told.measured)))
    headline = f"It is right on {words.percent(top1)} of new photos"
    if told.measured < FEW:
        text += f" So few photos tell little: on many, it could be anything from {low} to {high} (95 % interval)."
        return Verdict(
            "unknown", "Uncertain: few photos are measured", text, "Label more photos, or hold out more of them."
        )
    if top1 <= 1.1 * told.majority and top1 < 0.95:
        advice = "Try a larger or smaller --lr, more --epochs, or a model with weights to start from."
        return Verdict("bad", "It has not learned the classes", text, advice)
    if own - top1 > _GAP:
        advice = "It knows its own photos far better than new ones: more photos help most; --mixup 0.2 may help."
        return Verdict("fair", headline, text, advice)
    return Verdict("good", headline, text)


def _distance(history: Sequence[Mapping[str, Any]], agreement: Points) -> Points:
    distance = series(history, "probe_js")
    return distance if len(distance[0]) else (agreement[0], 1 - agreement[1])


def _trend(distance: Points) -> Trend:
    """Over the last quarter of the steps: its end against the last measurement before it."""
    steps, values = distance
    before = steps <= steps[-1] * 0.75
    if len(steps) < 3 or not before.any():
        return "unknown"
    start, end = values[before][-1], values[-1]
    change = (start - end) / max(abs(start), 1e-12)
    if abs(change) < _LEVEL:
        return "level"
    return "improving" if change > 0 else "worse"


def _broken_step(history: Sequence[Mapping[str, Any]]) -> int | None:
    losses = [record for record in history if isinstance(record.get("loss"), float)]
    if not losses or math.isfinite(losses[-1]["loss"]):
        return None
    return int(losses[-1].get("step", 0))
