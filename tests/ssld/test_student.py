"""What a student is made from, by name or by path."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from limbeck.checkpoints.card import Card, save
from limbeck.classification.models import build
from limbeck.errors import CheckpointError, UnknownName
from limbeck.records import Preprocess
from limbeck.ssld.options import Distill
from limbeck.ssld.student import checkpoint_of, make_student
from limbeck.ssld.teacher import TeacherSpec

CLASSES = ("cat", "dog")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home, and the folder that we are in, with a checkpoint and a file of weights."""
    torch.manual_seed(5)
    model = build("test_resnet", classes=2)
    save(tmp_path / "run" / "student", model, Card(vars_of("test_resnet"), CLASSES, Preprocess((64, 64))))
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def vars_of(name: str) -> dict[str, object]:
    return {"builder": "timm", "name": name, "args": {}}


def test_a_folder_that_is_called_like_a_model_is_in_nobody_s_way(home: Path) -> None:
    (home / "test_resnet").mkdir()
    assert make_student(Distill(student="test_resnet"), CLASSES).architecture.name == "test_resnet"
    spec = TeacherSpec.parse("test_resnet", weights=str(home / "weights.safetensors"))
    assert spec.load().classes == 2


@pytest.mark.parametrize("student", ["run", "./run", "~/run", "~/run/student"])
def test_a_checkpoint_wherever_it_lies(home: Path, student: str) -> None:
    made = make_student(Distill(student=student), CLASSES)
    assert checkpoint_of(Distill(student=student)) is not None
    assert made.preprocess.size == (64, 64)
    named = make_student(Distill(student="test_resnet", student_weights="~/weights.safetensors"), CLASSES)
    ours, same = made.model.state_dict(), named.model.state_dict()
    assert all(torch.equal(value, same[name]) for name, value in ours.items())


@pytest.mark.parametrize("student", ["empty", "./test_resnet", "no/run", "~/none", "/nowhere"])
def test_a_path_that_holds_no_checkpoint_is_told(home: Path, student: str) -> None:
    (home / "empty").mkdir()
    with pytest.raises(CheckpointError, match="no checkpoint in"):
        make_student(Distill(student=student), CLASSES)


@pytest.mark.parametrize("student", ["test_resnett", "timm/test_resnett", "torchvision/resnt50"])
def test_a_name_that_is_no_path_lists_the_nearest(home: Path, student: str) -> None:
    with pytest.raises(UnknownName, match="resnet"):
        make_student(Distill(student=student), CLASSES)
