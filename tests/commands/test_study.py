"""limbeck study: grids over whole runs, resumed, shared, and told in a page and a CSV."""

import csv
import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models import register_model

import limbeck
from limbeck.cli import main
from limbeck.commands.study_grid import points, runs, subset
from limbeck.commands.study_options import Study, check
from limbeck.errors import LimbeckError, OptionError
from limbeck.images.imageset import ImageSet
from limbeck.report import study_page
from limbeck.report.outcomes import Outcome
from limbeck.ssld.options import Distill
from tests.commands.tiny import command, draw, finished, options

_OWN_PLACE = ("images", "teacher", "out", "epochs", "steps")


@pytest.fixture(scope="module")
def unseen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labelled photos that nothing is trained on."""
    return draw(tmp_path_factory.mktemp("study") / "test", 8, seed=3, folders=True)


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing looks at them: they take longer than the runs."""
    monkeypatch.setattr(study_page, "pictures", lambda out, page: [])


def common(photos: Path, teacher: Any, out: Path, unseen: Path, **changes: Any) -> dict[str, Any]:
    shared = options(photos, teacher, out, steps=6, save_every=2, eval=str(unseen))
    return {name: value for name, value in shared.items() if name != "epochs"} | changes


def study(name: str, photos: Path, teacher: Any, out: Path, unseen: Path, **changes: Any) -> list[Outcome]:
    return limbeck.study(name, **common(photos, teacher, out, unseen, **changes))


def rows(file: Path) -> list[dict[str, str]]:
    with file.open() as text:
        return list(csv.DictReader(text))


def line(given: dict[str, Any]) -> list[str]:
    from tests.commands.tiny import line as words

    return words(given)[1:]


def test_weight_decay_with_stage_two(photos: Path, labelled: Path, teacher: Path, unseen: Path, tmp_path: Path) -> None:
    out = tmp_path / "study"
    found = study(
        "weight-decay",
        photos,
        teacher,
        out,
        unseen,
        points=(1e-2, 1e-4),
        labelled=str(labelled),
        finetune_steps=2,
        seeds=1,
    )
    assert [(run.point, run.stage) for run in found] == [
        (point, stage) for point in ("0.01", "1e-4") for stage in ("distilled", "finetuned")
    ]
    told = rows(out / "weight-decay.csv")
    assert [float(row["top1"]) for row in told] == [run.top1 for run in found]
    assert {row["weight_decay"] for row in told} == {"0.01", "0.0001"}
    assert {row["loss"] for row in told if row["stage"] == "finetuned"} == {"cross-entropy"}
    tuned = json.loads((out / "runs" / found[1].run / "config.json").read_text())
    assert tuned["student"] == str(out / "runs" / found[0].run)
    assert tuned["lr"] == pytest.approx(0.008)
    assert [store.is_dir() for store in (out / "stores").iterdir()] == [True]
    text = (out / "weight-decay.html").read_text()
    assert "Table 5" in text
    assert "student, stage two" in text
    assert {file.name for file in out.glob("*.png")} >= {"weight-decay-top1.png", "weight-decay-paper.png"}


@pytest.mark.usefixtures("no_pictures")
def test_what_is_done_is_not_done_again(
    photos: Path, teacher: Path, unseen: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The base point of a second study is a run of the first; the second seed of both is added later."""
    out = tmp_path / "study"
    first = study("weight-decay", photos, teacher, out, unseen, points=(1e-2, 1e-5), seeds=1)
    capsys.readouterr()
    second = study("volume", photos, teacher, out, unseen, points=("0.5", "1"), seeds=1)
    said = capsys.readouterr().out
    assert second[1].run == first[1].run
    assert "2 runs: 2 points of photos, 1 seed; 1 done before" in said
    assert "96 there" in said
    assert len(list((out / "runs").iterdir())) == 3
    assert [run.photos for run in second] == [48, 96]
    before = {path: path.stat().st_mtime_ns for path in (out / "runs").glob("*/student/model.safetensors")}
    again = study("volume", photos, teacher, out, unseen, points=("0.5", "1"), seeds=2)
    assert [run.seed for run in again] == [0, 0, 1, 1]
    assert all(path.stat().st_mtime_ns == then for path, then in before.items())


@pytest.mark.usefixtures("no_pictures")
def test_teachers_are_measured_and_have_a_store_each(
    photos: Path, labelled: Path, teacher: Path, unseen: Path, tmp_path: Path
) -> None:
    weak = tmp_path / "weak"
    limbeck.distill(**options(labelled, "", weak, loss="cross-entropy", steps=1))
    out = tmp_path / "study"
    found = study(
        "teacher", photos, teacher, out, unseen, teachers=(str(weak), str(teacher)), seeds=1, check_teacher=False
    )
    own = {run.point: run.teacher_top1 for run in found}
    assert own[str(teacher)] == pytest.approx(limbeck.evaluate(teacher, unseen)["top1"])
    assert own[str(weak)] < own[str(teacher)]  # type: ignore[operator]
    assert [run.x for run in found] == list(own.values())
    assert len(list((out / "stores").iterdir())) == 2
    assert len(list((out / "measured").glob("teacher-*.json"))) == 2


@pytest.mark.usefixtures("no_pictures")
def test_epochs(photos: Path, teacher: Path, unseen: Path, tmp_path: Path) -> None:
    found = study("epochs", photos, teacher, tmp_path / "study", unseen, points=(1, 2), seeds=1, steps=0)
    assert [(run.point, run.steps) for run in found] == [("1", 6), ("2", 12)]
    assert [len(run.curve) for run in found] == [1, 2]


def test_trade_off_with_baselines(photos: Path, labelled: Path, teacher: Path, unseen: Path, tmp_path: Path) -> None:
    out = tmp_path / "study"
    students = ("test_resnet", "test_efficientnet")
    given = {"students": students, "volumes": ("0.5",), "labelled": str(labelled), "seeds": 1}
    found = study("trade-off", photos, teacher, out, unseen, **given)
    assert [(run.student, run.stage, run.photos) for run in found] == [
        *((student, "distilled", 48) for student in students),
        *((student, "labels", 96) for student in students),
    ]
    assert all(run.latency_ms and run.latency_ms > 0 for run in found)
    assert {run.lr for run in found if run.stage == "labels"} == {0.2}
    assert (out / "trade-off-bubbles.png").exists()
    assert len(list((out / "measured").glob("latency-*.json"))) == 2


def test_a_larger_volume_contains_the_smaller(photos: Path, tmp_path: Path) -> None:
    images = ImageSet.open(photos, shown=False, workers=0)
    parts = [ImageSet.open(subset(images, count, tmp_path / f"{count}.arrow"), shown=False) for count in (10, 40, 90)]
    keys = [{key.tobytes() for key in part.keys} for part in parts]
    assert [len(each) for each in keys] == [10, 40, 90]
    assert keys[0] < keys[1] < keys[2]
    shuffled = images.take(np.random.default_rng(0).permutation(len(images)))
    other = ImageSet.open(subset(shuffled, 40, tmp_path / "other.arrow"), shown=False)
    assert {key.tobytes() for key in other.keys} == keys[1]


@pytest.mark.usefixtures("no_pictures")
def test_a_run_that_breaks_is_a_result(photos: Path, teacher: Path, unseen: Path, tmp_path: Path) -> None:
    out = tmp_path / "study"
    found = study("weight-decay", photos, teacher, out, unseen, points=(1e30, 1e-4), seeds=1)
    assert "js nan" in found[0].failed
    assert found[0].top1 is None
    assert found[1].top1 is not None
    assert "js nan" in (out / "weight-decay.html").read_text()


@pytest.mark.slow
def test_killed_and_gone_on_with(photos: Path, teacher: Path, unseen: Path, tmp_path: Path) -> None:
    """kill -9 in the middle of a run: the same command ends with what a study that was never killed has."""
    given = {"points": ("1e-2", "1e-4"), "seeds": "1", "steps": "40"}
    words = {}
    for name in ("whole", "cut"):
        shared = common(photos, teacher, tmp_path / name, unseen) | given
        words[name] = ["study", "weight-decay", *line(shared)]
    finished(command(words["whole"]))
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = command(words["cut"], **quiet)
    runs = tmp_path / "cut" / "runs"
    deadline = time.monotonic() + 240
    while not any(log.read_text().count('"loss"') >= 9 for log in runs.glob("*wd0.0001*/metrics.jsonl")):
        assert process.poll() is None, "it ended before it was killed"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert len(list(runs.glob("*/outcome.json"))) == 1
    said = finished(command(words["cut"]))
    assert "1 done before" in said
    assert "going on after step" in said
    whole, cut = (rows(tmp_path / name / "weight-decay.csv") for name in ("whole", "cut"))
    assert [row["top1"] for row in whole] == [row["top1"] for row in cut]


@pytest.mark.slow
def test_two_processes_share_the_runs(photos: Path, teacher: Path, unseen: Path, tmp_path: Path) -> None:
    shared = common(photos, teacher, tmp_path / "study", unseen, steps=20)
    words = ["study", "weight-decay", *line(shared), "--points", "1e-2", "1e-3", "1e-4", "--seeds", "2"]
    one, two = command(words), command(words)
    said = [finished(one), finished(two)]
    did = [text.count("student ") - text.count("--student ") for text in said]
    assert len(list((tmp_path / "study" / "runs").glob("*/outcome.json"))) == 6
    assert all(did)
    assert len(rows(tmp_path / "study" / "weight-decay.csv")) == 6


@pytest.mark.usefixtures("no_pictures")
def test_by_command(photos: Path, teacher: Path, unseen: Path, tmp_path: Path) -> None:
    words = line(common(photos, teacher, tmp_path / "study", unseen, steps=2))
    main(["study", "volume", *words, "--points", "0.5", "1", "--seeds", "1", "--weight-decay", "3e-5"])
    told = rows(tmp_path / "study" / "volume.csv")
    assert [row["photos"] for row in told] == ["48", "96"]
    assert {row["weight_decay"] for row in told} == {"3e-05"}


@pytest.mark.usefixtures("no_pictures")
def test_a_timm_model_that_python_registered(photos: Path, labelled: Path, unseen: Path, tmp_path: Path) -> None:
    """A teacher of which nobody said the classes' names goes through stage two with true labels all the same."""

    @register_model
    def student_of_these_tests(pretrained: bool = False, **args: Any) -> torch.nn.Module:
        return timm.create_model("test_resnet", **args)

    save_file(timm.create_model("test_resnet", num_classes=4).state_dict(), tmp_path / "t.safetensors")
    given = common(photos, "test_resnet", tmp_path / "study", unseen, steps=2, points=(1e-4,), seeds=1)
    given |= {"student": "student_of_these_tests", "teacher_weights": str(tmp_path / "t.safetensors")}
    found = limbeck.study("weight-decay", **given, check_teacher=False, labelled=str(labelled), finetune_steps=2)
    assert [run.stage for run in found] == ["distilled", "finetuned"]
    assert all(run.top1 is not None for run in found)


@pytest.mark.parametrize(
    ("given", "found", "hint"),
    [
        ({"name": "volumes"}, "unknown study 'volumes'", "limbeck study volume"),
        ({"name": "teacher"}, "fewer than two", "--teachers A B"),
        ({"name": "teacher", "teachers": ("a",)}, "fewer than two", "--teachers A B"),
        ({"name": "volume", "teachers": ("a", "b")}, "--teachers with the study volume", "--teacher T"),
        ({"name": "volume", "students": ("a", "b")}, "--students or --volumes", "limbeck study trade-off"),
        ({"name": "trade-off", "points": ("1",)}, "--points with the study trade-off", "--students A B"),
        ({"name": "volume", "seeds": 0}, "--seeds is 0", "--seeds 2"),
        ({"name": "volume", "finetune_epochs": 3}, "without photos", "--labelled FOLDER"),
        ({"name": "volume", "labelled": ("a",)}, "without a stage two", "--finetune-epochs 30"),
        ({"name": "volume", "finetune_loss": "mse"}, "--finetune-loss mse", "--finetune-loss cross-entropy"),
        ({"name": "epochs", "base": Distill(steps=9)}, "--steps 9 with the study epochs", "--points 5 10 20"),
        ({"name": "volume", "base": Distill(loss="cross-entropy")}, "--loss cross-entropy", "--loss js"),
        ({"name": "volume", "base": Distill(resume=True)}, "--resume", "the same command again"),
        ({"name": "volume", "base": Distill(probe=0.0)}, "--probe 0 without --eval", "--eval LABELLED"),
        ({"name": "volume"}, "--teacher is missing", "--teacher T"),
        ({"name": "volume", "base": Distill(teacher="a")}, "--student is missing", "--student S"),
        ({"name": "trade-off", "base": Distill(teacher="a")}, "--student is missing", "--students A B"),
    ],
)
def test_what_no_study_can_do(given: dict[str, Any], found: str, hint: str) -> None:
    with pytest.raises(LimbeckError, match=found) as error:
        check(Study(**given))
    assert error.value.hint.startswith(hint)


@pytest.mark.parametrize(
    ("name", "values", "hint"),
    [
        ("weight-decay", ("-1",), "--points -1"),
        ("weight-decay", ("much",), "--points 1e-5"),
        ("epochs", ("1.5",), "--points 2"),
        ("volume", ("2000",), "--points 0.25 0.5 1"),
        ("volume", ("nan",), "--points"),
    ],
)
def test_points_that_are_none(name: str, values: tuple[str, ...], hint: str) -> None:
    with pytest.raises(OptionError, match="--points") as error:
        points(Study(name, points=values), photos=1000)
    assert hint in error.value.hint or hint in str(error.value)


def test_a_run_is_named_by_what_it_is() -> None:
    base = Distill(images=("/photos",), student="resnet18", loss="js", steps=9)

    def name(print: str = "aa", **changes: Any) -> str:
        grid = Study("weight-decay", Distill(**vars(base) | changes), points=("1e-4",), seeds=1)
        (run,) = runs(grid, points(grid, 100), 100, {grid.base.images: print})
        return run.name

    assert name() == name(workers=3, store="elsewhere", log_every=7)
    assert name() == name(images=("/moved",))
    assert len({name(), name(steps=8), name(lr=0.2), name(colour="jitter"), name(print="of one photo more")}) == 5
