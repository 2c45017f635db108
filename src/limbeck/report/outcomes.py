"""What came of the runs of a study, and what their seeds allow to say of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

# two-sided 95 % of Student's t, by degrees of freedom
_T = {1: 12.71, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262, 10: 2.228}
_T |= {12: 2.179, 15: 2.131, 20: 2.086, 30: 2.042, 60: 2.0}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One run: where it lies in the grid, and its numbers; shares are of one. `stage`: distilled, finetuned, labels."""

    point: str
    x: float
    seed: int
    stage: str
    top1: float | None = None
    top5: float | None = None
    agreement: float | None = None
    teacher: str = ""
    teacher_top1: float | None = None
    student: str = ""
    latency_ms: float | None = None
    photos: int | None = None
    steps: int | None = None
    epochs: float | None = None
    lr: float | None = None
    weight_decay: float | None = None
    loss: str = ""
    failed: str = ""
    run: str = ""
    curve: tuple[tuple[float, float], ...] = ()  # (epoch, what is measured)


@dataclass(frozen=True)
class Cell:
    """The runs of one point and stage."""

    point: str
    x: float
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return mean(self.values)

    @property
    def spread(self) -> float | None:
        """The standard deviation over the seeds; None of a single one."""
        return stdev(self.values) if len(self.values) > 1 else None


@dataclass(frozen=True)
class Effect:
    """How much one side is above another, and how much seeds alone explain; `margin` None: one seed tells nothing."""

    gain: float
    margin: float | None

    @property
    def direction(self) -> int:
        """1: it rises, -1: it falls, 0: within the noise."""
        if self.margin is None or abs(self.gain) <= self.margin:
            return 0
        return 1 if self.gain > 0 else -1


def cells(outcomes: Sequence[Outcome], stage: str, measure: str = "top1") -> list[Cell]:
    """The points of a stage that have numbers, from the lowest x up.

    >>> two = [Outcome(point="a", x=1, seed=seed, stage="distilled", top1=0.5 + seed / 10) for seed in (0, 1)]
    >>> [(cell.point, round(cell.mean, 2)) for cell in cells(two, "distilled")]
    [('a', 0.55)]
    """
    found: dict[tuple[float, str], list[float]] = {}
    for outcome in outcomes:
        value = getattr(outcome, measure)
        if outcome.stage == stage and value is not None and math.isfinite(value):
            found.setdefault((outcome.x, outcome.point), []).append(value)
    return [Cell(point, x, tuple(values)) for (x, point), values in sorted(found.items())]


def effect(low: Cell, high: Cell, every: Sequence[Cell]) -> Effect:
    """The difference of two points, against the spread of seeds, which all points of the stage tell together.

    >>> calm = [Cell("a", 1, (0.50, 0.51)), Cell("b", 2, (0.60, 0.61))]
    >>> found = effect(*calm, calm)
    >>> found.direction, round(found.gain, 2), round(found.margin, 3)
    (1, 0.1, 0.03)
    """
    return contrast([(low, -1.0), (high, 1.0)], every)


def contrast(parts: Sequence[tuple[Cell, float]], every: Sequence[Cell]) -> Effect:
    """A weighted sum of points: one that is named twice counts once, with both its weights.

    >>> calm = [Cell("a", 1, (0.50, 0.51)), Cell("b", 2, (0.60, 0.61))]
    >>> low, high = calm
    >>> contrast([(low, -1), (high, 1), (high, 1)], calm).margin == contrast([(low, -1), (high, 2)], calm).margin
    True
    """
    weights: dict[Cell, float] = {}
    for cell, weight in parts:
        weights[cell] = weights.get(cell, 0.0) + weight
    gain = sum(weight * cell.mean for cell, weight in weights.items())
    freedom = sum(len(cell.values) - 1 for cell in every)
    if not freedom:
        return Effect(gain, None)
    spread = math.sqrt(sum((cell.spread or 0.0) ** 2 * (len(cell.values) - 1) for cell in every) / freedom)
    share = math.sqrt(sum(weight**2 / len(cell.values) for cell, weight in weights.items()))
    return Effect(gain, _quantile(freedom) * spread * share)


def paired(before: Sequence[float], after: Sequence[float]) -> Effect:
    """The mean change of runs, each against itself.

    >>> paired([0.5, 0.6], [0.52, 0.62]).direction, paired([0.5], [0.6]).margin is None
    (1, True)
    """
    changes = [new - old for old, new in zip(before, after, strict=True)]
    if len(changes) < 2:
        return Effect(mean(changes), None)
    return Effect(mean(changes), _quantile(len(changes) - 1) * stdev(changes) / math.sqrt(len(changes)))


def _quantile(freedom: int) -> float:
    return _T[max(known for known in _T if known <= freedom)]
