"""The table of the paper's networks: each row is built, shaped, trained and told of as any classifier."""

import json
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import timm
import torch
from safetensors.torch import load_file
from torch import nn

from limbeck.backbones import BACKBONES
from limbeck.backbones.hrnet import SqueezeExcite
from limbeck.backbones.mobilenet import Dropout, HardSigmoid
from limbeck.backbones.same import PUBLISHED, SAME_IN_TIMM
from limbeck.checkpoints.card import Card, read_card, save
from limbeck.checkpoints.loaded import load
from limbeck.classification.models import (
    Architecture,
    build,
    check_pretrained,
    class_names,
    classes_in,
    count,
    licence_of,
    outline,
    preprocess_of,
    published,
    size_args,
)
from limbeck.errors import CheckpointError, OptionError, UnsafeFile
from limbeck.records import Preprocess
from tests.backbones.fixtures import REFERENCE

SMALL = ("mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large")
MEDIUM = (*SMALL, "resnet50_vd", "hrnet_w18_c")
# the values of the reference's checkpoints, its running statistics among them, and those of timm for the last one
VALUES = {
    "mobilenet_v1": 4_253_864, "mobilenet_v2": 3_540_136, "mobilenet_v3_small": 2_952_102,
    "mobilenet_v3_large": 5_504_638, "hrnet_w18_c": 21_346_380, "se_hrnet_w64_c": 129_119_392,
    "resnet50_vd": 25_629_512, "resnet101_vd": 44_673_864, "resnet200_vd": 74_933_064,
    "resnext101_32x16d": 194_359_720,
}  # fmt: skip


def slowly(name: str) -> Any:
    return pytest.param(name, marks=pytest.mark.slow)


@pytest.mark.parametrize("name", BACKBONES)
def test_every_name_is_known_and_has_the_reference_s_values(name: str) -> None:
    assert Architecture.parse(name) == Architecture.parse(f"limbeck/{name}") == Architecture("limbeck", name)
    assert Architecture.parse(name).full_name == f"limbeck/{name}"
    model = outline(Architecture.parse(name))
    values = {key: value for key, value in model.state_dict().items() if not key.endswith("num_batches_tracked")}
    assert all(value.is_meta for value in values.values())
    assert sum(value.numel() for value in values.values()) == VALUES[name]
    size = (96, 64) if "hrnet" in name else (97, 65)  # HRNet's branches meet only where the size divides by 32
    assert model(torch.empty(2, 3, *size, device="meta")).shape == (2, 1000)
    assert preprocess_of(model) == preprocess_of(published(Architecture.parse(name))) == Preprocess(
        (224, 224), interpolation="bilinear"
    )  # fmt: skip
    assert size_args(name, 96) == {}


def test_the_table_covers_the_fixtures_and_the_facts_name_no_other() -> None:
    assert set(VALUES) == set(BACKBONES) == {*REFERENCE, "resnext101_32x16d"}
    assert set(PUBLISHED) <= set(SAME_IN_TIMM) <= set(BACKBONES)
    for name in PUBLISHED:
        check_pretrained(Architecture.parse(PUBLISHED[name]))


@pytest.mark.parametrize("name", [each if each in MEDIUM else slowly(each) for each in BACKBONES])
def test_another_class_count_is_found_in_the_weights(name: str) -> None:
    weights = outline(Architecture.parse(name, classes=13)).state_dict()
    assert classes_in(Architecture.parse(name), weights) == 13
    headless = outline(Architecture.parse(name, classes=0))
    head = {key for key in weights if key.startswith(("fc.", "classifier."))}
    assert set(weights) - set(headless.state_dict()) == head


@pytest.mark.parametrize("name", MEDIUM)
def test_a_gradient_reaches_every_parameter(name: str) -> None:
    torch.manual_seed(0)
    model = build(name, classes=5).train()
    model(torch.randn(2, 3, 64, 64)).square().sum().backward()
    assert [key for key, value in model.named_parameters() if value.grad is None or not value.grad.any()] == []


@pytest.mark.parametrize("name", MEDIUM)
def test_an_answer_does_not_depend_on_the_rest_of_the_batch(name: str) -> None:
    torch.manual_seed(0)
    model = build(name, classes=5).eval()
    images = torch.randn(3, 3, 64, 96)
    with torch.no_grad():
        together, alone = model(images), model(images[1:2])
    assert torch.allclose(together[1:2], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SMALL)
def test_it_learns_one_batch_by_heart(name: str) -> None:
    torch.manual_seed(0)
    model = build(name, classes=4, args={"drop_rate": 0.0}).train()
    images, labels = torch.randn(8, 3, 32, 32), torch.arange(8) % 4
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
    for _ in range(20):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert loss.item() < 0.1
    assert torch.equal(model(images).argmax(1), labels)


@pytest.mark.parametrize("name", [*SMALL, slowly("resnet50_vd"), slowly("hrnet_w18_c")])
def test_a_checkpoint_brings_it_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    torch.manual_seed(0)
    architecture = Architecture.parse(name, classes=3)
    model = architecture.build().eval()
    save(tmp_path, model, Card(vars(architecture), ("a", "b", "c"), preprocess_of(model)))
    images = torch.randn(1, 3, 64, 64)
    back = load(tmp_path)
    with torch.no_grad():
        expected = model(images)
        assert torch.equal(back.model(images), expected)
        assert read_card(tmp_path).build_from() == architecture
        line = json.loads((tmp_path / "card.json").read_text())["load"]
        monkeypatch.chdir(tmp_path)
        assert line.startswith("timm.create_model(" if name in SAME_IN_TIMM else "limbeck.load(")
        if name in SAME_IN_TIMM:
            assert torch.equal(eval(line, {"timm": timm}).eval()(images), expected)  # noqa: S307
            weights = load_file(tmp_path / "model.safetensors")
            eval(line.partition(", checkpoint_path")[0] + ")", {"timm": timm}).load_state_dict(weights)  # noqa: S307


def test_the_line_of_the_deepest_is_timm_s_with_its_depths() -> None:
    card = Card({"builder": "limbeck", "name": "resnet200_vd", "args": {}}, ("a", "b"), Preprocess((224, 224)))
    assert card.load_line == (
        "timm.create_model('resnet200d', layers=(3, 12, 48, 3), num_classes=2, checkpoint_path='model.safetensors')"
    )


@pytest.mark.parametrize(
    "architecture",
    [
        {"builder": "limbeck", "name": "../mobilenet_v1", "args": {}},
        {"builder": "limbeck", "name": "mobilenet_v1", "args": {"pretrained": True}},
        {"builder": "limbeck", "name": "se_hrnet_w64_c", "args": {"checkpoint_path": "evil.pth"}},
    ],
)
def test_a_card_cannot_make_it_more_than_a_model(tmp_path: Path, architecture: dict[str, object]) -> None:
    card = Card({"builder": "limbeck", "name": "mobilenet_v1", "args": {}}, ("a",), Preprocess((224, 224)))
    save(tmp_path, nn.Linear(1, 1), card)
    told = json.loads((tmp_path / "card.json").read_text())
    (tmp_path / "card.json").write_text(json.dumps(told | {"architecture": architecture}))
    with pytest.raises(UnsafeFile, match="is refused"):
        load(tmp_path)


def test_weights_that_nobody_publishes_are_told_with_the_way_to_have_them(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CheckpointError, match=r"limbeck convert FILE\.pdparams --out CHECKPOINT"):
        build("resnet50_vd", pretrained=True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match="--teacher-weights FILE"):
        build("hrnet_w18_c", pretrained=True)


def test_a_thousand_classes_are_imagenet_s_and_ten_are_not() -> None:
    assert class_names(outline(Architecture.parse("resnet50_vd"))) == class_names(build("test_resnet"))
    assert class_names(outline(Architecture.parse("resnet50_vd", classes=10))) is None
    assert licence_of(outline(Architecture.parse("resnext101_32x16d"))) == "cc-by-nc-4.0"


def test_arguments_that_a_network_does_not_take_are_told() -> None:
    for name in (*SMALL, "resnet50_vd"):
        with pytest.raises(OptionError, match="no_such_argument"):
            build(name, args={"no_such_argument": 1})


@pytest.mark.parametrize(
    ("name", "macs"), [("mobilenet_v3_large", 0.22), ("resnet50_vd", 4.33), ("resnext101_32x16d", 36.2)]
)
def test_multiply_accumulates_are_counted_without_running(name: str, macs: float) -> None:
    told = count(outline(Architecture.parse(name)), (224, 224)).macs
    assert told is not None
    assert told / 1e9 == pytest.approx(macs, rel=0.03)


def test_dropout_leaves_what_it_keeps_and_scales_at_inference() -> None:
    torch.manual_seed(0)
    dropped = Dropout(0.2).train()(torch.ones(10_000))
    assert set(dropped.unique().tolist()) <= {0.0, 1.0}
    assert float(dropped.mean()) == pytest.approx(0.8, abs=0.02)
    assert torch.equal(Dropout(0.2).eval()(torch.ones(3)), torch.full((3,), 0.8))
    assert torch.equal(Dropout(0.0).eval()(torch.ones(3)), torch.ones(3))


def test_the_hard_sigmoid_is_not_torch_s() -> None:
    values = torch.tensor([-3.0, -2.5, 0.0, 1.0, 2.5, 3.0])
    assert HardSigmoid()(values).tolist() == pytest.approx([0.0, 0.0, 0.5, 0.7, 1.0, 1.0])


def test_the_gates_of_se_hrnet_are_sigmoids_of_rectified_means() -> None:
    gate = SqueezeExcite(32)
    state = {"fc_squeeze.weight": torch.stack([torch.full((32,), 1 / 32), torch.full((32,), -1 / 32)])}
    state |= {"fc_squeeze.bias": torch.zeros(2), "fc_excitation.weight": torch.ones(32, 2)}
    gate.load_state_dict(state | {"fc_excitation.bias": torch.zeros(32)})
    with torch.no_grad():
        assert torch.allclose(gate(torch.ones(1, 32, 2, 3)), torch.tensor(1.0).sigmoid().expand(1, 32, 2, 3))


def test_mobilenet_v3_scales_by_its_own_rate() -> None:
    torch.manual_seed(0)
    usual = build("mobilenet_v3_small").eval()
    plain = build("mobilenet_v3_small", args={"drop_rate": 0.0}).eval()
    plain.load_state_dict(usual.state_dict())
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        bias = usual.classifier.bias  # type: ignore[union-attr]
        assert torch.allclose((usual(images) - bias) / 0.8, plain(images) - bias, atol=1e-5)
