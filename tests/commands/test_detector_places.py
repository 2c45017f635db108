"""limbeck predict and evaluate of a detector: places that cannot be written are told before the work, and in words."""

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from limbeck.checkpoints.detector_card import DetectorCard, assembled, save_detector
from limbeck.checkpoints.loaded_detector import Seen
from limbeck.cli import main
from limbeck.commands.evaluate_detector import evaluate_detector
from limbeck.commands.predict_detector import predict_detector, write_picture
from limbeck.detection.detector import Look
from limbeck.errors import OptionError


@pytest.fixture
def detector(tmp_path: Path, toy: None) -> Path:
    torch.manual_seed(0)
    card = DetectorCard("toy", None, ("a", "b"), (1, 2), Look((32, 32)))
    save_detector(tmp_path / "checkpoint", assembled("toy", 2, None), card)
    return tmp_path / "checkpoint"


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    file = tmp_path / "photos" / f"{'x' * 250}.png"
    file.parent.mkdir()
    Image.new("RGB", (32, 32), (200, 30, 30)).save(file)
    return file


def places(root: Path) -> dict[str, Path]:
    (root / "file").write_text("mine")
    return {"below a file": root / "file" / "there", "too long": root / ("y" * 300)}


def check(caught: pytest.ExceptionInfo[OptionError], option: str, place: Path) -> None:
    assert caught.value.found.startswith(f"{option} {place} cannot be written: ")
    assert caught.value.expected == "a place that can be written"
    assert caught.value.hint == f"{option} with another place"


@pytest.mark.parametrize("option", ["pictures", "results"])
@pytest.mark.parametrize("where", ["below a file", "too long"])
def test_what_cannot_be_written_is_told(
    detector: Path, photo: Path, tmp_path: Path, option: str, where: str, capsys: pytest.CaptureFixture[str]
) -> None:
    place = places(tmp_path)[where]
    given: dict[str, Any] = {option: str(place), "device": "cpu", "score": 0.0}
    with pytest.raises(OptionError) as caught:
        predict_detector(detector, (str(photo),), print, **given)
    check(caught, f"--{option}", place)
    assert "xxx.png: " not in capsys.readouterr().out  # nothing was predicted for nothing
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_is_no_file_for_results(detector: Path, photo: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError) as caught:
        predict_detector(detector, (str(photo),), print, results=str(tmp_path), device="cpu")
    check(caught, "--results", tmp_path)


@pytest.mark.parametrize("where", ["below a file", "too long"])
def test_evaluate_tells_it_before_it_reads(detector: Path, scenes: Path, tmp_path: Path, where: str) -> None:
    place = places(tmp_path)[where]
    with pytest.raises(OptionError) as caught:
        evaluate_detector(detector, [str(scenes)], results=str(place), device="cpu", workers=0)
    check(caught, "--results", place)


def test_a_name_that_is_too_long_is_cut(detector: Path, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "drawn"
    main(["predict", str(detector), str(photo), str(photo), "--pictures", str(out), "--device", "cpu"])
    drawn = sorted(file.name for file in out.iterdir())
    assert drawn == [f"0000{number}_{'x' * 160}.jpg" for number in (1, 2)]


def test_a_name_is_cut_between_letters(tmp_path: Path) -> None:
    nothing = Seen("a" + "ü" * 120 + ".jpg", torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64), ())
    file = write_picture(tmp_path, nothing, torch.zeros(3, 8, 8, dtype=torch.uint8), taken=7)
    assert file.name == "00007_a" + "ü" * 79 + ".jpg"
    assert [each.name for each in tmp_path.iterdir()] == [file.name]
