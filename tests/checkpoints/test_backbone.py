"""A backbone by a model's name, and by the path of what was made of one."""

from pathlib import Path

import pytest
import torch

import limbeck
from limbeck.checkpoints.backbone import backbone
from limbeck.checkpoints.card import Card, save
from limbeck.checkpoints.loaded import load
from limbeck.classification.models import Architecture, preprocess_of
from limbeck.errors import CheckpointError, OptionError, UnknownName


def saved(folder: Path, name: str, classes: int = 3) -> Path:
    torch.manual_seed(1)
    architecture = Architecture.parse(name, classes=classes)
    model = architecture.build()
    names = tuple(f"class {number}" for number in range(classes))
    save(folder, model, Card(vars(architecture), names, preprocess_of(model)))
    return folder


@pytest.mark.parametrize(
    ("name", "strides"),
    [("mobilenet_v3_large", (8, 16, 32)), ("mobilenet_v1", (16,)), ("resnet18", (4, 32)), ("test_vit", (16,))],
)
@pytest.mark.parametrize("inner", ["student", ""])
def test_a_path_gives_the_maps_of_its_classifier(
    tmp_path: Path, name: str, strides: tuple[int, ...], inner: str
) -> None:
    saved(tmp_path / inner, name)
    maps = limbeck.backbone(tmp_path if inner else str(tmp_path), strides=strides).eval()
    model = load(tmp_path).model
    reductions = [info["reduction"] for info in model.feature_info]  # type: ignore[union-attr]
    indices = [len(reductions) - 1 - reductions[::-1].index(stride) for stride in strides]
    images = torch.randn(1, 3, 160, 160)
    with torch.no_grad():
        expected = model.forward_intermediates(images, indices=indices, intermediates_only=True)  # type: ignore[operator]
        found = maps(images)
    assert maps.strides == strides
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_a_backbone_without_a_head_comes_by_path_too(tmp_path: Path) -> None:
    saved(tmp_path, "mobilenet_v3_small", classes=0)
    assert backbone(tmp_path).channels == (16, 16, 24, 48, 96)


def test_a_name_is_built_with_its_arguments() -> None:
    assert backbone("mobilenet_v1").strides == (2, 4, 8, 16, 32)
    assert backbone("resnet10t", strides=(8,), args={"in_chans": 1}).model.conv1[0].in_channels == 1


def test_what_is_no_source_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="resnet50_vd"):
        backbone("resnet50vd")
    with pytest.raises(CheckpointError, match="no checkpoint in"):
        backbone(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="no checkpoint in"):
        backbone(tmp_path)
    (tmp_path / "released.pdparams").touch()
    with pytest.raises(CheckpointError, match=r"limbeck convert \S+released.pdparams --out CHECKPOINT"):
        backbone(tmp_path / "released.pdparams")
    with pytest.raises(CheckpointError, match="no pretrained weights of limbeck/resnet50_vd"):
        backbone("resnet50_vd", pretrained=True)


def test_a_checkpoint_is_built_as_its_card_says(tmp_path: Path) -> None:
    saved(tmp_path, "test_resnet")
    with pytest.raises(OptionError, match="is a checkpoint, with arguments"):
        backbone(tmp_path, args={"drop_rate": 0.5})
    with pytest.raises(OptionError, match="has no map at stride 64"):
        backbone(tmp_path, strides=(64,))
