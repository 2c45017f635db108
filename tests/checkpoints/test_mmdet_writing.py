"""Detectors on their way back to mmdetection: the reference's names and shapes, and the way there again."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import limbeck
from limbeck.checkpoints.detector_card import DetectorCard, assembled, read_detector_card, save_detector
from limbeck.checkpoints.detector_kinds import KINDS, MMDETECTION
from limbeck.checkpoints.mmdet_writing import respelt
from limbeck.checkpoints.renames import mmdet
from limbeck.checkpoints.weights import read_contents
from limbeck.classification.models import Architecture, outline
from limbeck.detection.detector import Look
from limbeck.errors import CheckpointError, OptionError, RunError

# the fixtures' names of the reference's models, and what each is made of here
MODELS = {
    "ssd300": ("ssd300", ""),
    "ssd512": ("ssd512", ""),
    "ssdlite_mobilenetv2": ("ssdlite_mobilenetv2", ""),
    "gfl_r18": ("gfl", "resnet18"),
    "gfl_r34": ("gfl", "resnet34"),
    "gfl_r50": ("gfl", "resnet50"),
    "gfl_r101": ("gfl", "resnet101"),
    "gfl_r101_dcn": ("gfl_dcn", "resnet101"),
    "retinanet_r50_fpn": ("retinanet", "resnet50"),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_reference_s_names_and_shapes(name: str, shared: Path) -> None:
    told = json.loads((shared / "fixtures" / "parity_mm" / f"{name}_s0.json").read_text())["state_dict"]
    detector, backbone = MODELS[name]
    kind = next(kind for kind in KINDS if kind.name == detector and kind.family == MMDETECTION)
    with torch.device("meta"):
        body = outline(Architecture("timm", backbone, {"num_classes": 0})) if backbone else None
        state = assembled(detector, 80, body).state_dict()
        found = respelt(kind, state)
    assert {each: list(value.shape) for each, value in found.items()} == {
        each: [*shape] for each, shape in told.items()
    }
    again = {mmdet.renamed(each, kind.patterns) for each in found} - {mmdet.CONSTANT}
    assert {each for each in again if not mmdet.SCALES.match(each)} == set(state) - {"scales"}


LOOK = Look((96, 160), keep_ratio=True, mean=(0.5, 0.4, 0.3), std=(0.3, 0.2, 0.1))


def checkpoint(folder: Path, backbone: str = "resnet18", **args: Any) -> Path:
    torch.manual_seed(0)
    built = vars(Architecture.parse(backbone, classes=0, args=args))
    card = DetectorCard("gfl", built, ("cat", "dog"), (3, 7), LOOK)
    save_detector(folder, card.build(), card)
    return folder


def test_there_and_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = checkpoint(tmp_path / "own")
    out = limbeck.convert(source, tmp_path / "theirs.pth", to="mmdetection")
    before = out.read_bytes()
    back = limbeck.convert(out, tmp_path / "back")
    assert (back / "model.safetensors").read_bytes() == (source / "model.safetensors").read_bytes()
    card = read_detector_card(back)
    assert (tuple(card.classes), tuple(card.ids)) == (("cat", "dog"), (3, 7))
    assert (card.look.size, card.look.keep_ratio) == (LOOK.size, True)
    assert card.look.mean == pytest.approx(LOOK.mean)
    assert card.look.std == pytest.approx(LOOK.std)
    contents = torch.load(out, weights_only=True)
    assert contents["meta"]["dataset_meta"]["classes"] == ["cat", "dog"]
    assert torch.equal(contents["state_dict"][mmdet.CONSTANT], torch.arange(17.0))
    capsys.readouterr()
    limbeck.convert(source, out, to="mmdetection")
    assert "as it was" in capsys.readouterr().out
    assert out.read_bytes() == before
    assert read_contents(out).weights


def test_what_mmdetection_has_not_is_told(tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "own", backbone="test_resnet")
    with pytest.raises(CheckpointError, match="is on test_resnet"):
        limbeck.convert(source, tmp_path / "a.pth", to="mmdetection")
    other = checkpoint(tmp_path / "other", stem_type="deep", stem_width=32)
    with pytest.raises(CheckpointError, match="is on resnet18 of another make"):
        limbeck.convert(other, tmp_path / "a.pth", to="mmdetection")
    good = checkpoint(tmp_path / "good")
    with pytest.raises(OptionError) as error:
        limbeck.convert(good, "", to="mmdetection")
    assert f"limbeck convert {good} --to mmdetection --out FILE.pth" in str(error.value)
    small = tmp_path / "small"
    save_detector(small, (ssd := DetectorCard("ssd300", None, ("cat",), (1,), Look((384, 384)))).build(), ssd)
    with pytest.raises(CheckpointError, match=r"ssd300 of .* is fitted to 384 pixels"):
        limbeck.convert(small, tmp_path / "a.pth", to="mmdetection")
    with pytest.raises(OptionError, match="with --to mmdetection"):
        limbeck.convert(good, tmp_path / "a.safetensors", to="mmdetection")
    with pytest.raises(OptionError, match="--to mmdetection with --classes"):
        limbeck.convert(good, tmp_path / "a.pth", to="mmdetection", classes=("a", "b"))
    (tmp_path / "taken.pth").write_bytes(b"something")
    with pytest.raises(RunError, match=r"taken\.pth is there"):
        limbeck.convert(good, tmp_path / "taken.pth", to="mmdetection")
    with pytest.raises(CheckpointError, match="no checkpoint in"):
        limbeck.convert(tmp_path / "nowhere", tmp_path / "a.pth", to="mmdetection")
    assert not (tmp_path / "a.pth").exists()
