"""What went wrong when people tried limbeck for the first time, and what it says now."""

import json
import shutil
from pathlib import Path

import pytest

from limbeck.errors import NonFiniteLoss, OptionError, RunError, UnknownName
from limbeck.images.imageset import ImageSet
from limbeck.runs.resuming import resume_command
from limbeck.runs.session import ensure_sound
from limbeck.ssld.folder import settle_options
from limbeck.ssld.options import Distill
from tests.commands.tiny import run


def test_a_student_that_answers_nan_is_neither_saved_nor_shipped(photos: Path, teacher: Path, tmp_path: Path) -> None:
    with pytest.raises(NonFiniteLoss, match="not finite") as error:
        run(photos, teacher, tmp_path / "run", steps=1, lr=1e30, probe=0.1)
    assert "--lr" in str(error.value)
    assert not (tmp_path / "run" / "student").exists()
    assert not (tmp_path / "run" / "last" / "state.safetensors").exists()


def test_numbers_that_are_not_finite_stop_it_too() -> None:
    with pytest.raises(NonFiniteLoss, match="after step 7"):
        ensure_sound(pytest.importorskip("torch").nn.Linear(1, 1), {"probe_js": float("nan")}, 7)


@pytest.mark.parametrize("changes", [{"batch": 1, "steps": 1}, {"batch": 8, "accumulate": 8, "steps": 1}])
def test_one_image_is_nothing_to_a_batch_norm(
    changes: dict[str, int], photos: Path, teacher: Path, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match="one image alone") as error:
        run(photos, teacher, tmp_path / "run", **changes)
    assert "--batch 2" in str(error.value)
    run(photos, teacher, tmp_path / "run", batch=8, steps=1)  # nothing was saved: its folder is free


def test_more_parts_than_images(photos: Path, teacher: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="--accumulate 9 with --batch 8"):
        run(photos, teacher, tmp_path / "run", batch=8, accumulate=9)


def test_a_size_that_patches_do_not_fill(photos: Path, teacher: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="cannot take images of 50 x 50") as error:
        run(photos, teacher, tmp_path / "run", student="test_vit", student_size=50)
    assert "--student-size 48" in str(error.value)


def test_a_store_is_not_put_among_photos(photos: Path, teacher: Path, tmp_path: Path) -> None:
    before = sorted(photos.iterdir())
    with pytest.raises(OptionError, match="holds other files"):
        run(photos, teacher, tmp_path / "run", views=2, store=str(photos))
    assert sorted(photos.iterdir()) == before
    (tmp_path / "list.txt").write_text("")
    with pytest.raises(OptionError, match="is a file"):
        run(photos, teacher, tmp_path / "run", views=2, store=str(tmp_path / "list.txt"))


@pytest.mark.parametrize(
    "changes", [{"student": "test_resnett"}, {"teacher": "resnet5000"}, {"student_args": "drop=1"}], ids=str
)
def test_names_are_looked_at_before_photos(
    changes: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def looked(*_: object, **__: object) -> None:
        raise AssertionError("the photos were looked at first")

    monkeypatch.setattr(ImageSet, "open", looked)
    given = {"teacher": "test_resnet", "student": "test_resnet"} | changes
    with pytest.raises((UnknownName, OptionError)):
        run(tmp_path, given.pop("teacher"), tmp_path / "run", **given)


def test_going_on_with_nothing_named() -> None:
    with pytest.raises(OptionError, match="--resume without --out"):
        settle_options(Distill(resume=True))


def test_a_finished_run_says_so(
    photos: Path, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(photos, teacher, tmp_path / "run", steps=1)
    run(photos, teacher, tmp_path / "run", steps=1, resume=True)
    assert "this run is finished" in capsys.readouterr().out


def test_commands_can_be_pasted() -> None:
    assert resume_command("my run") == "limbeck distill --out 'my run' --resume"


def test_a_run_that_goes_on_elsewhere_says_so(
    photos: Path, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    run(photos, teacher, out, steps=1)
    told = json.loads((out / "environment.json").read_text())
    (out / "environment.json").write_text(json.dumps(told | {"threads": 77}))
    run(photos, teacher, out, steps=1, resume=True)
    assert "began with threads 77, and goes on with 1" in capsys.readouterr().out
    shutil.rmtree(out)


def test_a_run_that_saved_something_is_not_overwritten(photos: Path, teacher: Path, tmp_path: Path) -> None:
    run(photos, teacher, tmp_path / "run", steps=1)
    with pytest.raises(RunError, match="already holds a run"):
        run(photos, teacher, tmp_path / "run", steps=1)
