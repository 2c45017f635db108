"""Ctrl-C, once and again."""

import os
import signal
from pathlib import Path

import pytest

from limbeck.errors import Interrupted
from limbeck.training.loop import fit
from limbeck.training.state import read_progress, state_file
from limbeck.training.stopping import Stopping
from tests.training.toy import PLAN, Toy, ranks, same, stream, train, vectors


def ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_several_at_once_are_one() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Stopping() as stopping:
        for _ in range(3):
            ctrl_c()
            os.kill(os.getpid(), signal.SIGTERM)
        assert stopping
    assert signal.getsignal(signal.SIGINT) is before


def test_a_later_one_stops_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stopping, "SAME_SECONDS", 0.0)
    with Stopping() as stopping:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stopping
        with pytest.raises(KeyboardInterrupt):
            ctrl_c()


def test_one_more_while_it_saves_keeps_the_state_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train(tmp_path / "whole")
    monkeypatch.setattr(Stopping, "SAME_SECONDS", 0.0)
    real, asked = os.fsync, False

    def impatient(handle: int) -> None:
        if asked:
            ctrl_c()
        real(handle)

    def interrupted(done: int, replaced: dict[int, int]):
        nonlocal asked
        for step in range(done, PLAN.steps):
            if step == 4:
                asked = True
                ctrl_c()
            yield vectors(step)

    monkeypatch.setattr(os, "fsync", impatient)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", batches=interrupted)
    monkeypatch.undo()
    assert read_progress(tmp_path / "cut").done == 4
    assert [path.name for path in state_file(tmp_path / "cut").parent.iterdir()] == ["state.safetensors"]
    assert same(whole, train(tmp_path / "cut"))


def test_one_more_while_readers_end_is_still_the_same_message(tmp_path: Path) -> None:
    def slow_to_end(done: int, replaced: dict[int, int]):
        try:
            for step in range(done, PLAN.steps):
                ctrl_c()
                yield vectors(step)
        finally:
            ctrl_c()

    with pytest.raises(Interrupted, match="after step 1 of 8"):
        train(tmp_path, batches=slow_to_end)


def test_one_in_the_last_evaluation_stops_what_comes_after_the_run(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole")

    def evaluate(model: object, done: int) -> dict[str, float]:
        if done == PLAN.steps:
            ctrl_c()
        return {}

    with pytest.raises(Interrupted, match="after step 8 of 8"):
        fit(Toy(), stream, PLAN, evaluate, tmp_path, ranks())
    assert same(whole, train(tmp_path))


def test_the_launcher_of_a_failed_process_waits_until_it_has_told_why() -> None:
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(ValueError, match="lost"), Stopping(launched=True):
            raise ValueError("lost")
        os.kill(os.getpid(), signal.SIGTERM)  # deadly otherwise
    finally:
        signal.signal(signal.SIGTERM, before)
    with pytest.raises(ValueError, match="lost"), Stopping():
        raise ValueError("lost")
    assert signal.getsignal(signal.SIGTERM) is before
