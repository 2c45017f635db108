"""Which options are paths, and which only look like them."""

from pathlib import Path

import pytest

from limbeck.checkpoints.card import Card, save
from limbeck.classification.models import build
from limbeck.records import Preprocess
from limbeck.ssld.anchor import anchored
from limbeck.ssld.options import Distill


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with photos, a run, a file of weights and an ONNX file."""
    resnet = {"builder": "timm", "name": "test_resnet", "args": {}}
    save(tmp_path / "runs" / "t" / "student", build("test_resnet", classes=2), Card(resnet, "ab", Preprocess((32, 32))))
    (tmp_path / "photos").mkdir()
    (tmp_path / "resnet18").mkdir()
    for name in ("w.pth", "net.onnx", "list.txt"):
        (tmp_path / name).touch()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home" / "photos").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_photos(place: Path) -> None:
    urls = "s3://bucket/photos", "https://host/a.zip", "file:///photos"
    given = ("photos", "./photos/", "list.txt", "photos/**/*.jpg", "~/photos", "/photos", "nowhere", *urls)
    assert anchored(Distill(images=given)).images == (
        *(str(place / name) for name in ("photos", "photos", "list.txt", "photos/**/*.jpg", "home/photos")),
        *("/photos", "nowhere", *urls),
    )
    assert anchored(Distill(eval="photos")).eval == str(place / "photos")


@pytest.mark.parametrize(
    ("typed", "whole"),
    [
        ("runs/t", "{}/runs/t"),
        ("runs/t/student", "{}/runs/t/student"),
        ("./runs/../runs/t", "{}/runs/t"),
        ("net.onnx", "{}/net.onnx"),
        ("runs/t, resnet50d", "{}/runs/t,resnet50d"),
        ("resnet18", "resnet18"),  # a folder that is called like a model is not that model
        ("resnet50d, hf-hub:timm/x", "resnet50d, hf-hub:timm/x"),
        ("timm/resnet18", "timm/resnet18"),
        ("runs/gone", "runs/gone"),
        ("gone.onnx", "gone.onnx"),
        ("python:Net", "python:Net"),
    ],
)
def test_teachers(place: Path, typed: str, whole: str) -> None:
    assert anchored(Distill(teacher=typed)).teacher == whole.format(place)


def test_the_rest(place: Path) -> None:
    asked = Distill(teacher_weights="w.pth,gone.pth", student="runs/t", student_weights="w.pth", store="new", cache="c")
    whole = anchored(asked)
    assert whole.teacher_weights == f"{place}/w.pth,gone.pth"
    assert whole.student == f"{place}/runs/t"
    assert whole.student_weights == f"{place}/w.pth"
    assert (whole.store, whole.cache) == (f"{place}/new", f"{place}/c")
    assert anchored(whole) == whole
    assert anchored(Distill()) == Distill()


def test_a_comma_in_the_working_directory_splits_no_teacher(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = place / "a,b"
    odd.mkdir()
    (place / "runs").rename(odd / "runs")
    monkeypatch.chdir(odd)
    assert anchored(Distill(teacher="runs/t")).teacher == "runs/t"
    assert anchored(Distill(student="runs/t")).student == f"{odd}/runs/t"
