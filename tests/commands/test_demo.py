"""The demo: at a reduced size always, as it is with three seeds when there is time."""

from pathlib import Path

import pytest
import torch

from limbeck.commands.demo import demo
from limbeck.errors import RunError
from limbeck.scenes.shapes import CLASSES

NAMES = ["chance", "teacher, all labels", "(a) student, few labels", "(b) student, all labels"]


@pytest.fixture(autouse=True)
def quick_end() -> None:
    """The reports of a demo are real ones."""


def test_at_a_reduced_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "demo"
    rows = demo(str(out), size=0.01, workers=0)
    assert [row.name for row in rows] == [*NAMES, "(c) student, no label"]
    assert rows[0].top1 == 1 / len(CLASSES)
    assert rows[1].agreement == 1.0
    assert rows[2].parameters == rows[3].parameters == rows[4].parameters < 200_000 < (rows[1].parameters or 0)
    assert all(0 <= (row.top1 or 0) <= 1 and (row.images_per_second or 0) > 0 for row in rows[1:])
    photos = [file for name in ("labelled", "unlabelled", "test") for file in (out / "photos" / name).rglob("*.jpg")]
    assert len(photos) == 72 + 96 + 12
    assert not any(path.is_dir() for path in (out / "photos" / "unlabelled").iterdir()), "no label in a folder's name"
    page = (out / "distilled" / "report.html").read_text()
    assert "(c) student, no label" in page
    told = capsys.readouterr().out
    for part in ("1/5", "5/5", " left", "top-1", "report: ", "limbeck distill --images YOUR_PHOTOS"):
        assert part in told
    demo(str(out), size=0.01, workers=0)  # a demo may take the place of a demo


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(RunError, match="not a demo's"):
        demo(str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


@pytest.mark.slow
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_teacher_beats_a_few_labels(tmp_path: Path, seed: int) -> None:
    torch.set_num_threads(1)
    rows = {row.name: row.top1 or 0.0 for row in demo(str(tmp_path / "demo"), seed=seed)}
    teacher, few, everything, distilled = (rows[name] for name in [*NAMES[1:], "(c) student, no label"])
    assert teacher > 0.75
    assert distilled > few + 0.15, rows
    assert distilled > everything - 0.05, rows
