import numpy as np
import pytest

from limbeck.report.history import series, smooth, thin

NAN = float("nan")


def test_series_keeps_finite_numbers_in_order_of_steps() -> None:
    history = [
        {"step": 3, "loss": 0.3},
        {"step": 1, "loss": 0.1},
        {"step": 2, "loss": NAN},
        {"step": 4, "loss": None},
        {"step": 5, "loss": "high"},
        {"step": 6, "loss": float("inf")},
        {"step": 7, "loss": True},
        {"step": 8},
        {"loss": 0.9},
    ]
    steps, values = series(history, "loss")
    assert steps.tolist() == [1, 3]
    assert values.tolist() == [0.1, 0.3]


def test_a_step_that_ran_twice_counts_as_it_went_last() -> None:
    history = [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.4}, {"step": 2, "loss": 0.3}]
    assert series(history, "loss")[1].tolist() == [0.5, 0.3]


def test_no_history_is_no_points() -> None:
    steps, values = series([], "loss")
    assert len(steps) == len(values) == 0
    assert len(smooth((steps, values))[0]) == 0


@pytest.mark.parametrize("count", [1, 2, 399, 400, 401, 402, 1000, 100_003])
def test_thinning_keeps_the_ends_the_extremes_and_the_limit(count: int) -> None:
    steps = np.arange(float(count))
    values = np.random.default_rng(0).normal(size=count)
    if count > 4:
        values[count // 3], values[count // 2] = 99, -99
    thinned_steps, thinned = thin((steps, values))
    assert len(thinned) == len(thinned_steps) <= 400
    assert thinned_steps[0] == 0
    assert thinned_steps[-1] == count - 1
    assert thinned.min() == values.min()
    assert thinned.max() == values.max()
    assert (np.diff(thinned_steps) > 0).all()
    assert np.array_equal(values[thinned_steps.astype(int)], thinned)


def test_a_short_curve_is_left_as_it_is() -> None:
    points = np.arange(400.0), np.arange(400.0)
    assert thin(points) is points
