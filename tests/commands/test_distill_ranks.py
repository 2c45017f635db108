"""limbeck distill in two processes: the losses and the weights of one."""

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from limbeck.errors import OptionError
from limbeck.images.imageset import ImageSet
from limbeck.images.order import Order
from limbeck.training.state import read_progress
from tests.commands.tiny import command, finished, line, options, records, run

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
ACCELERATE = ("-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--main_process_port", "0")
# no norm that looks at the batch, and no dropout: all that a process does depends on its photos alone
CALM: dict[str, Any] = {"student": "test_vit", "steps": 20, "probe": 0.1, "lr": 0.4}


def vanished(photos: Path, root: Path) -> Path:
    """A manifest of photos of which some are gone."""
    copy = shutil.copytree(photos, root / "photos")
    ImageSet.open([copy], shown=False).save(root / "list.arrow")
    for path in sorted(copy.iterdir())[::11]:
        path.unlink()
    return root / "list.arrow"


@pytest.mark.slow
@pytest.mark.parametrize(("launcher", "views"), [(TORCHRUN, 0), (TORCHRUN, 2), (ACCELERATE, 0)])
def test_two_processes_are_as_one(
    launcher: tuple[str, ...], views: int, photos: Path, teacher: Path, tmp_path: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    gone = vanished(photos, tmp_path)
    run(gone, teacher, one, views=views, **CALM)
    given = options(gone, teacher, two, views=views, track=("tensorboard",), **CALM)
    said = finished(command(line(given), launcher=launcher))
    assert said.count("next: limbeck predict") == 1, "one of them speaks"
    assert said.count("step 20/20") == 1
    assert json.loads((two / "environment.json").read_text())["processes"] == 2
    mine, theirs = records(one), records(two)
    assert [each["step"] for each in theirs] == list(range(1, 21))
    for a, b in zip(mine, theirs, strict=True):
        assert b["loss"] == pytest.approx(a["loss"], rel=1e-5)
        assert b["agreement"] == pytest.approx(a["agreement"], abs=1e-6)
    weights = [safetensors.torch.load_file(out / "student" / "model.safetensors") for out in (one, two)]
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=1e-4, atol=1e-6)
    assert len(read_progress(one).replaced) > 2
    assert read_progress(two).replaced == read_progress(one).replaced
    lines = [(out / "metrics.jsonl").read_text().splitlines() for out in (one, two)]
    probes = [[text for text in each if "probe_js" in text] for each in lines]
    assert len(probes[0]) == len(probes[1]) == 4


TWICE = """
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

photos, teacher, out = sys.argv[1:]
shared = dict(images=photos, teacher=teacher, student="test_vit", student_size=32, batch=16, steps=3, workers=0)
limbeck.distill(out=out + "/first", **shared)
attempt._try = once_short_of_memory
limbeck.distill(out=out + "/second", **shared)
"""


@pytest.mark.slow
def test_two_runs_in_the_same_processes_the_second_short_of_memory_on_one(
    photos: Path, teacher: Path, tmp_path: Path
) -> None:
    """All processes halve together, though only one ran out of memory."""
    script = tmp_path / "twice.py"
    script.write_text(TWICE)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    words = [sys.executable, *TORCHRUN, str(script), str(photos), str(teacher), str(tmp_path)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "out of memory: from here on 4 images at a time instead of 8" in done.stdout
    assert [read_progress(tmp_path / name).parts for name in ("first", "second")] == [1, 2]
    first, second = (
        safetensors.torch.load_file(tmp_path / n / "student/model.safetensors") for n in ("first", "second")
    )
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_a_fault_ends_all_processes(photos: Path, teacher: Path, tmp_path: Path) -> None:
    given = options(photos, teacher, tmp_path / "run", **CALM) | {"batch": 15}
    said = finished(command(line(given), launcher=TORCHRUN), expect=1)
    assert "a batch of 15 over 2 processes" in said
    assert "--batch 16" in said
    assert not (tmp_path / "run").exists()


ASKED = """
import os
import sys
from pathlib import Path
import limbeck
from limbeck.errors import TeacherError
from limbeck.ssld.teacher import Teacher

photos, teacher, out = sys.argv[1:]
real, asked = Teacher.evaluate, []

def evaluate(self, views):
    asked.append(len(views[0]))
    return real(self, views)

Teacher.evaluate = evaluate
shared = dict(images=photos, student="test_vit", student_size=32, batch=16, steps=2, workers=0, track="none", probe=0.2)
limbeck.distill(teacher=teacher, out=out + "/run", **shared)
told = [sum(asked)]
blind = limbeck.load(teacher).model
blind.fc.weight.data.zero_()
try:
    limbeck.distill(teacher=blind, teacher_size=32, out=out + "/blind", **shared)
except TeacherError as error:
    told.append(error.found)
Path(out, os.environ["RANK"]).write_text(repr(told))
"""


@pytest.mark.slow
def test_the_teacher_is_asked_about_held_out_photos_by_one_process(photos: Path, teacher: Path, tmp_path: Path) -> None:
    script = tmp_path / "asked.py"
    script.write_text(ASKED)
    words = [sys.executable, *TORCHRUN, str(script), str(photos), str(teacher), str(tmp_path)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (ast.literal_eval((tmp_path / rank).read_text()) for rank in "01")
    assert first[0] >= 64 + 19, "some photos to see whether it can teach, and those that are held out"
    assert second[0] == 0
    assert first[1] == second[1], "what it cannot do is told to both"
    evaluations = [text for text in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines() if "probe_js" in text]
    assert evaluations


def test_a_batch_that_processes_cannot_share() -> None:
    with pytest.raises(OptionError, match="--batch 16"):
        Order(96, 15, 0).reads(0, 0, 2)
