"""report.html of a run that goes on, stops, or is done."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from limbeck.checkpoints.card import read_card
from limbeck.commands import distill, report
from limbeck.errors import Interrupted
from limbeck.report.page import write_report
from limbeck.runs.choices import known
from limbeck.ssld.job import Job
from limbeck.ssld.options import OPTIONS, Distill
from limbeck.training.stopping import Stopping
from tests.commands.tiny import options, records, run


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every page that the runs of a test write."""
    written: list[str] = []

    def write(run: Path, page: Any) -> Path:
        path = write_report(run, page)
        written.append(path.read_text())
        return path

    monkeypatch.setattr(report, "write_report", write)
    return written


def stop_after(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Ctrl-C in the middle of that step."""
    asked = iter(range(1, 10_000))
    monkeypatch.setattr(Stopping, "__bool__", lambda self: next(asked) >= steps)


def headings(page: str) -> list[str]:
    return [re.sub(r"\s+", " ", text) for text in re.findall(r"<h2[^>]*>(.*?)</h2>", page, re.DOTALL)]


def test_a_page_while_it_goes_on_at_most_every_half_minute(
    photos: Path, teacher: Path, tmp_path: Path, pages: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(photos, teacher, tmp_path / "run", probe=0.2)
    assert len(pages) == 2, "after the first evaluation and at the end"
    assert re.fullmatch(r"Step 5 of 20 as of \d{4}-\d\d-\d\d \d\d:\d\d", headings(pages[0])[0])
    assert f"limbeck distill --out {tmp_path / 'run'} --resume" in pages[0]
    assert "same answer on" in pages[0]
    assert pages[0].count("<img") == pages[1].count("<img") > 10
    assert "Load this page again" not in pages[1]
    assert (tmp_path / "run" / "report.html").read_text() == pages[1]
    monkeypatch.setattr(report, "_PAUSE", 0.0)
    monkeypatch.setattr(report, "_SHARE", 1e9)
    run(photos, teacher, tmp_path / "often", probe=0.2)
    stands = [headings(page)[0].partition(" as of ")[0] for page in pages[2:5]]
    assert stands == [f"Step {done} of 20" for done in (5, 10, 15)]


def test_a_page_of_a_run_that_was_stopped(
    photos: Path, teacher: Path, tmp_path: Path, pages: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_after(7, monkeypatch)
    with pytest.raises(Interrupted):
        run(photos, teacher, tmp_path / "run", probe=0.2)
    page = (tmp_path / "run" / "report.html").read_text()
    assert page == pages[-1]
    assert headings(page)[0] == "Stopped at step 7 of 20"
    assert "Everything is saved." in page
    assert f"limbeck distill --out {tmp_path / 'run'} --resume" in page
    monkeypatch.undo()
    run(photos, teacher, tmp_path / "run", probe=0.2, resume=True)
    assert len(records(tmp_path / "run")) == 20


def test_a_run_that_stops_before_its_first_evaluation_has_a_page(
    photos: Path, teacher: Path, tmp_path: Path, pages: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_after(2, monkeypatch)
    with pytest.raises(Interrupted):
        run(photos, teacher, tmp_path / "run", probe=0.2)
    (page,) = pages
    assert headings(page)[:2] == ["Stopped at step 2 of 20", "Too early to say"]


def test_few_and_no_held_out_photos_are_told(
    photos: Path, teacher: Path, tmp_path: Path, pages: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    run(photos, teacher, tmp_path / "few", probe=0.1, steps=2)
    assert "only 10 photos are held out" in capsys.readouterr().out
    assert "Uncertain: few photos are held out" in headings(pages[-1])
    assert "95\u00a0% interval" in pages[-1]
    run(photos, teacher, tmp_path / "none", probe=0.0, steps=2)
    assert "no photos are held out (--probe 0)" in capsys.readouterr().out
    assert "Not measured" in headings(pages[-1])
    run(photos, teacher, tmp_path / "tiny", probe=0.004, steps=2)
    assert "no photos are held out (--probe 0.004 of 96 photos is less than one)" in capsys.readouterr().out


def test_the_teacher_is_measured_beside_the_student_once(
    photos: Path, labelled: Path, teacher: Path, tmp_path: Path, pages: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(photos, teacher, tmp_path / "run", eval=str(labelled), steps=2)
    measured = read_card(tmp_path / "run").metrics["teacher_top1"]
    assert measured > 0.9
    assert json.loads((tmp_path / "run" / "last" / "teacher.json").read_text())["top1"] == measured
    assert f"the teacher {measured:.1%}".replace("%", "\u00a0%") in pages[-1]

    def never(*_: Any) -> None:
        raise AssertionError("it was measured before")

    monkeypatch.setattr(report, "teacher_accuracy", never)
    run(photos, teacher, tmp_path / "run", eval=str(labelled), steps=2, resume=True)
    assert read_card(tmp_path / "run").metrics["teacher_top1"] == measured


def test_a_teacher_that_is_not_needed_is_not_loaded_to_be_measured(
    photos: Path, labelled: Path, teacher: Path, tmp_path: Path, pages: list[str]
) -> None:
    """Its store knows every answer, and its checkpoint is far away."""
    module = distill.load(teacher).model
    store = str(tmp_path / "store")
    given = {"views": 1, "store": store, "epochs": 1, "teacher_size": 32, "eval": ""}
    told = known(options(photos, "python:module", tmp_path / "first", **given), OPTIONS, source="test")
    distill.run(Distill(**told), module)
    loaded: list[bool] = []

    def look(job: Job, model: nn.Module) -> list[Any]:
        assert job.teaching is not None
        loaded.append(job.teaching.loaded)
        return []

    classes = tmp_path / "classes"
    for number, name in enumerate(("bars", "disc", "plain", "rows")):
        shutil.copytree(labelled / name, classes / str(number))
    again = told | {"out": str(tmp_path / "second"), "eval": str(classes)}
    distill.run(Distill(**again), module, compare=look)
    assert loaded == [False]
    assert "not measured" in pages[-1]
    assert "teacher_top1" not in read_card(tmp_path / "second").metrics
