import math
from typing import Any

import pytest

from limbeck.report.interval import FEW, interval
from limbeck.report.verdict import verdict


def probes(agreement: list[float], js: list[float] | None = None) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = [
        {"step": 100 * number, "probe_agreement": value} for number, value in enumerate(agreement, start=1)
    ]
    for record, value in zip(records, js or [], strict=False):
        record["probe_js"] = value
    return records


def test_working_and_still_improving() -> None:
    found = verdict(probes([0.3, 0.6, 0.8, 0.912], [0.4, 0.2, 0.1, 0.05]), classes=10)
    assert (found.mood, found.headline) == ("good", "It is working")
    assert found.text == (
        "The student gives the teacher's answer on 91.2 % of held-out photos (chance 10 %), "
        "still improving in the last quarter."
    )


def test_working_and_level() -> None:
    found = verdict(probes([0.3, 0.9, 0.9, 0.9, 0.9], [0.4, 0.1, 0.1, 0.1, 0.1]), classes=10)
    assert (found.mood, found.headline, found.advice) == ("good", "It is working", "")
    assert found.text.endswith("(chance 10 %), level over the last quarter.")


def test_the_trend_falls_back_on_agreement_where_no_divergence_was_measured() -> None:
    assert "still improving" in verdict(probes([0.3, 0.5, 0.7, 0.8]), classes=10).text
    assert "level" in verdict(probes([0.3, 0.8, 0.8, 0.8]), classes=10).text


@pytest.mark.parametrize(("classes", "agreement"), [(2, 0.505), (10, 0.11), (1000, 0.0015), (21841, 0.0)])
def test_chance_is_not_learning(classes: int, agreement: float) -> None:
    found = verdict(probes([agreement] * 4, [0.6] * 4), classes)
    assert (found.mood, found.headline) == ("bad", "The student is not learning")
    assert found.advice


@pytest.mark.parametrize(("classes", "agreement"), [(2, 0.7), (10, 0.4), (1000, 0.02)])
def test_well_above_chance_is_learning(classes: int, agreement: float) -> None:
    found = verdict(probes([agreement / 2, agreement * 0.7, agreement], [0.6, 0.5, 0.4]), classes)
    assert (found.mood, found.headline) == ("good", "It is learning")


def test_level_far_from_the_teacher_calls_for_a_change() -> None:
    found = verdict(probes([0.4] * 5, [0.3] * 5), classes=10)
    assert (found.mood, found.headline) == ("fair", "It has stopped far from the teacher")
    assert found.advice


def test_getting_worse_names_the_best() -> None:
    found = verdict(probes([0.5, 0.8, 0.9, 0.7], [0.3, 0.2, 0.1, 0.2]), classes=10)
    assert found.mood == "fair"
    assert "90.0 %" in found.advice


def test_one_measurement_has_no_trend() -> None:
    assert verdict(probes([0.9], [0.1]), classes=10).text.endswith("(chance 10 %).")


def test_before_the_first_measurement() -> None:
    assert verdict([], classes=10).text == "Nothing has been measured yet."
    found = verdict([{"step": 5, "agreement": 0.25}], classes=10)
    assert found.mood == "unknown"
    assert "25.0 % of the photos it trains on" in found.text


def test_a_broken_loss_comes_first() -> None:
    history = [*probes([0.9]), {"step": 120, "loss": 0.1}, {"step": 130, "loss": float("nan")}]
    found = verdict(history, classes=10)
    assert found.mood == "bad"
    assert found.text == "The loss is not a finite number at step 130."


def test_a_loss_that_recovered_is_forgotten() -> None:
    history = [{"step": 120, "loss": float("nan")}, {"step": 130, "loss": 0.1}, *probes([0.9])]
    assert verdict(history, classes=10).mood == "good"


def test_numbers_that_are_none_or_nan_are_passed_over() -> None:
    history = [*probes([0.9], [0.1]), {"step": 200, "probe_agreement": float("nan"), "probe_js": None}]
    assert "90.0 %" in verdict(history, classes=10).text


def test_a_single_class_is_no_division_by_zero() -> None:
    assert verdict(probes([1.0]), classes=1).text.endswith("(chance 100 %).")


def test_a_handful_of_photos_is_no_firm_answer() -> None:
    found = verdict(probes([0.3, 0.6, 0.8], [0.4, 0.2, 0.1]), classes=10, held=5)
    assert (found.mood, found.headline) == ("unknown", "Uncertain: few photos are held out")
    assert "on 80.0 % of the 5 held-out photos (chance 10 %)" in found.text
    assert "from 38 % to 96 % (95 % interval)" in found.text
    assert "50 photos or more" in found.advice
    assert "limbeck evaluate RUN --images OTHER_PHOTOS" in found.advice


@pytest.mark.parametrize("held", [50, 2000, None])
def test_enough_photos_are(held: int | None) -> None:
    assert verdict(probes([0.3, 0.6, 0.8], [0.4, 0.2, 0.1]), classes=10, held=held).headline == "It is working"


def test_no_held_out_photos_are_told() -> None:
    found = verdict([{"step": 5, "agreement": 0.25}], classes=10, held=0)
    assert (found.mood, found.headline) == ("unknown", "Not measured")
    assert "No photos were held out" in found.text
    assert "25.0 % of the photos it trains on" in found.text
    assert "limbeck evaluate" in found.advice


def test_a_student_of_labels_has_no_teacher_to_follow() -> None:
    found = verdict([{"step": 5, "accuracy": 0.75}, {"step": 5, "top1": 0.5}], classes=10)
    assert found.headline == "Learned from labels"
    assert "75.0 % of the photos it trains on" in found.text
    assert "50.0 %" in found.text
    assert "teacher" not in found.text


@pytest.mark.parametrize("count", [1, 10, 49, 1000])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_the_interval_is_where_the_share_is_plausible(count: int, share: float) -> None:
    """By its definition: at its ends the share found is 1.96 standard deviations away."""
    low, high = interval(share, count)
    assert 0 <= low <= high <= 1
    assert low - 1e-9 <= share <= high + 1e-9
    for end in (low, high):
        if 1e-9 < end < 1 - 1e-9:
            assert abs(share - end) == pytest.approx(1.96 * math.sqrt(end * (1 - end) / count))


def test_fifty_photos_bound_the_interval() -> None:
    widths = [interval(share / 100, FEW)[1] - interval(share / 100, FEW)[0] for share in range(101)]
    assert 0.26 < max(widths) < 0.27
