"""limbeck distill in two processes: the teacher is asked once."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands.test_run_ranks import TORCHRUN

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
