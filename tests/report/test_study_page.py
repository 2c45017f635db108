"""The page of a study: what it says, its pictures beside it, and how it looks in a browser."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
from browser import CHROMIUM, Tab, visit
from PIL import Image
from study_samples import every, outcomes, page, weight_decay

from limbeck.report.outcomes import Outcome
from limbeck.report.study_page import write_study_page


@pytest.mark.parametrize("name", every())
def test_page_and_pictures(name: str, tmp_path: Path) -> None:
    text = write_study_page(tmp_path, page(name, every()[name])).read_text()
    pictures = sorted(each.stem for each in tmp_path.glob("*.png"))
    wanted = {"trade-off": ["trade-off-bubbles"], "teacher": ["teacher-paper", "teacher-top1"]}
    wanted |= {"volume": ["volume-paper", "volume-top1"]}
    assert pictures == wanted.get(name, [f"{name}-{each}" for each in ("convergence", "paper", "top1")])
    assert all(f'id="{each}"' in text for each in pictures)
    assert "://" not in re.sub(r'xmlns(:xlink)?="[^"]+"', "", text)
    for picture in tmp_path.glob("*.png"):
        with Image.open(picture) as drawn:
            assert np.asarray(drawn.convert("L")).std() > 5


def test_numbers_beside_the_papers(tmp_path: Path) -> None:
    text = write_study_page(tmp_path, page("weight-decay", weight_decay())).read_text()
    for told in ("Table 5", "77.11", "77.40", "78.36", "holds here", "student, stage two", "± 0."):
        assert told in text
    assert re.search(r"<b>79\.\d\d</b>", text)


def test_a_study_that_goes_on(tmp_path: Path) -> None:
    begun = dataclasses.replace(page("weight-decay", []), runs=6)
    assert "0 of 6 runs are done" in write_study_page(tmp_path, begun).read_text()
    assert not list(tmp_path.glob("*.png"))


def test_a_run_that_broke_is_told(tmp_path: Path) -> None:
    broken = Outcome(point="3e-5", x=3e-5, seed=1, stage="distilled", failed="the loss is nan at step 7", run="r")
    text = write_study_page(tmp_path, page("weight-decay", [*outcomes([(1e-5, 0.5)], noise=0), broken])).read_text()
    assert "3e-5, seed 1: the loss is nan at step 7" in text


def test_names_are_escaped(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>"
    runs = outcomes([(1e-5, 0.5), (2e-5, 0.4)], noise=0.01, run=hostile)
    text = write_study_page(
        tmp_path, page("weight-decay", runs, teacher=hostile, settings=[(hostile, "x")])
    ).read_text()
    assert "<script" not in text


def test_agreement_where_there_are_no_labels(tmp_path: Path) -> None:
    runs = outcomes([(1e-5, 0.5), (2e-5, 0.4)], noise=0.01, agreement=0.8)
    text = write_study_page(tmp_path, page("weight-decay", runs, measure="agreement")).read_text()
    assert "agreement with the teacher in per cent" in text
    assert "80.00" in text


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="needs Chromium: apt-get install chromium")
@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("name", ["weight-decay", "trade-off"])
def test_in_a_browser(name: str, width: int, tmp_path: Path) -> None:
    path = write_study_page(tmp_path, page(name, every()[name]))

    async def act(tab: Tab) -> None:
        for scheme, light in (("light", True), ("dark", False)):
            await tab.look(width, scheme)
            assert await tab.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
            paper = np.median(np.asarray((await tab.picture("html")).convert("L"), dtype=float))
            assert paper > 230 if light else paper < 40
            drawn = np.asarray((await tab.picture(".curve svg")).convert("L"), dtype=float)
            assert drawn.std() > 5
        assert not tab.events("Log.entryAdded")
        assert not tab.events("Runtime.exceptionThrown")

    visit(path, tmp_path / "profile", act)
