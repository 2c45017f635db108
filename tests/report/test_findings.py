"""A finding is claimed where the seeds allow it, and said to fail or to be open where they do not: both ways."""

import math

import pytest
from study_samples import outcomes, teachers, trade_off, weight_decay

from limbeck.report.findings import findings
from limbeck.report.outcomes import Cell, Outcome, cells, contrast, effect, paired


def verdicts(study: str, runs: list[Outcome], measure: str = "top1") -> dict[str, str]:
    return {found.claim: found.verdict for found in findings(study, runs, measure)}


@pytest.mark.parametrize(
    ("values", "noise", "verdict"),
    [((0.74, 0.75, 0.77), 0.001, "holds"), ((0.77, 0.75, 0.74), 0.001, "fails"), ((0.75, 0.75, 0.752), 0.02, "open")],
)
def test_smaller_weight_decay(values: tuple[float, ...], noise: float, verdict: str) -> None:
    runs = outcomes(list(zip((3e-5, 2e-5, 1e-5), values, strict=True)), noise=noise)
    assert verdicts("weight-decay", runs) == {"A smaller weight decay is better": verdict}


def test_the_words_carry_the_numbers() -> None:
    runs = outcomes([(3e-5, 0.74), (1e-5, 0.77)], noise=0.0001)
    (found,) = findings("weight-decay", runs, "top1")
    assert found.text.startswith("From 3e-05 to 1e-05, top-1 goes from 74.0")
    assert "+3.0" in found.text
    assert ", beyond the ±" in found.text
    (back,) = findings("weight-decay", outcomes([(3e-5, 0.77), (1e-5, 0.74)], noise=0.0001), "top1")
    assert "−3.0" in back.text


def test_one_seed_claims_nothing() -> None:
    (found,) = findings("weight-decay", outcomes([(3e-5, 0.5), (1e-5, 0.9)], noise=0, seeds=1), "top1")
    assert found.verdict == "open"
    assert "one seed a point" in found.text


def test_convergence_and_stage_two() -> None:
    found = verdicts("weight-decay", weight_decay())
    assert found == {
        "A smaller weight decay is better": "holds",
        "It converges faster too": "holds",
        "Stage two, on labelled photos alone, helps": "holds",
    }


@pytest.mark.parametrize(
    ("last", "noise", "full"), [(0.741, 0.002, "holds"), (0.80, 0.002, "fails"), (0.755, 0.01, "open")]
)
def test_a_student_that_is_full(last: float, noise: float, full: str) -> None:
    assert verdicts("teacher", teachers(last, noise)) == {
        "A better teacher makes a better student": "holds",
        "The best teacher adds little more: the student is full": full,
    }


def test_teachers_that_nobody_measured() -> None:
    runs = [run for name in ("a", "b") for run in outcomes([(1, 0.5)], noise=0.01, point=name)]
    (found,) = findings("teacher", runs, "top1")
    assert found.verdict == "open"
    assert "--eval" in found.text


@pytest.mark.parametrize(
    ("values", "helps", "slowly"),
    [
        ((0.740, 0.743, 0.746), "holds", "holds"),
        ((0.65, 0.70, 0.75), "holds", "fails"),
        ((0.7, 0.7, 0.7), "open", "open"),
    ],
)
def test_volume(values: tuple[float, ...], helps: str, slowly: str) -> None:
    runs = outcomes(list(zip((12_500, 25_000, 50_000), values, strict=True)), noise=0.0003)
    assert list(verdicts("volume", runs).values()) == [helps, slowly]


@pytest.mark.parametrize(("last", "diminish"), [(0.765, "holds"), (0.90, "fails")])
def test_returns_of_epochs(last: float, diminish: str) -> None:
    runs = outcomes([(10, 0.70), (20, 0.76), (30, last)], noise=0.0005)
    assert verdicts("epochs", runs) == {"More epochs help": "holds", "The returns diminish": diminish}


def test_distilled_against_labels() -> None:
    found = findings("trade-off", trade_off(), "top1")
    assert [each.verdict for each in found] == ["holds"] * 3
    assert "From 4,000 labelled photos" in found[0].text
    assert "from 50,000 photos without labels" in found[0].text


def test_nothing_is_said_of_one_point() -> None:
    assert findings("volume", outcomes([(100, 0.5)], noise=0.1), "top1") == []


def test_runs_that_broke_are_left_out() -> None:
    runs = [*outcomes([(1, 0.5)], noise=0), Outcome(point="2", x=2, seed=0, stage="distilled", failed="nan")]
    assert [cell.point for cell in cells(runs, "distilled")] == ["1"]


def test_the_margin_is_students_t() -> None:
    """Two points of two seeds each .02 apart: a pooled deviation of .01414, t(2) 4.303, one standard error of it."""
    grid = cells([*outcomes([(1, 0.5)], noise=0), *outcomes([(2, 0.6)], noise=0)], "distilled")
    spread = [type(grid[0])(cell.point, cell.x, (cell.mean - 0.01, cell.mean + 0.01)) for cell in grid]
    assert effect(spread[0], spread[1], spread).margin == pytest.approx(4.303 * math.sqrt(2) * 0.01)
    assert paired([0.5, 0.6, 0.7], [0.51, 0.62, 0.73]).margin == pytest.approx(4.303 * 0.01 / math.sqrt(3))


def test_a_point_between_two_differences_counts_with_both() -> None:
    """The returns of three points are m0 - 2 m1 + m2: a margin of sqrt(1 + 4 + 1) deviations, not of two pairs."""
    grid = [Cell(str(x), x, (y - 0.01, y + 0.01)) for x, y in ((1, 0.5), (2, 0.6), (3, 0.65))]
    first, middle, last = grid
    found = contrast([(middle, 1), (first, -1), (last, -1), (middle, 1)], grid)
    assert found.gain == pytest.approx(0.05)
    assert found.margin == pytest.approx(3.182 * math.sqrt(2) * 0.01 * math.sqrt(6 / 2))


def test_returns_that_two_separate_pairs_would_claim_are_open() -> None:
    """.13 lies between the ±.111 of two pairs that share nothing and the ±.136 of three points."""
    runs = [
        Outcome(point=str(x), x=x, seed=seed, stage="distilled", top1=y + (seed - 0.5) * 0.035)
        for x, y in ((10, 0.5), (20, 0.65), (30, 0.67))
        for seed in (0, 1)
    ]
    assert verdicts("epochs", runs)["The returns diminish"] == "open"
