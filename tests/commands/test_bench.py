"""limbeck bench: classifiers and detectors, as runs and by name, on the command line and from Python."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import limbeck
from limbeck.checkpoints.loaded_detector import LoadedDetector
from limbeck.cli import main
from limbeck.commands.bench_model import measured, of_recipe
from limbeck.errors import ImagesError, OptionError, UnknownName
from tests.commands.test_train import options


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory, scenes: Path, toy: None) -> Path:
    out = tmp_path_factory.mktemp("benched") / "run"
    limbeck.train(**options(scenes, out, epochs=1, val="none"))
    return out


@pytest.fixture(scope="module")
def toy() -> None:
    from limbeck.detection import DETECTORS

    DETECTORS["toy"] = "tests.detection.toy_detector:TOY"


def test_a_run_of_a_classifier(teacher: Path, photos: Path) -> None:
    found = limbeck.bench(teacher, images=photos, count=3, batch=4, device="cpu", threads=1)
    loaded = limbeck.load(teacher)
    assert found["images"] == 3
    assert found["fps"] > 0
    assert found["median_ms"] <= found["p99_ms"]
    assert found["parameters"] == sum(each.numel() for each in loaded.model.parameters())
    assert found["input"] == loaded.preprocess.size
    assert found["memory_gb"] > 0
    assert (found["batch"], found["threads"], found["published_fps"]) == (4, 1, None)


def test_a_run_of_a_detector_is_measured_at_its_own_batch(detector: Path) -> None:
    found = limbeck.bench(detector, count=2, device="cpu")
    assert found["batch"] == 8
    assert found["memory_gb"] > 0


def test_the_command_prints_a_table_or_json(teacher: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["bench", str(teacher), "--count", "2", "--batch", "2", "--device", "cpu"]
    main(line)
    shown = capsys.readouterr().out
    assert "fps" in shown
    assert "what the process grew by" in shown
    main([*line, "--json", "--precision", "bfloat16"])
    numbers = json.loads(capsys.readouterr().out)
    assert (numbers["images"], numbers["precision"]) == (2, "bfloat16")


def test_a_published_recipe_is_measured_at_the_batch_of_one_of_its_gpus() -> None:
    found = measured("ssdlite_mobilenetv2_scratch_600e_coco", "cpu")
    assert (found.batch, found.fps, found.memory) == (24, 69.9, 4.0)
    assert measured("test_resnet", "cpu").batch == 32


def test_a_recipe_of_another_detector_or_size_is_beside_nothing_published() -> None:
    own = measured("ssdlite_mobilenetv2_scratch_600e_coco", "cpu").loaded
    assert isinstance(own, LoadedDetector)
    name = "ssdlite_mobilenetv2_scratch_600e_coco"
    assert of_recipe(own, name, 8).fps == 69.9
    for other in (
        replace(own, card=replace(own.card, detector="ssdlite")),
        replace(own, look=replace(own.look, size=(640, 640))),
    ):
        found = of_recipe(other, name, 8)
        assert (found.batch, found.fps, found.memory) == (8, None, None)


def test_the_number_of_threads_is_given_back(teacher: Path) -> None:
    before = torch.get_num_threads()
    assert limbeck.bench(teacher, count=1, batch=2, device="cpu", threads=before + 1)["threads"] == before + 1
    assert torch.get_num_threads() == before


def test_what_cannot_be_measured_is_told(teacher: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownName):
        limbeck.bench("no_such_network")
    with pytest.raises(UnknownName) as far:
        limbeck.bench("nowhere")
    assert far.value.expected == "a model that `limbeck models` lists, or the folder of a run or checkpoint"
    with pytest.raises(UnknownName) as near:
        limbeck.bench("sdlite")
    assert near.value.expected.startswith("ssdlite, or ")
    assert near.value.hint == "limbeck bench ssdlite"
    with pytest.raises(OptionError, match="--count -1"):
        limbeck.bench(teacher, count=-1)
    with pytest.raises(ImagesError, match="no photo"):
        limbeck.bench(teacher, images=tmp_path, count=1, device="cpu")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 nothing")
    with pytest.raises(ImagesError, match="no photo"):
        limbeck.bench(teacher, images=tmp_path, count=1, device="cpu")
