"""Which finding of the paper holds here, and which does not: said only where the seeds' spread allows it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from limbeck.report.outcomes import Cell, Effect, Outcome, cells, contrast, effect, paired

Verdict = Literal["holds", "fails", "open"]
LITTLE = 0.25  # of the gain before
SLOWLY = 0.01  # of top-1 for twice the photos: up to here a gain is called slow


@dataclass(frozen=True)
class Finding:
    """A claim of the paper, whether it holds here, and the numbers that say so."""

    claim: str
    verdict: Verdict
    text: str


def findings(study: str, outcomes: Sequence[Outcome], measure: str) -> list[Finding]:
    """What a study says of the paper's findings; nothing before two points of it are there.

    >>> runs = [Outcome(point=f"{x:g}", x=x, seed=seed, stage="distilled", top1=0.5 - 1e3 * x + seed / 1e3)
    ...         for x in (3e-5, 1e-5) for seed in (0, 1)]
    >>> [(found.claim, found.verdict) for found in findings("weight-decay", runs, "top1")]
    [('A smaller weight decay is better', 'holds')]
    """
    found = _OF[study](outcomes, measure)
    return [*found, *_stage_two(outcomes, measure)]


def _teacher(outcomes: Sequence[Outcome], measure: str) -> list[Finding]:
    grid = cells(outcomes, "distilled", measure)
    if len(grid) < 2:
        return []
    known = {outcome.point: outcome.teacher_top1 for outcome in outcomes if outcome.teacher_top1 is not None}
    claim = "A better teacher makes a better student"
    if len(known) < len(grid):
        return [Finding(claim, "open", "The teachers' own accuracy is not measured: --eval LABELLED measures it.")]
    if measure != "top1":
        text = "Agreement is with each student's own teacher: students of two teachers are not compared by it."
        return [Finding(claim, "open", text)]
    ranked = sorted(grid, key=lambda cell: known[cell.point] or 0.0)
    found = [_compare(claim, ranked[0], ranked[-1], grid, measure, 1)]
    if len(ranked) > 2:
        found.append(_full(ranked, grid))
    return found


def _full(ranked: Sequence[Cell], grid: Sequence[Cell]) -> Finding:
    """Whether the last step to a better teacher brings little of what the steps before it brought."""
    first, second, best = ranked[0], ranked[-2], ranked[-1]
    before, last = effect(first, second, grid), effect(second, best, grid)
    beyond = contrast([(second, -1), (best, 1), (first, LITTLE), (second, -LITTLE)], grid)
    verdict: Verdict = "open"
    if before.direction > 0:
        verdict = _verdict(beyond, -1)
    told = (
        f"From {second.point} to {best.point}, the two best teachers: {_numbers(last)}; the steps before "
        f"brought {_points(before.gain)}. A quarter of that is called little here."
    )
    return Finding("The best teacher adds little more: the student is full", verdict, told)


def _epochs(outcomes: Sequence[Outcome], measure: str) -> list[Finding]:
    grid = cells(outcomes, "distilled", measure)
    if len(grid) < 2:
        return []
    found = [_compare("More epochs help", grid[0], grid[-1], grid, measure, 1)]
    if len(grid) > 2:
        early, late = grid[1].x - grid[0].x, grid[-1].x - grid[-2].x
        first, last = effect(grid[0], grid[1], grid).gain / early, effect(grid[-2], grid[-1], grid).gain / late
        weights = [(grid[0], -1 / early), (grid[1], 1 / early), (grid[-2], 1 / late), (grid[-1], -1 / late)]
        less = contrast(weights, grid)
        told = (
            f"An epoch more brings {_points(first)} between {grid[0].point} and {grid[1].point} epochs, and "
            f"{_points(last)} between {grid[-2].point} and {grid[-1].point}"
        )
        found.append(Finding("The returns diminish", _verdict(less, 1), told + _noise(less)))
    return found


def _weight_decay(outcomes: Sequence[Outcome], measure: str) -> list[Finding]:
    grid = cells(outcomes, "distilled", measure)
    if len(grid) < 2:
        return []
    found = [_compare("A smaller weight decay is better", grid[-1], grid[0], grid, measure, 1)]
    half = _half_way(outcomes)
    if len(half) == len(grid):
        told = _compare("It converges faster too", half[-1], half[0], half, measure, 1)
        found.append(
            Finding(told.claim, told.verdict, f"Half-way through the runs: {told.text[0].lower()}{told.text[1:]}")
        )
    return found


def _volume(outcomes: Sequence[Outcome], measure: str) -> list[Finding]:
    grid = cells(outcomes, "distilled", measure)
    if len(grid) < 2:
        return []
    helps = _compare("More photos without labels help", grid[0], grid[-1], grid, measure, 1)
    doublings = math.log2(grid[-1].x / grid[0].x)
    rate = _per(effect(grid[0], grid[-1], grid), doublings)
    told = f"Twice the photos bring {_points(rate.gain)}; in the paper .16 points. Up to 1 point is called slow here"
    slowly: Verdict = "open"
    if rate.margin is not None and rate.direction > 0:
        slowly = (
            "holds" if rate.gain + rate.margin <= SLOWLY else "fails" if rate.gain - rate.margin > SLOWLY else "open"
        )
    return [helps, Finding("They help slowly", slowly, told + _noise(rate))]


def _trade_off(outcomes: Sequence[Outcome], measure: str) -> list[Finding]:
    ours, plain = cells(outcomes, "distilled", measure), cells(outcomes, "labels", measure)
    student = {outcome.point: outcome.student for outcome in outcomes}
    found = []
    for base in plain:
        same = [cell for cell in ours if student[cell.point] == student[base.point]]
        if same:
            best = max(same, key=lambda cell: _photos(outcomes, cell.point))
            change = effect(base, best, [*ours, *plain])
            claim = f"{student[base.point]} distilled without labels beats itself taught by labels"
            text = (
                f"From {_photos(outcomes, base.point):,} labelled photos {_percent(base.mean)}, from "
                f"{_photos(outcomes, best.point):,} photos without labels {_percent(best.mean)}: {_numbers(change)}."
            )
            found.append(Finding(claim, _verdict(change, 1), text))
    return found


def _photos(outcomes: Sequence[Outcome], point: str) -> int:
    return next((outcome.photos or 0 for outcome in outcomes if outcome.point == point), 0)


def _stage_two(outcomes: Sequence[Outcome], measure: str) -> list[Finding]:
    """Each finetuned student against itself before."""
    before = {(run.point, run.seed): getattr(run, measure) for run in outcomes if run.stage == "distilled"}
    pairs = [
        (before[run.point, run.seed], getattr(run, measure))
        for run in outcomes
        if run.stage == "finetuned"
        and before.get((run.point, run.seed)) is not None
        and getattr(run, measure) is not None
    ]
    if not pairs:
        return []
    change = paired(*zip(*pairs, strict=True))
    text = f"Over {len(pairs)} students, each against itself before: {_numbers(change)}."
    return [Finding("Stage two, on labelled photos alone, helps", _verdict(change, 1), text)]


def _compare(claim: str, low: Cell, high: Cell, every: Sequence[Cell], measure: str, wanted: int) -> Finding:
    found = effect(low, high, every)
    told = {"top1": "top-1", "agreement": "agreement with the teacher"}[measure]
    text = f"From {low.point} to {high.point}, {told} goes from {_percent(low.mean)} to {_percent(high.mean)}: "
    return Finding(claim, _verdict(found, wanted), text + _numbers(found) + ".")


def _verdict(found: Effect, wanted: int) -> Verdict:
    if not found.direction:
        return "open"
    return "holds" if found.direction == wanted else "fails"


def _numbers(found: Effect) -> str:
    return f"{_points(found.gain)}{_noise(found).rstrip('.')}"


def _noise(found: Effect) -> str:
    if found.margin is None:
        return "; one seed a point, so that nothing can be said of noise."
    beyond = "beyond" if found.direction else "within"
    return f", {beyond} the ±{_plain(found.margin)} that seeds alone explain."


def _half_way(outcomes: Sequence[Outcome]) -> list[Cell]:
    """What was measured half-way through each run, where it was measured at least thrice."""
    found: dict[tuple[float, str], list[float]] = {}
    for run in outcomes:
        if run.stage == "distilled" and len(run.curve) >= 3:
            end = run.curve[-1][0]
            _, value = min(run.curve, key=lambda place: abs(place[0] - end / 2))
            found.setdefault((run.x, run.point), []).append(value)
    return [Cell(point, x, tuple(values)) for (x, point), values in sorted(found.items())]


def _per(found: Effect, amount: float) -> Effect:
    return Effect(found.gain / amount, None if found.margin is None else found.margin / amount)


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _points(share: float) -> str:
    return f"{100 * share:+.2f} points".replace("-", "−")


def _plain(share: float) -> str:
    return f"{100 * share:.2f}"


_OF: dict[str, Callable[[Sequence[Outcome], str], list[Finding]]] = {
    "teacher": _teacher,
    "epochs": _epochs,
    "weight-decay": _weight_decay,
    "volume": _volume,
    "trade-off": _trade_off,
}
