"""Every recipe runs: two steps of each stage, small photos, a small teacher in the place of the published one."""

import json
from pathlib import Path
from typing import Any

import pytest

import limbeck
from limbeck.cli import main
from limbeck.errors import OptionError, UnknownName
from limbeck.recipes import RECIPES
from limbeck.recipes.published import TABLE_2, recipe

MOBILE = [student for student in TABLE_2 if student.startswith("mobilenet")]
HEAVY = [student for student in TABLE_2 if student not in MOBILE]


def two_steps(name: str, photos: Path, out: Path, **given: Any) -> Path:
    small: dict[str, Any] = {
        "steps": 2,
        "batch": 4,
        "student_size": 64,
        "probe": 0.0,
        "workers": 0,
        "track": "none",
        "device": "cpu",
    }
    shared: dict[str, Any] = {"check_teacher": False, "precision": "float32", "teacher_precision": "float32"}
    limbeck.distill(recipe=name, images=photos, out=out, **small | shared | given)
    assert json.loads((out / "config.json").read_text())["recipe"] == name
    return out


def both_stages(student: str, kind: str, photos: Path, teacher: Path, out: Path) -> Path:
    """The rows that there are of a student: the paper's (kind "") or those that were released."""
    given = {"teacher": str(teacher)}
    first = two_steps(f"ssld/{student}{kind}", photos, out / "first", **given)
    card = json.loads((first / "student" / "card.json").read_text())
    assert card["architecture"]["name"] == student
    return two_steps(f"ssld/{student}-stage2{kind}", photos, out / "second", student=str(first), **given)


@pytest.mark.parametrize("student", MOBILE)
def test_mobile_students(student: str, photos: Path, teacher: Path, tmp_path: Path) -> None:
    both_stages(student, "", photos, teacher, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("student", MOBILE)
def test_mobile_students_as_they_were_released(student: str, photos: Path, teacher: Path, tmp_path: Path) -> None:
    both_stages(student, "-released", photos, teacher, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("student", HEAVY)
def test_large_students(student: str, photos: Path, teacher: Path, tmp_path: Path) -> None:
    both_stages(student, "", photos, teacher, tmp_path)
    if f"ssld/{student}-released" in RECIPES:
        both_stages(student, "-released", photos, teacher, tmp_path / "released")


@pytest.mark.slow
def test_the_classifier_fixed_at_the_resolution_of_the_test(labelled: Path, teacher: Path, tmp_path: Path) -> None:
    first = two_steps("ssld/resnet50_vd", labelled, tmp_path / "first", teacher=str(teacher))
    two_steps("ssld/resnet50_vd-fix", labelled, tmp_path / "fixed", student=str(first), student_size=320)


def test_a_recipe_brings_its_student_and_teacher() -> None:
    found = recipe("ssld/hrnet_w18_c").options
    assert (found.student, found.teacher) == ("hrnet_w18_c", "resnext101_32x16d.fb_wsl_ig1b_ft_in1k")
    with pytest.raises(UnknownName, match="unknown recipe") as error:
        limbeck.distill(recipe="ssld/mobilenet_v3", images="PHOTOS", out="RUN")
    assert "ssld/mobilenet_v3_small" in error.value.expected


def test_stage_two_without_a_run(photos: Path, teacher: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="--student is missing"):
        two_steps("ssld/mobilenet_v1-stage2", photos, tmp_path / "run", teacher=str(teacher))


def test_by_command_and_shortened(
    photos: Path, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["distill", "--recipe", "ssld/mobilenet_v3_small", "--images", str(photos), "--teacher", str(teacher)]
    words += ["--out", str(tmp_path / "run"), "--scale", "0.003", "--batch", "32", "--student-size", "32"]
    words += ["--workers", "0", "--track", "none", "--device", "cpu", "--no-check-teacher", "--probe", "0"]
    main(words)
    assert "--scale 0.003: 1 epoch in place of 360" in capsys.readouterr().out
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["epochs"], config["scale"], config["student"]) == (1, 1.0, "mobilenet_v3_small")
    main(["distill", "--out", str(tmp_path / "run"), "--resume"])
    assert "this run is finished" in capsys.readouterr().out


def test_the_teacher_that_nobody_publishes(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["distill", "--recipe", "ssld/mobilenet_v1", "--images", str(photos), "--out", str(tmp_path / "run")]
    with pytest.raises(SystemExit, match="2"):
        main(words)
    told = capsys.readouterr().err
    assert "limbeck convert ResNet50_vd_ssld_pretrained.pdparams --out TEACHER, then --teacher TEACHER" in told
