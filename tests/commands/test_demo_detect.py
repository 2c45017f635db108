"""The demo of detectors: at a reduced size always, as it is with two seeds when there is time."""

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import tyro
from PIL import Image

from limbeck.cli import main
from limbeck.commands.demo_detect import demo_detect
from limbeck.commands.demo_stages import Demo, Stages
from limbeck.commands.distill import starting_point
from limbeck.commands.train import starting_options
from limbeck.detection.train_options import Train
from limbeck.errors import Interrupted, RunError
from limbeck.runs.choices import from_json, table_of
from limbeck.ssld.options import Distill

NAMES = ["SSDLite from scratch", "SSDLite on the distilled backbone"]
QUICK: dict[str, Any] = {"detect": True, "size": 0.01, "workers": 0}


@pytest.fixture(autouse=True)
def quick_end() -> None:
    """The reports of a demo are real ones."""


def test_at_a_reduced_size(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMBECK_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "demo"
    main(["demo", "--detect", "--out", str(out), "--size", "0.01", "--workers", "0"])
    said = capsys.readouterr().out
    for part in ("1/6", "6/6", " left", "AP50", "report: ", *NAMES):
        assert part in said
    page = (out / "report.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 12
    assert all(name in page for name in (*NAMES, "AP while they learned"))
    with Image.open(out / "detections.png") as picture:
        assert picture.width > picture.height > 600
    assert all((out / name / "report.html").exists() for name in ("distilled", "scratch", "detector"))
    said_lines = [shlex.split(line)[2:] for line in said.splitlines() if line.startswith("$ limbeck ")]
    assert [words[0] for words in said_lines] == ["distill", "distill", "train", "train", "evaluate", "evaluate"]
    check_lines(out, said_lines[:4])
    scratch, distilled = (stored(out / name) for name in ("scratch", "detector"))
    differ = {name for name in vars(scratch) if getattr(scratch, name) != getattr(distilled, name)}
    assert differ == {"out", "backbone", "backbone_args", "layer_rates"}, "the same steps, rates, photos and seed"

    # what is finished is kept, what is not is done again: to the same weights
    before = {name: (out / name / "student" / "model.safetensors").read_bytes() for name in ("distilled", "detector")}
    changed = (out / "distilled" / "student" / "model.safetensors").stat().st_mtime_ns
    shutil.rmtree(out / "detector")
    mark = out / ".limbeck-demo"
    told = json.loads(mark.read_text())
    mark.write_text(json.dumps(told | {"finished": [name for name in told["finished"] if name != "detector"]}))
    rivals = demo_detect(Demo(str(out), **QUICK, resume=True))
    assert [rival.name for rival in rivals] == NAMES
    assert capsys.readouterr().out.count("done before") == 3
    assert before == {name: (out / name / "student" / "model.safetensors").read_bytes() for name in before}
    assert (out / "distilled" / "student" / "model.safetensors").stat().st_mtime_ns == changed
    with pytest.raises(RunError, match="is one with --seed 0 --size 0"):
        demo_detect(Demo(str(out), **QUICK, resume=True, seed=3))


def test_a_stopped_stage_says_how_the_demo_goes_on(tmp_path: Path) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    stages = Stages(Demo(str(tmp_path / "demo"), detect=True, size=0.5), {"draw": 0.5, "teacher": 0.5})
    stages.do("draw", "drawing", lambda: None)
    with pytest.raises(Interrupted) as stopped:
        stages.do("teacher", "the teacher", stop)
    assert stopped.value.hint == f"limbeck demo --out {tmp_path / 'demo'} --detect --resume --size 0.5"
    again = Stages(Demo(str(tmp_path / "demo"), detect=True, resume=True, size=0.5), stages.shares)
    assert again.finished == ["draw"]
    assert Stages(Demo(str(tmp_path / "demo"), size=0.5), stages.shares).finished == [], "without --resume: anew"


def check_lines(out: Path, lines: list[list[str]]) -> None:
    """Typed, each of them runs what the demo ran."""
    for words, name in zip(lines, ("teacher", "distilled", "scratch", "detector"), strict=True):
        kind: Any = Distill if words[0] == "distill" else Train
        start: Any = starting_point() if words[0] == "distill" else starting_options(words[1])
        asked = tyro.cli(kind, args=words[1:], default=start)
        ran = kind(**from_json(out / name / "config.json", table_of(kind), resolved=False))
        assert asked == ran


def stored(run: Path) -> Train:
    return Train(**from_json(run / "config.json", table_of(Train)))


@pytest.mark.slow
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_distilled_backbone_beats_none(tmp_path: Path, seed: int) -> None:
    torch.set_num_threads(1)
    scratch, distilled = demo_detect(Demo(str(tmp_path / "demo"), seed=seed))
    assert distilled.numbers["AP"] > scratch.numbers["AP"] + 0.05, (scratch, distilled)
