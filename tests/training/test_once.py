"""What the first process does for all: its result or its error is everybody's, and nobody waits for ever."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys
from pathlib import Path

from accelerate import Accelerator
from limbeck.errors import TeacherError
from limbeck.training.ranks import Ranks

ranks = Ranks(Accelerator(cpu=True))
calls = []

def work():
    calls.append(ranks.rank)
    return {"photos": Path("photos"), "numbers": [1, 2]}

def fail():
    calls.append(ranks.rank)
    raise TeacherError("near uniform", expected="trained weights", hint="--teacher-weights FILE")

def break_down():
    raise ZeroDivisionError("by zero")

told = [repr(ranks.once(work))]
for failing in fail, break_down:
    try:
        ranks.once(failing)
    except Exception as error:
        told.append(f"{type(error).__name__} {error}")
assert calls == ([0, 0] if ranks.first else [])
Path(sys.argv[1], str(ranks.rank)).write_text("\\n--\\n".join(told))
"""


@pytest.mark.slow
def test_an_outcome_reaches_all_processes(tmp_path: Path) -> None:
    script = tmp_path / "once.py"
    script.write_text(SCRIPT)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    words = [*torchrun, str(script), str(tmp_path)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = ((tmp_path / rank).read_text().split("\n--\n") for rank in "01")
    assert first[0] == second[0] == "{'photos': PosixPath('photos'), 'numbers': [1, 2]}"
    assert first[1] == second[1]
    assert first[1].startswith("TeacherError near uniform\n  expected: trained weights\n  try:      --teacher-weights")
    assert first[2] == "ZeroDivisionError by zero"
    assert second[2].startswith("RunError the first process failed: ZeroDivisionError: by zero")
