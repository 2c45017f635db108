"""limbeck distill: named from one folder, gone on with from another; and what it tells of what it found."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import limbeck
from limbeck import cli
from limbeck.commands.distill import settings, starting_point
from limbeck.commands.evaluate import evaluate
from limbeck.errors import CheckpointError, ImagesError, OptionError
from limbeck.images.imageset import ImageSet
from limbeck.ssld.opening import tell_found
from limbeck.ssld.options import Distill
from tests.commands.tiny import draw, line, options, run

HERE: dict[str, Any] = {
    "student": "runs/teacher",
    "steps": 2,
    "epochs": 1,
    "views": 1,
    "store": "labels",
    "save_every": 1,
}


@pytest.fixture
def moved(photos: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run whose photos, teacher, student and store were named from a folder that we then left."""
    home = tmp_path / "home"
    shutil.copytree(photos, home / "photos")
    shutil.copytree(teacher, home / "runs" / "teacher")
    monkeypatch.chdir(home)
    run(Path("photos"), "runs/teacher", Path("runs/one"), **HERE)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return home


def test_a_run_goes_on_from_any_folder(
    moved: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = moved / "runs" / "one"
    told = json.loads((out / "config.json").read_text())
    assert told["images"] == [str(moved / "photos")]
    assert told["teacher"] == told["student"] == str(moved / "runs" / "teacher")
    assert told["store"] == str(moved / "labels")
    assert "resolved" in told
    (out / "last" / "state.safetensors").unlink()
    cli.main(["distill", "--out", str(out), "--resume"])
    assert evaluate(out, moved / "photos", workers=0)["images"] == 96
    assert "agreement with the teacher" in capsys.readouterr().out
    monkeypatch.chdir(moved / "runs")
    again = options(Path("../photos"), "teacher", Path("one"), **HERE | {"store": "../labels", "student": "teacher"})
    cli.main([*line(again), "--resume"])
    assert "this run is finished" in capsys.readouterr().out
    with pytest.raises(OptionError, match=r"--images is \S+/runs now"):
        limbeck.distill(out="one", images=".", resume=True)


def test_what_is_gone_is_told_with_what_to_do(moved: Path, tmp_path: Path) -> None:
    out = moved / "runs" / "one"
    (moved / "runs" / "teacher").rename(tmp_path / "teacher")
    with pytest.raises(CheckpointError, match=f"no run or checkpoint at {moved}/runs/teacher") as teacher:
        limbeck.distill(out=out, resume=True)
    assert "ln -s" in teacher.value.hint
    (moved / "runs" / "teacher").symlink_to(tmp_path / "teacher")
    (moved / "photos").rename(tmp_path / "photos")
    with pytest.raises(ImagesError, match=f"not where they were: {moved}/photos/bars_0.jpg") as photos:
        limbeck.distill(out=out, resume=True)
    assert "ln -s" in photos.value.hint
    (moved / "photos").symlink_to(tmp_path / "photos")
    limbeck.distill(out=out, resume=True)


def test_config_takes_the_folder_of_a_run(moved: Path) -> None:
    for named in (moved / "runs" / "one", moved / "runs" / "one" / "config.json"):
        assert starting_point(config=str(named)).store == str(moved / "labels")


def test_photos_that_are_there_twice_are_told(
    photos: Path, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = draw(tmp_path / "few", 4)
    (few / "torn.jpg").write_text("")
    for count, told in ((1, "1 of them is a copy of another, and counts again"), (2, "2 of them are copies of others")):
        shutil.copy(few / "disc_0.jpg", few / f"copy{count}.jpg")
        run(few, teacher, tmp_path / f"run{count}", batch=4, steps=1)
        said = capsys.readouterr().out
        assert f"{16 + count} photos to learn from, 0 held out, 1 skipped; {told}" in said
    images = ImageSet.open(photos, shown=False)
    assert tell_found(images, images, images.take([])) == "96 photos to learn from, 0 held out, 0 skipped"


def test_one_of_a_thing_is_one(photos: Path, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(photos, teacher, tmp_path / "run", steps=1, views=1)
    said = capsys.readouterr().out
    for part in ("\n1 step of 16 ", " for 1 view of 96 photos,"):
        assert part in said


def test_options_are_told_as_they_are_typed(teacher: Path) -> None:
    changed = Distill(teacher="my run", crop_scale=(0.4, 1.0), track=("none",), check_teacher=False)
    assert settings(changed) == (
        "--recipe ssld_small --teacher 'my run' --no-check-teacher --crop-scale 0.4 1.0 --track none"
    )


def test_an_error_names_the_arguments_to_callers_from_python(photos: Path, teacher: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError) as error:
        run(photos, teacher, tmp_path / "run", teacher_weights="a.pth")
    (note,) = error.value.__notes__
    assert note.startswith("in Python: teacher_weights=...")
    assert "--teacher-weights a.pth" in str(error.value)
