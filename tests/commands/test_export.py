"""limbeck export: the file answers as the run does, on any batch, and drift is told."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import limbeck
from limbeck.cli import main
from limbeck.deploy import onnx_file
from limbeck.errors import OptionError, RunError
from limbeck.ssld.members import Overrides
from limbeck.ssld.onnx_teacher import OnnxNetwork
from tests.commands.tiny import run

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory, photos: Path, teacher: Path) -> Path:
    out = tmp_path_factory.mktemp("exported") / "run"
    run(photos, teacher, out)
    return out


@pytest.fixture(scope="module")
def file(student: Path) -> Path:
    path = student / "student.onnx"
    exported = limbeck.export(student, path)
    assert exported.photos == 16
    assert exported.same_class == 16
    assert 0 <= exported.difference < 1e-4
    return path


def test_the_file_answers_as_the_run_does_for_any_batch(student: Path, file: Path) -> None:
    loaded = limbeck.load(student)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    for batch in (1, 2, 5):
        images = torch.randn(batch, 3, *loaded.preprocess.size)
        (logits,) = session.run(None, {"images": images.numpy()})
        with torch.inference_mode():
            own = loaded.model(images).numpy()
        np.testing.assert_allclose(logits, own, rtol=0, atol=1e-4 * np.abs(own).max())


def test_the_file_says_what_its_user_must_know(student: Path, file: Path) -> None:
    told = {each.key: json.loads(each.value) for each in onnx.load(str(file)).metadata_props if "limbeck" in each.key}
    loaded = limbeck.load(student)
    assert told["limbeck.classes"] == list(loaded.classes)
    assert told["limbeck.preprocess"] == json.loads(json.dumps(loaded.preprocess.to_dict()))
    onnx.checker.check_model(str(file))


def test_the_file_is_a_teacher(file: Path) -> None:
    network = OnnxNetwork(file, Overrides(), torch.device("cpu"))
    assert network.classes == len(json.loads((file.parent / "student" / "card.json").read_text())["classes"])


def test_drift_ends_with_status_1(student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(file: Path, images: torch.Tensor) -> np.ndarray:
        return onnx_file.answers(file, images) + 0.5

    monkeypatch.setattr("limbeck.commands.export.answers", wrong)
    with pytest.raises(SystemExit) as stopped:
        main(["export", str(student), "--onnx", str(tmp_path / "student.onnx")])
    assert stopped.value.code == 1
    with pytest.raises(RunError, match="drifts"):
        limbeck.export(student, tmp_path / "student.onnx")


def test_without_photos_it_says_what_to_name(student: Path, tmp_path: Path) -> None:
    alone = shutil.copytree(student / "student", tmp_path / "alone")
    with pytest.raises(OptionError, match="--images PHOTOS"):
        limbeck.export(alone, tmp_path / "student.onnx")
    with pytest.raises(OptionError, match=r"a file that ends in \.onnx"):
        limbeck.export(student, tmp_path / "student.pth")
