"""Two processes are one run: torchrun with gloo, the same global batch."""

import os
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

from limbeck.training.log import read_metrics

ROOT = Path(__file__).parents[2]


def launch(processes: int, out: Path, *words: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command += ["-m", "tests.training.record", str(out), *words]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]


def test_two_processes_equal_one(tmp_path: Path) -> None:
    launch(1, tmp_path / "one")
    launch(2, tmp_path / "two")
    one, two = (load_file(tmp_path / name / "gradients-0.safetensors") for name in ("one", "two"))
    assert len(one) == 20 * 6
    for name, gradient in one.items():
        error = (two[name] - gradient).norm() / gradient.norm()
        assert error < 1e-5, f"{name}: {error}"
    records = [read_metrics(tmp_path / name) for name in ("one", "two")]
    losses = [[record["loss"] for record in run if "loss" in record] for run in records]
    torch.testing.assert_close(torch.tensor(losses[1]), torch.tensor(losses[0]), rtol=1e-5, atol=0)


def test_every_process_evaluates_with_the_first_ones_statistics(tmp_path: Path) -> None:
    launch(2, tmp_path / "two", "norm")
    first, second = (load_file(tmp_path / "two" / f"buffers-{rank}.safetensors") for rank in (0, 1))
    assert set(first) == {"1.running_mean", "1.running_var", "1.num_batches_tracked"}
    for name, value in first.items():
        assert torch.equal(second[name], value)
