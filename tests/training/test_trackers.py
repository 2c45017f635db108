"""Trackers that fail: a run loses none of its own numbers by them."""

from pathlib import Path
from typing import Any

import pytest
from accelerate import Accelerator
from accelerate.tracking import GeneralTracker

from limbeck.errors import RunError
from limbeck.training import trackers
from limbeck.training.log import Log, read_metrics
from limbeck.training.ranks import Ranks
from tests.training.toy import PLAN


class Failing(GeneralTracker):
    """Takes numbers until a step, and cannot be closed."""

    name = "mlflow"
    requires_logging_directory = False
    tracker: Any = None

    def __init__(self, until: int) -> None:
        super().__init__(_blank=True)
        self.until = until
        self.taken: list[int] = []

    def start(self) -> None:
        if not self.until:
            raise ConnectionError("no server\nat all")

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        pass

    def log(self, values: dict[str, float], step: int | None = None, **_: Any) -> None:
        assert step is not None
        if step > self.until:
            raise ConnectionError("the server is gone")
        self.taken.append(step)

    def finish(self) -> None:
        raise ConnectionError("the server is gone")


def with_tracker(until: int) -> tuple[Ranks, Failing]:
    tracker = Failing(until)
    return Ranks(Accelerator(cpu=True, log_with=[tracker])), tracker


def test_a_tracker_that_fails_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ranks, tracker = with_tracker(2)
    ranks.accelerator.trackers = [tracker]
    log = Log(tmp_path, PLAN, ranks)
    for step in range(1, 6):
        log.write(step, {"loss": 1.0 / step})
    assert tracker.taken == [1, 2]
    said = capsys.readouterr().out
    assert said == "mlflow takes no more numbers (the server is gone); metrics.jsonl has them all\n"
    assert [record["step"] for record in read_metrics(tmp_path)] == [1, 2, 3, 4, 5]
    assert ranks.accelerator.trackers == []


def test_a_tracker_that_cannot_be_closed(capsys: pytest.CaptureFixture[str]) -> None:
    ranks, tracker = with_tracker(9)
    ranks.accelerator.trackers = [tracker]
    trackers.finish(ranks)
    assert capsys.readouterr().out == "mlflow may lack the last numbers: the server is gone\n"


def test_a_tracker_that_cannot_begin(tmp_path: Path) -> None:
    ranks, _ = with_tracker(0)
    with pytest.raises(RunError) as caught:
        trackers.start(ranks, ["mlflow"], tmp_path, {"lr": 0.1}, done=0)
    assert caught.value.found == "--track mlflow: ConnectionError: no server"
    assert ranks.accelerator.trackers == []
    assert not (tmp_path / "last" / "trackers.json").exists()
