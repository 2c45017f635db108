import re
import subprocess
import sys
from xml.etree import ElementTree

import pytest
from samples import history

from limbeck.report.curves import curves


def test_each_number_has_its_panel() -> None:
    drawn = {
        curve.title: [line.key for line in curve.lines] for curve in curves([*history(), {"step": 9, "top1": 0.5}])
    }
    assert drawn == {
        "Loss": ["loss"],
        "Agreement with the teacher": ["agreement", "probe_agreement", "top1"],
        "Distance from the teacher": ["probe_js"],
        "Learning rate": ["lr"],
    }


def test_words_tell_the_curve_to_those_who_cannot_see_it() -> None:
    (curve,) = curves([{"step": 10, "loss": 0.5}, {"step": 4000, "loss": 0.25}])
    assert curve.words == "Loss: in training from 0.5 at step 10 to 0.25 at step 4,000."


@pytest.mark.parametrize("value", [0.0, 1e-9, 0.5, 1e9, -1.0])
def test_one_point_is_drawn_as_a_dot(value: float) -> None:
    (curve,) = curves([{"step": 0, "loss": value}])
    assert "<use" in curve.svg
    assert curve.note == f"one measurement, the mean up to step 0: in training {value:.3g}"


def test_a_short_run_says_what_its_points_are() -> None:
    few = [{"step": step, "loss": 1 / step} for step in (2, 4)]
    loss, precision = curves([*few, {"step": 4, "AP": 0.25, "AP50": 0.5}])
    assert loss.note == "a point is the mean of the steps since the one before"
    assert loss.svg.count("<use") >= 2, "each is seen"
    assert precision.note.replace("\u00a0", " ") == "one measurement, at step 4: AP 25.0 %, AP50 50.0 %"
    assert not any(curve.note for curve in curves(history()))


def test_nothing_to_draw() -> None:
    assert curves([]) == []
    assert curves([{"step": 1, "loss": float("nan")}, {"step": 2, "data_wait": 0.1}]) == []


def test_a_long_run_is_a_small_drawing() -> None:
    long = [{"step": step, "loss": (step * 7919 % 1000) / 1000} for step in range(100_000)]
    (curve,) = curves(long)
    assert max(path.count("L ") for path in re.findall(r' d="([^"]*)"', curve.svg)) == 399
    assert len(curve.svg) < 40_000


def test_colours_and_font_are_the_pages() -> None:
    for curve in curves(history()):
        ElementTree.fromstring(curve.svg.replace("xlink:href", "href"))
        colours = set(re.findall(r"(?:stroke|fill): ([^;\"]+)", curve.svg))
        assert colours <= {"none", "var(--muted)", "var(--line)", "var(--accent)", "var(--ink)"}
        assert "var(--accent)" in colours
        assert "<text" in curve.svg
        assert not re.search(r"http|font-family|<style|<metadata", curve.svg)


def test_ids_are_unique_on_the_page_and_every_reference_is_met() -> None:
    svg = "".join(curve.svg for curve in curves(history()))
    ids = re.findall(r' id="([^"]+)"', svg)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:url\(|href=")#([^")]+)', svg)) == set(ids)


def test_the_same_history_is_the_same_drawing() -> None:
    assert [curve.svg for curve in curves(history())] == [curve.svg for curve in curves(history())]


def test_matplotlib_is_imported_on_use_and_never_pyplot() -> None:
    script = (
        "import sys, limbeck.report.page, limbeck.report.curves as c;"
        "assert not any(m.startswith(('matplotlib', 'jinja2')) for m in sys.modules);"
        "c.curves([{'step': 1, 'loss': .5}]);"
        "assert 'matplotlib.figure' in sys.modules and 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
