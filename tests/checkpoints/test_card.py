"""A checkpoint is enough by itself, and is plain timm's as well."""

import json
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file
from torch import nn

from limbeck.checkpoints.card import Card, find, is_checkpoint, read_card, save, versions
from limbeck.checkpoints.loaded import load
from limbeck.classification.models import build, preprocess_of
from limbeck.errors import CheckpointError, UnsafeFile
from limbeck.records import Preprocess


def card_of(name: str, builder: str = "timm", classes: int = 4, **args: object) -> Card:
    return Card(
        architecture={"builder": builder, "name": name, "args": args},
        classes=[f"class {number}" for number in range(classes)],
        preprocess=Preprocess((64, 64), mean=(0.5, 0.5, 0.5)),
        provenance={"teacher": "a big one", "versions": versions()},
        metrics={"probe_agreement": 0.5},
    )


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("test_resnet", {}),
        ("test_vit", {"img_size": 64}),
        ("test_efficientnet", {"drop_rate": 0.1}),
        ("test_convnext", {}),
        ("test_mambaout", {}),
        ("mobilenetv3_small_050", {}),
        ("levit_128s", {}),
        ("mobileone_s0", {}),
    ],
)
def test_what_is_saved_loads_in_plain_timm_with_strict(tmp_path: Path, name: str, args: dict[str, object]) -> None:
    model = build(name, classes=4, args=args).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    save(tmp_path, model, card_of(name, **args))
    plain = timm.create_model(name, num_classes=4, **args)
    plain.load_state_dict(load_file(tmp_path / "model.safetensors"), strict=True)
    size = 224 if name == "levit_128s" else 64
    images = torch.randn(2, 3, size, size)
    with torch.no_grad():
        expected = plain.eval()(images)
        assert torch.allclose(load(tmp_path).model(images), expected, atol=1e-6)


def test_the_line_on_the_card_works_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = build("test_vit", classes=4, args={"img_size": 64})
    save(tmp_path, model, card_of("test_vit", img_size=64))
    line = json.loads((tmp_path / "card.json").read_text())["load"]
    monkeypatch.chdir(tmp_path)
    plain = eval(line, {"timm": timm})  # noqa: S307
    assert all(torch.equal(value, plain.state_dict()[name]) for name, value in model.state_dict().items())


def test_shared_tensors_are_written_under_both_names(tmp_path: Path) -> None:
    model = nn.ModuleDict({"one": nn.Linear(2, 2), "two": nn.Linear(2, 2)})
    model["two"].weight = model["one"].weight
    save(tmp_path, model, card_of("test_resnet"))
    assert sorted(load_file(tmp_path / "model.safetensors")) == ["one.bias", "one.weight", "two.bias", "two.weight"]


def test_torchvision_students_load_too(tmp_path: Path) -> None:
    model = build("torchvision/squeezenet1_1", classes=4)
    save(tmp_path, model, card_of("squeezenet1_1", "torchvision"))
    assert read_card(tmp_path).load_line.startswith(
        "model = torchvision.models.get_model('squeezenet1_1', num_classes=4)"
    )
    assert load(tmp_path).preprocess.size == (64, 64)


def test_a_card_comes_back_as_it_was(tmp_path: Path) -> None:
    card = card_of("test_resnet")
    save(tmp_path / "student", build("test_resnet", classes=4), card)
    assert find(tmp_path) == find(tmp_path / "student") == tmp_path / "student"
    assert is_checkpoint(tmp_path)
    assert read_card(tmp_path).to_dict() == card.to_dict()
    assert sorted(file.name for file in (tmp_path / "student").iterdir()) == ["card.json", "model.safetensors"]


def test_what_is_no_checkpoint_is_told(tmp_path: Path) -> None:
    assert not is_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match="limbeck distill --images"):
        load(tmp_path)
    save(tmp_path, build("test_resnet", classes=4), card_of("test_resnet"))
    told = json.loads((tmp_path / "card.json").read_text())
    (tmp_path / "card.json").write_text(json.dumps(told | {"format": 2, "shape": 1}))
    with pytest.raises(CheckpointError, match="format 2 with unknown keys: shape"):
        load(tmp_path)
    (tmp_path / "card.json").write_text("{")
    with pytest.raises(CheckpointError, match="is no card"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"builder": "os"}, "the builder is 'os'"),
        ({"name": "hf-hub:someone/something"}, "names a place"),
        ({"name": "local-dir:there"}, "names a place"),
        ({"name": "../test_resnet"}, "names a place"),
        ({"args": {"checkpoint_path": "evil.pth"}}, "it sets checkpoint_path"),
        ({"args": {"pretrained": True, "pretrained_cfg_overlay": {}}}, "it sets pretrained, pretrained_cfg_overlay"),
        ({"args": {"pretrained_cfg": {"file": "evil.pth"}}}, "it sets pretrained_cfg,"),
        ({"args": {"features_only": True}}, "it sets features_only"),
        ({"builder": "torchvision", "name": "resnet18", "args": {"weights": "DEFAULT"}}, "it sets weights"),
    ],
)
def test_a_card_that_wants_more_than_a_model_is_refused(tmp_path: Path, change: dict[str, object], reason: str) -> None:
    save(tmp_path, build("test_resnet", classes=4), card_of("test_resnet"))
    told = json.loads((tmp_path / "card.json").read_text())
    (tmp_path / "card.json").write_text(json.dumps(told | {"architecture": told["architecture"] | change}))
    with pytest.raises(UnsafeFile, match=reason) as raised:
        load(tmp_path)
    assert str(tmp_path / "card.json") in str(raised.value)


def test_weights_of_another_model_are_told(tmp_path: Path) -> None:
    save(tmp_path, build("test_vit", classes=4), card_of("test_resnet"))
    with pytest.raises(CheckpointError, match="do not fit this ResNet"):
        load(tmp_path)


def test_the_preprocessing_of_a_student_is_its_card_s(tmp_path: Path) -> None:
    save(tmp_path, build("test_resnet", classes=4), card_of("test_resnet"))
    assert load(tmp_path).preprocess != preprocess_of(build("test_resnet"))
    assert load(tmp_path).preprocess == card_of("test_resnet").preprocess
