"""Whatever trains through the one loop, in two processes: the losses and the weights of one."""

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from limbeck.errors import OptionError
from limbeck.images.order import Order
from limbeck.training.state import read_progress
from tests.commands.tiny import command, finished, records
from tests.commands.verbs import TOY, Verb

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
ACCELERATE = ("-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--main_process_port", "0")

# when all processes have looked at the photos, some are gone
GONE = """
import limbeck.commands.{verb} as module
from pathlib import Path
fit = module.fit
def without(*given):
    for path in {paths}:
        Path(path).unlink(missing_ok=True)
    return fit(*given)
module.fit = without
"""


def launched(launcher: tuple[str, ...], script: Path, code: str, *words: str) -> subprocess.Popen[str]:
    """Code in two processes."""
    script.write_text(code)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, *launcher, str(script), *words], env=environment, **pipes)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("verb", "launcher", "views"),
    [
        ("distill", TORCHRUN, {"views": 0}),
        ("distill", TORCHRUN, {"views": 2}),
        ("distill", ACCELERATE, {"views": 0}),
        ("train", TORCHRUN, {}),
        ("train", ACCELERATE, {}),
    ],
    indirect=["verb"],
)
def test_two_processes_are_as_one(
    verb: Verb, launcher: tuple[str, ...], views: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    own = verb.elsewhere(tmp_path / "photos")
    paths = [str(path) for path in own.files[::11]]
    module = import_module(f"limbeck.commands.{verb.name}")
    fit = module.fit

    def without(*given: Any) -> Any:
        for path in paths:
            Path(path).unlink()
        return fit(*given)

    with monkeypatch.context() as patched:
        patched.setattr(module, "fit", without)
        own.run(one, steps=20, **verb.calm, **views)
    own = verb.elsewhere(tmp_path / "photos")
    words = own.line(own.options(two, steps=20, track=("tensorboard",), **verb.calm, **views))
    code = f"{TOY}{GONE.format(verb=verb.name, paths=paths)}\nfrom limbeck.cli import main\nmain()\n"
    said = finished(launched(launcher, tmp_path / "job.py", code, *words))
    assert said.count("next: limbeck predict") == 1, "one of them speaks"
    assert said.count("step 20/20") == 1
    assert json.loads((two / "environment.json").read_text())["processes"] == 2
    mine, theirs = records(one), records(two)
    assert [each["step"] for each in theirs] == list(range(1, 21))
    for a, b in zip(mine, theirs, strict=True):
        assert b["loss"] == pytest.approx(a["loss"], rel=1e-5)
        assert b.get("agreement") == pytest.approx(a.get("agreement"), abs=1e-6)
    weights = [safetensors.torch.load_file(out / "student" / "model.safetensors") for out in (one, two)]
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=1e-4, atol=1e-6)
    assert len(read_progress(one).replaced) > 1
    assert read_progress(two).replaced == read_progress(one).replaced
    measured = "probe_js" if verb.name == "distill" else "AP50"
    lines = [(out / "metrics.jsonl").read_text().splitlines() for out in (one, two)]
    evaluations = [[json.loads(text)[measured] for text in each if measured in text] for each in lines]
    assert len(evaluations[0]) == len(evaluations[1]) == 4
    assert evaluations[1] == pytest.approx(evaluations[0], rel=1e-3, abs=1e-4)


TWICE = """
import json
import sys
import limbeck
from limbeck.training import attempt

real = attempt._try
failures = 0

def once_short_of_memory(step, batch, parts, device):
    global failures
    import torch, torch.distributed as dist
    if dist.get_rank() == 1 and parts == 1 and failures < 1:
        failures += 1
        raise torch.OutOfMemoryError("out of memory")
    return real(step, batch, parts, device)

verb, given, out = sys.argv[1:]
call = getattr(limbeck, verb)
call(**json.loads(given), out=out + "/first")
attempt._try = once_short_of_memory
call(**json.loads(given), out=out + "/second")
"""


@pytest.mark.slow
def test_two_runs_in_the_same_processes_the_second_short_of_memory_on_one(verb: Verb, tmp_path: Path) -> None:
    """All processes halve together, though only one ran out of memory."""
    given = json.dumps(verb.given | verb.calm | {"steps": 3, "batch": 16})
    said = finished(launched(TORCHRUN, tmp_path / "twice.py", TOY + TWICE, verb.name, given, str(tmp_path)))
    assert "out of memory: from here on 4 images at a time instead of 8" in said
    assert [read_progress(tmp_path / name).parts for name in ("first", "second")] == [1, 2]
    first, second = (
        safetensors.torch.load_file(tmp_path / name / "student/model.safetensors") for name in ("first", "second")
    )
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_a_fault_ends_all_processes(verb: Verb, tmp_path: Path) -> None:
    words = verb.line(verb.options(tmp_path / "run", batch=15))
    said = finished(command(words, launcher=TORCHRUN), expect=1)
    assert "a batch of 15 over 2 processes" in said
    assert "--batch 16" in said
    assert not (tmp_path / "run").exists()


def test_a_batch_that_processes_cannot_share() -> None:
    with pytest.raises(OptionError, match="--batch 16"):
        Order(96, 15, 0).reads(0, 0, 2)
