"""Curves out of the records of metrics.jsonl: by step, finite, thinned."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Points: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64]]


def series(history: Iterable[Mapping[str, Any]], key: str) -> Points:
    """The steps and finite values of one number, in order of steps; a step run twice counts once, as it went last.

    >>> series([{"step": 2, "loss": 0.5}, {"step": 1, "loss": 0.7}, {"step": 3, "loss": float("nan")}], "loss")
    (array([1., 2.]), array([0.7, 0.5]))
    """
    by_step = {record["step"]: record[key] for record in history if _number(record.get("step")) and key in record}
    points = sorted((float(step), float(value)) for step, value in by_step.items() if _number(value))
    steps, values = np.array(points, dtype=np.float64).reshape(-1, 2).T
    return steps, values


def thin(points: Points, limit: int = 400) -> Points:
    """At most `limit` points of a curve: its first, its last, and the lowest and highest of each stretch between.

    >>> steps, values = thin((np.arange(1000.0), np.sin(np.arange(1000.0))), limit=100)
    >>> len(steps) <= 100, float(steps[0]), float(steps[-1])
    (True, 0.0, 999.0)
    """
    assert limit >= 4
    steps, values = points
    if len(steps) <= limit:
        return points
    stretches = np.array_split(np.arange(1, len(steps) - 1), (limit - 2) // 2)
    extremes = [stretch[[values[stretch].argmin(), values[stretch].argmax()]] for stretch in stretches]
    kept = np.unique(np.concatenate([[0], *extremes, [len(steps) - 1]]))
    return steps[kept], values[kept]


def smooth(points: Points, stretches: int = 60) -> Points:
    """The mean of each stretch of a noisy curve.

    >>> smooth((np.arange(6.0), np.array([0.0, 2, 0, 2, 0, 2])), stretches=3)
    (array([0.5, 2.5, 4.5]), array([1., 1., 1.]))
    """
    steps, values = (np.array_split(numbers, min(stretches, max(len(numbers), 1))) for numbers in points)
    return np.array([part.mean() for part in steps if len(part)]), np.array(
        [part.mean() for part in values if len(part)]
    )


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
