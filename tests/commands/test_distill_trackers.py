"""limbeck distill --track, with the trackers that are installed: what a run told them that was stopped and resumed."""

import json
import sqlite3
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.commands.tiny import command, finished, line, options, records

pytestmark = pytest.mark.filterwarnings("ignore")  # theirs
TRACKERS = ("mlflow", "trackio", "wandb")
STEPS = 12
# as Ctrl-C in the middle of the fifth step
STOP = """
from limbeck.training.stopping import Stopping
asked = iter(range(1, 100))
Stopping.__bool__ = lambda self: next(asked) >= 5
"""


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, photos: Path, teacher: Path) -> Path:
    """A folder with a run, and what each tracker keeps of it."""
    installed = [name for name in TRACKERS if find_spec(name)]
    if not installed:
        pytest.skip(f"none of {', '.join(TRACKERS)} is installed")
    root = tmp_path_factory.mktemp("trackers")
    given = options(photos, teacher, root / "run", track=("tensorboard", *installed), steps=STEPS, probe=0.1)
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(root)
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "WANDB_RUN_ID", "TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL"):
            patched.delenv(name, raising=False)
        patched.setenv("WANDB_MODE", "offline")
        patched.setenv("TRACKIO_DIR", str(root / "trackio"))
        assert "stopped after step 5 of 12" in finished(command(line(given), before=STOP), expect=130)
        finished(command(["distill", "--out", str(root / "run"), "--resume"]))
    return root


@pytest.fixture
def told(here: Path) -> list[tuple[int, float]]:
    losses = [(record["step"], record["loss"]) for record in records(here / "run")]
    assert [step for step, _ in losses] == list(range(1, STEPS + 1))
    return losses


def test_mlflow(here: Path, told: list[tuple[int, float]]) -> None:
    mlflow = pytest.importorskip("mlflow")
    client = mlflow.MlflowClient(f"sqlite:///{here / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("limbeck").experiment_id])
    assert (run.info.run_name, run.info.status) == ("run", "FINISHED")
    assert run.data.params["student"] == "test_resnet"
    losses = client.get_metric_history(run.info.run_id, "loss")
    assert [(metric.step, metric.value) for metric in losses] == told
    assert client.get_metric_history(run.info.run_id, "probe_js")[-1].step == STEPS


def test_trackio(here: Path, told: list[tuple[int, float]]) -> None:
    pytest.importorskip("trackio")
    with sqlite3.connect(here / "trackio" / "limbeck.db") as database:
        rows = database.execute("SELECT run_name, step, metrics FROM metrics ORDER BY step, id").fetchall()
        configs = database.execute("SELECT config FROM configs").fetchall()
    assert len({name for name, _, _ in rows}) == 1
    numbers = [(step, json.loads(metrics)) for _, step, metrics in rows]
    assert [(step, each["loss"]) for step, each in numbers if "loss" in each] == told
    assert any(step == STEPS and "probe_js" in each for step, each in numbers)
    assert [json.loads(config)["student"] for (config,) in configs] == ["test_resnet"]


def test_wandb_offline(here: Path, told: list[tuple[int, float]]) -> None:
    """A run that is resumed offline is a second folder of the same run."""
    pytest.importorskip("wandb")
    identity = json.loads((here / "run" / "last" / "trackers.json").read_text())["wandb"]
    before, after = (file.read_bytes() for file in sorted(here.glob(f"wandb/offline-run-*-{identity}/*.wandb")))
    for step, loss in told:
        assert json.dumps(loss).encode() in (before if step <= 5 else after)
    assert b"probe_js" in after


def test_tensorboard_beside_others(here: Path) -> None:
    assert list((here / "run").glob("tensorboard/*/events.*"))


def test_a_tracker_that_cannot_begin_stops_the_run_before_it_trains(
    photos: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    (tmp_path / "file").touch()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'file' / 'mlflow.db'}")
    given = options(photos, teacher, tmp_path / "run", track=("mlflow",), steps=2)
    said = finished(command(line(given)), expect=2)
    assert "error: --track mlflow: " in said
    assert "try:      --track none" in said
    assert "Traceback" not in said
