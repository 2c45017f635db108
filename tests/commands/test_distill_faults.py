"""limbeck distill, when things go wrong: each message says what was found, what was expected, what to type."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

import limbeck
from limbeck.errors import LimbeckError, NonFiniteLoss, OptionError, TeacherError
from tests.commands.tiny import draw, line, options, run
from tests.commands.told import parts, told


@pytest.mark.parametrize(
    ("changes", "found", "expected", "hint"),
    [
        ({"teacher": "resnt50d"}, "unknown model 'resnt50d'", "resnet50d", "limbeck models"),
        ({"student": "mobilenetv3_large_10"}, "'mobilenetv3_large_10'", "mobilenetv3_large_100", "limbeck models"),
        ({"loss": "jss"}, "unknown loss 'jss'", "js", "--loss js"),
        ({"loss": "JS"}, "unknown loss 'JS'", "js", "--loss js"),
        ({"student": "MobileNetV3_Large_100"}, "'MobileNetV3_Large_100'", "mobilenetv3_large_100", "limbeck models"),
        ({"teacher": "runs/gone"}, "no run or checkpoint at runs/gone", "`limbeck distill` run", "--teacher RUN"),
        ({"colour": "autoaugmet"}, "unknown colour 'autoaugmet'", "autoaugment", "--colour autoaugment"),
        ({"track": ("tensorbord",)}, "unknown track 'tensorbord'", "tensorboard", "--track tensorboard"),
        ({"recipe": "ssld_smal"}, "unknown recipe 'ssld_smal'", "ssld_small", "--recipe ssld_small"),
        ({"views": 2, "teacher_norm": "batch"}, "--teacher-norm batch with --views 2", "cannot be stored", "--views 0"),
        ({"store": "labels"}, "--store labels without --views", "views", "--views R"),
        ({"keep_top": 3}, "--keep-top 3 without --views", "labels to store", "--views R"),
        ({"loss": "cross-entropy"}, "--loss cross-entropy with --teacher", "one of them", "leave --teacher out"),
        ({"views": 3, "crops_per_read": 2}, "--views 3 with --crops-per-read 2", "a multiple", "--views 4"),
        ({"batch": 15, "crops_per_read": 2}, "--batch 15 with --crops-per-read 2", "a multiple", "--batch 16"),
        ({"track": ("none", "wandb")}, "--track none wandb", "none of them", "--track none"),
        ({"epochs": 0}, "--epochs is 0", "1 or more", "--epochs 360"),
        ({"batch": -4}, "--batch is -4", "1 or more", "--batch 256"),
        ({"lr": -0.1}, "--lr is -0.1", "0 or more", "--lr 0.1"),
        ({"lr": "nan"}, "--lr is nan", "0 or more", "--lr 0.1"),
        ({"views": -1}, "--views is -1", "0 or more", "--views 0"),
        ({"probe": 1.0}, "--probe is 1.0", "a share", "--probe 0.02"),
        ({"ema": 1.0}, "--ema is 1.0", "a decay", "--ema 0.0"),
        ({"flip": 2.0}, "--flip is 2.0", "a chance", "--flip 0.5"),
        ({"crop_scale": (0.5, 0.2)}, "--crop-scale is 0.5 0.2", "the smaller first", "--crop-scale 0.08 1"),
        ({"crop_ratio": (2.0, 0.5)}, "--crop-ratio is 2.0 0.5", "the smaller first", "--crop-ratio 0.75 1.33333"),
        ({"teacher_mean": (0.5,)}, "--teacher-mean is 0.5", "three numbers", "--teacher-mean"),
        ({"teacher_std": (0.5, 0.5, 0.0)}, "--teacher-std is 0.5 0.5 0.0", "above 0", "--teacher-std"),
        ({"student_args": "{drop}"}, "--student-args is '{drop}'", "a JSON object", "drop_rate"),
        ({"student_args": '{"dropp": 1}'}, "takes no such arguments", "dropp", "--student-args"),
        ({"images": "nowhere"}, "nowhere", "", ""),
        ({"config": "none.json"}, "none.json does not exist", "config.json", "--config RUN/config.json"),
        ({"config": "none.json", "recipe": "ssld_small"}, "--config none.json with --recipe", "one", "--recipe out"),
        ({"eval": "EMPTY"}, "no usable image", "images", "--images"),
        ({"sync_bn": True}, "--sync-bn on cpu", "CUDA", "--no-sync-bn"),
        ({"teacher_weights": "a.pth"}, "--teacher-weights a.pth", "given by name", "--teacher"),
        ({"student_weights": "a.pth"}, "no file of weights at a.pth", ".safetensors", "the path"),
    ],
)
def test_options_that_cannot_be(
    changes: dict[str, Any],
    found: str,
    expected: str,
    hint: str,
    photos: Path,
    teacher: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "EMPTY").mkdir()
    said = parts(told(line(options(photos, teacher, tmp_path / "run") | changes), capsys))
    for part, wanted in zip(said, (found, expected, hint), strict=True):
        assert wanted in part
    assert not (tmp_path / "run" / "config.json").exists(), "what never began is no run"


@pytest.mark.parametrize("missing", ["images", "teacher", "student", "out"])
def test_what_is_missing_is_named(
    missing: str, photos: Path, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = options(photos, teacher, tmp_path / "run")
    del given[missing]
    found, _, hint = parts(told(line(given), capsys))
    assert found == f"--{missing} is missing"
    assert hint.startswith("limbeck distill --images")


def test_a_teacher_that_cannot_teach_is_stopped_before_training(
    photos: Path, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    untrained = timm.create_model("test_efficientnet", num_classes=10)
    file = tmp_path / "untrained.pth"
    torch.save(untrained.state_dict(), file)
    given = options(photos, "test_efficientnet", tmp_path / "run", teacher_weights=str(file), teacher_size=32)
    said = parts(told(line(given), capsys))
    assert "near uniform" in said[0]
    assert "trained weights" in said[1]
    assert "--teacher-weights" in said[2]
    assert "--no-check-teacher" in said[2]
    assert not (tmp_path / "run").exists()

    constant = limbeck.load(teacher).model
    torch.nn.init.zeros_(constant.fc.weight)
    constant.fc.bias.data = torch.tensor([9.0, 0.0, 0.0, 0.0])
    with pytest.raises(TeacherError, match=r"constant|nearly the same"):
        run(photos, constant, tmp_path / "run", teacher_size=32)
    run(photos, constant, tmp_path / "run", teacher_size=32, check_teacher=False, steps=1)


def test_class_counts_that_differ(
    photos: Path, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    others = draw(tmp_path / "others", 8, folders=True)
    shutil.rmtree(others / "rows")
    run(others, "", tmp_path / "three", loss="cross-entropy", batch=8, steps=1)
    student = line(options(photos, teacher, tmp_path / "run", student=str(tmp_path / "three")))
    said = parts(told(student, capsys))
    assert "the student answers 3 classes and the teacher 4" in said[0]
    several = line(options(photos, f"{teacher},{tmp_path / 'three'}", tmp_path / "run"))
    said = parts(told(several, capsys))
    assert "differ in their class counts" in said[0]
    assert "3" in said[0]


def test_a_module_must_be_given_again(photos: Path, teacher: Path, tmp_path: Path) -> None:
    module = limbeck.load(teacher).model
    run(photos, module, tmp_path / "run", steps=1, teacher_size=32)
    with pytest.raises(OptionError, match="a module from Python"):
        limbeck.distill(out=tmp_path / "run", resume=True)
    limbeck.distill(teacher=module, out=tmp_path / "run", resume=True)


def test_an_interrupted_start_is_no_run(photos: Path, teacher: Path, tmp_path: Path) -> None:
    """What a teacher that cannot be loaded leaves behind does not stand in the way of the next try."""
    with pytest.raises(LimbeckError):
        run(photos, teacher, tmp_path / "run", views=2, student_weights="none.pth")
    run(photos, teacher, tmp_path / "run", views=2, steps=1)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["views"] == 2


def test_a_loss_error_is_an_error_of_the_user() -> None:
    assert issubclass(NonFiniteLoss, LimbeckError)
