"""limbeck distill, from a checkpoint or a file of weights that is gone when the run goes on."""

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

import limbeck
from limbeck.errors import Interrupted
from limbeck.training import loop
from limbeck.training.state import read_progress
from tests.commands.tiny import options, run, weights


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch, photos: Path, teacher: Path, tmp_path: Path) -> Any:
    """A run that is stopped, as by Ctrl-C, in a given step."""

    def until(step: int, **changes: Any) -> Path:
        forward_backward, calls = loop.forward_backward, [0]

        def stopping(*given: Any, **named: Any) -> Any:
            calls[0] += 1
            if calls[0] == step:
                signal.raise_signal(signal.SIGINT)
            return forward_backward(*given, **named)

        with monkeypatch.context() as patched:
            patched.setattr(loop, "forward_backward", stopping)
            with pytest.raises(Interrupted):
                limbeck.distill(**options(photos, teacher, tmp_path / "cut", epochs=2, **changes))
        assert read_progress(tmp_path / "cut").done == step
        return tmp_path / "cut"

    return until


def test_the_start_checkpoint_may_go(photos: Path, teacher: Path, tmp_path: Path, interrupted: Any) -> None:
    start = shutil.copytree(teacher, tmp_path / "start")
    run(photos, teacher, tmp_path / "whole", student=str(start), epochs=2)
    cut = interrupted(8, student=str(start))
    shutil.rmtree(start)
    limbeck.distill(out=cut, resume=True)
    assert weights(cut) == weights(tmp_path / "whole")


def test_the_start_weights_may_go(photos: Path, teacher: Path, tmp_path: Path, interrupted: Any) -> None:
    file = shutil.copy(teacher / "student" / "model.safetensors", tmp_path / "start.safetensors")
    run(photos, teacher, tmp_path / "whole", student_weights=str(file), epochs=2)
    cut = interrupted(4, student_weights=str(file))  # before its first student is shipped
    assert not (cut / "student" / "card.json").exists()
    Path(file).unlink()
    limbeck.distill(out=cut, resume=True)
    assert weights(cut) == weights(tmp_path / "whole")


def test_a_config_asks_again_for_what_was_asked(photos: Path, teacher: Path, tmp_path: Path, interrupted: Any) -> None:
    cut = interrupted(8, views=2, student_size=0)
    before = (cut / "config.json").read_text()
    assert json.loads(before)["resolved"] == {"keep_top": 4}
    limbeck.distill(out=cut, resume=True)
    assert (cut / "config.json").read_text() == before
    again = tmp_path / "again"
    limbeck.distill(config=str(cut / "config.json"), out=str(again), views=0, student="test_vit", steps=1)
    assert json.loads((again / "config.json").read_text())["resolved"] == {}
