"""limbeck convert: files of others in, checkpoints out, and back."""

import json
import pickle
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file

import limbeck
from limbeck.checkpoints.card import Card, read_card, save
from limbeck.checkpoints.detector_card import DetectorCard, save_detector
from limbeck.checkpoints.pdparams import read_pdparams
from limbeck.checkpoints.renames.networks import spelt
from limbeck.classification.models import Architecture, build
from limbeck.cli import main
from limbeck.detection.detector import design
from limbeck.errors import CheckpointError, OptionError, RunError, UnknownName, UnsafeFile
from limbeck.records import Preprocess
from tests.checkpoints.mm_files import saved
from tests.checkpoints.test_foreign_detector import old_ssd

NETWORK = "mobilenet_v3_small"


def paddle_file(
    path: Path,
    classes: int = 5,
    seed: int = 0,
    others: Mapping[str, Any] | None = None,
    network: str = NETWORK,
    spelling: str = "PaddleClas",
) -> Path:
    """A network's weights as Paddle keeps them."""
    torch.manual_seed(seed)
    state = build(network, classes=classes).state_dict()
    names = spelt(network, spelling, state)
    tensors = {old: (state[new].T if state[new].ndim == 2 else state[new]).numpy() for new, old in names.items()}
    path.write_bytes(pickle.dumps({**tensors, **(others or {})}, 4))
    return path


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return paddle_file(
        tmp_path_factory.mktemp("paddle") / "small.pdparams", others={"StructuredToParameterName@@": {"a": "b"}}
    )


def test_a_file_of_paddle_s_becomes_a_checkpoint_and_all_is_said(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "checkpoint"
    main(["convert", str(file), "--out", str(out), "--classes", "a", "b", "c", "d", "e"])
    said = capsys.readouterr().out
    for line in (
        "small.pdparams: Paddle's weights of limbeck/mobilenet_v3_small with 5 classes",
        "definition: PaddleClas's",
        "used: 214 tensors",
        "dropped: StructuredToParameterName@@ (a table of Paddle's own names)",
        "note: its running variances",
        f"checkpoint: {out}\n",
        f"next: limbeck evaluate {out} --images",
    ):
        assert line in said
    loaded = limbeck.load(out)
    assert loaded.classes == ("a", "b", "c", "d", "e")
    assert loaded.preprocess == Preprocess((224, 224), interpolation="bilinear", crop=0.875)
    torch.manual_seed(0)
    expected = build(NETWORK, classes=5).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(loaded.model(images), expected(images))
    origin = read_card(out).provenance
    assert origin["converted_from"] == "small.pdparams"
    assert (origin["family"], origin["definition"], len(origin["sha256"])) == ("Paddle", "PaddleClas", 64)
    assert "biased" in origin["notes"][0]


def test_and_back_to_the_same_file(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = limbeck.convert(file, tmp_path / "checkpoint")
    back = limbeck.convert(checkpoint, tmp_path / "back.pdparams", to="paddle")
    there, here = pickle.loads(file.read_bytes()), pickle.loads(back.read_bytes())
    del there["StructuredToParameterName@@"]
    assert list(here) == list(there)
    assert all(np.array_equal(here[name], there[name]) for name in there)
    content = back.read_bytes()
    capsys.readouterr()
    main(["convert", str(checkpoint), "--to", "paddle", "--out", str(back)])
    assert "as it was" in capsys.readouterr().out
    assert back.read_bytes() == content
    other = tmp_path / "other.pdparams"
    other.write_text("mine")
    with pytest.raises(RunError, match="is there"):
        limbeck.convert(checkpoint, other, to="paddle")
    assert other.read_text() == "mine"
    with pytest.raises(OptionError, match="with --to paddle") as told:
        limbeck.convert(checkpoint, tmp_path / "back", to="paddle")
    assert told.value.hint == f"--out {tmp_path / 'back.pdparams'}"
    with pytest.raises(UnknownName, match="unknown --to 'paddel'"):
        limbeck.convert(checkpoint, tmp_path / "back.pdparams", to="paddel")  # type: ignore[arg-type]


def test_a_backbone_for_a_detector_has_no_head(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = limbeck.convert(file, tmp_path / "checkpoint")
    back = limbeck.convert(checkpoint, tmp_path / "back.pdparams", to="paddle-detection")
    assert "left out: blocks.5.0.bn1, blocks.5.0.conv, classifier, conv_head" in capsys.readouterr().out
    names = list(read_pdparams(back).tensors)
    assert names[0] == "conv1.conv.weight"
    assert not any(name.startswith(("last", "fc", "out")) for name in names)
    headless = limbeck.convert(back, tmp_path / "headless")
    said = capsys.readouterr().out
    assert "without a head" in said
    assert "begin anew: blocks.5.0.conv.weight" in said
    assert f"next: limbeck finetune {headless}" in said
    assert limbeck.load(headless).classes == ()
    with pytest.raises(CheckpointError, match="it has no head"):
        limbeck.load(headless).predict(np.zeros((64, 64, 3), np.uint8))
    again = limbeck.convert(back, tmp_path / "again")
    assert (again / "model.safetensors").read_bytes() == (headless / "model.safetensors").read_bytes()
    maps = limbeck.backbone(headless, strides=(8, 16)).eval()
    with torch.no_grad():
        assert len(maps(torch.zeros(1, 3, 64, 64))) == 2


@pytest.mark.parametrize("suffix", [".pth", ".bin", ".safetensors"])
def test_timm_s_and_torchvision_s_files(tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]) -> None:
    models = {
        "timm/test_vit": timm.create_model("test_vit", num_classes=4),
        "torchvision/squeezenet1_1": torchvision.models.squeezenet1_1(num_classes=4),
    }
    for name, model in models.items():
        file = tmp_path / f"{name.replace('/', '-')}{suffix}"
        if suffix != ".safetensors":
            content = {"state_dict": {f"module.{k}": v for k, v in model.state_dict().items()}, "epoch": 3}
            torch.save(content, file, _use_new_zipfile_serialization=suffix == ".pth")
        else:
            save_file(dict(model.state_dict()), file)
        out = limbeck.convert(file, tmp_path / file.stem)
        said = capsys.readouterr().out
        assert f"weights of {name} with 4 classes" in said
        assert ("dropped: epoch (a number)" in said) == (suffix != ".safetensors")
        loaded = limbeck.load(out)
        images = torch.randn(2, 3, *loaded.preprocess.size)
        with torch.no_grad():
            assert torch.allclose(loaded.model(images), model.eval()(images), atol=1e-5)
        assert read_card(out).provenance["definition"] == name.partition("/")[0]


def test_class_names(file: Path, tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    for content, expected in (
        ("a\n\nb c\n d\ne\nf\n", ("a", "b c", "d", "e", "f")),
        ("0 a\n1 b, c\n2 d\n3 e\n4 f", ("a", "b, c", "d", "e", "f")),
        ("7\n1\n3\n4\n5", ("7", "1", "3", "4", "5")),
    ):
        names.write_text(content)
        out = limbeck.convert(file, tmp_path / "checkpoint", classes=names)
        assert limbeck.load(out).classes == expected
    table = tmp_path / "names.json"
    table.write_text(json.dumps({"0": "a", "1": "b", "2": "c", "3": "d", "4": "e"}))
    assert limbeck.load(limbeck.convert(file, tmp_path / "checkpoint", classes=table)).classes == tuple("abcde")
    assert limbeck.load(limbeck.convert(file, tmp_path / "other")).classes == ("0", "1", "2", "3", "4")
    with pytest.raises(OptionError, match="names 2 classes, and the head has 5"):
        limbeck.convert(file, tmp_path / "third", classes=["a", "b"])
    names.write_bytes(b"\xef\xbb\xbfa\nb\nc\nd\ne")
    assert limbeck.load(limbeck.convert(file, tmp_path / "checkpoint", classes=names)).classes == tuple("abcde")
    table.write_text(json.dumps({"4": "e", "0": "a", "1": "b", "3": "d", "2": "c"}))
    assert limbeck.load(limbeck.convert(file, tmp_path / "checkpoint", classes=table)).classes == tuple("abcde")
    for wrong in (b"{bad", b"3", b'{"cat": 0, "dog": 1}', b'[["n01440764", "tench"]]', b"\xff\xfe"):
        table.write_bytes(wrong)
        with pytest.raises(OptionError, match="is no file of class names"):
            limbeck.convert(file, tmp_path / "third", classes=table)
    with pytest.raises(OptionError, match="no file of class names"):
        limbeck.convert(file, tmp_path / "third", classes="missing.txt")
    assert not (tmp_path / "third").exists()
    whole = limbeck.convert(paddle_file(tmp_path / "whole.pdparams", classes=1000), tmp_path / "whole")
    assert limbeck.load(whole).classes[1].startswith("goldfish")


def test_nothing_of_the_user_s_is_written_over(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = limbeck.convert(file, tmp_path / "checkpoint")
    capsys.readouterr()
    limbeck.convert(file, out)
    assert "converted again" in capsys.readouterr().out
    before = (out / "card.json").read_bytes()
    with pytest.raises(RunError, match="no conversion of this file"):
        limbeck.convert(paddle_file(tmp_path / "b.pdparams", seed=1), out)
    assert (out / "card.json").read_bytes() == before
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "note.txt").write_text("x")
    for place, why in (
        (mine, "is there"),
        (mine / "note.txt", "is there"),
        (mine / "note.txt" / "x", "cannot be read or written"),
    ):
        with pytest.raises(RunError, match=why):
            limbeck.convert(file, place)
    assert [each.name for each in mine.iterdir()] == ["note.txt"]


class Code:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("it ran",)


def test_what_cannot_be_converted_is_told(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    harmful = tmp_path / "harmful.pdparams"
    harmful.write_bytes(pickle.dumps({"a": Code()}))
    with pytest.raises(UnsafeFile, match=r"builtins\.print"):
        limbeck.convert(harmful, tmp_path / "out")
    with pytest.raises(SystemExit, match="2"):
        main(["convert", str(harmful), "--out", str(tmp_path / "out")])
    assert "it ran" not in capsys.readouterr().out
    cut = tmp_path / "cut.pdparams"
    cut.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match="too early"):
        limbeck.convert(cut, tmp_path / "out")
    with pytest.raises(CheckpointError, match=r"does not hold MobileNetV3_large.* those of mobilenet_v3_small"):
        limbeck.convert(file, tmp_path / "out", architecture="mobilenet_v3_large")
    with pytest.raises(CheckpointError, match="no file of weights"):
        limbeck.convert(tmp_path / "missing.pth", tmp_path / "out")
    renamed = tmp_path / "renamed.pth"
    renamed.write_bytes(file.read_bytes())
    assert limbeck.load(limbeck.convert(renamed, tmp_path / "by-content")).card.provenance["family"] == "Paddle"
    (tmp_path / "a.pdopt").write_bytes(file.read_bytes())
    with pytest.raises(CheckpointError, match="is the state of an optimizer"):
        limbeck.convert(tmp_path / "a.pdopt", tmp_path / "out")
    with pytest.raises(OptionError, match="is of a checkpoint already"):
        limbeck.convert(tmp_path / "by-content" / "model.safetensors", tmp_path / "out")
    with pytest.raises(OptionError, match="is a folder"):
        limbeck.convert(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("value", [np.nan, 1e300])
def test_values_that_are_not_finite_are_told(file: Path, tmp_path: Path, value: float) -> None:
    broken = pickle.loads(file.read_bytes())
    broken["conv.bn._variance"] = np.full(16, value)
    (tmp_path / "broken.pdparams").write_bytes(pickle.dumps(broken))
    with pytest.raises(CheckpointError, match=r"nan or infinite values in 1 tensor: bn1\.running_var"):
        limbeck.convert(tmp_path / "broken.pdparams", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_numbers_of_every_kind_and_order_are_read(file: Path, tmp_path: Path) -> None:
    plain = limbeck.load(limbeck.convert(file, tmp_path / "plain")).model.state_dict()
    whole = pickle.loads(file.read_bytes())
    del whole["StructuredToParameterName@@"]
    for number, kind in enumerate((">f4", "<f8", ">f8")):
        turned = {name: np.asfortranarray(values.astype(kind)) for name, values in whole.items()}
        other = tmp_path / f"{number}.pdparams"
        other.write_bytes(pickle.dumps(turned))
        found = limbeck.load(limbeck.convert(other, tmp_path / f"{number}")).model.state_dict()
        assert all(torch.equal(found[name], plain[name]) for name in plain)


def test_only_the_reference_s_networks_go_to_paddle(tmp_path: Path) -> None:
    model = build("test_resnet", classes=2)
    architecture = vars(Architecture.parse("test_resnet", classes=2))
    save(tmp_path / "run" / "student", model, Card(architecture, ["a", "b"], Preprocess((64, 64))))
    with pytest.raises(CheckpointError, match=r"timm/test_resnet .* is none of the reference's networks"):
        limbeck.convert(tmp_path / "run", tmp_path / "a.pdparams", to="paddle")
    with pytest.raises(OptionError, match="--to paddle with --classes"):
        limbeck.convert(tmp_path / "run", tmp_path / "a.pdparams", to="paddle", classes=["a"])
    gated = {"builder": "timm", "name": "resnet50d", "args": {"block_args": {"attn_layer": "se"}}}
    model = timm.create_model("resnet50d", num_classes=2, **gated["args"])  # type: ignore[arg-type]
    save(tmp_path / "gated", model, Card(gated, ["a", "b"], Preprocess((64, 64))))
    with pytest.raises(CheckpointError, match="no plain ResNet50_vd: it is built with block_args"):
        limbeck.convert(tmp_path / "gated", tmp_path / "a.pdparams", to="paddle")
    assert not (tmp_path / "a.pdparams").exists()
    with pytest.raises(CheckpointError, match="no checkpoint in"):
        limbeck.convert(tmp_path / "nothing", tmp_path / "a.pdparams", to="paddle")


def test_a_dropout_of_its_own_is_said_and_other_arguments_stay_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for rate in (0, 0.2):
        card = Card(vars(Architecture.parse(NETWORK, args={"drop_rate": rate})), ["a", "b"], Preprocess((64, 64)))
        save(tmp_path / f"run{rate}", build(NETWORK, classes=2, args={"drop_rate": rate}), card)
        limbeck.convert(tmp_path / f"run{rate}", tmp_path / f"{rate}.pdparams", to="paddle")
        said = capsys.readouterr().out
        assert ("note: its dropout is 0: there, dropout_prob=0 builds it" in said) == (rate == 0)
    gates = Card(vars(Architecture.parse("mobilenet_v1", args={"act_layer": "relu6"})), ["a"], Preprocess((64, 64)))
    save(tmp_path / "six", build("mobilenet_v1", classes=1), gates)
    with pytest.raises(CheckpointError, match="no plain MobileNetV1: it is built with act_layer"):
        limbeck.convert(tmp_path / "six", tmp_path / "six.pdparams", to="paddle")


@pytest.mark.slow
def test_the_guide_s_commands(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    paddle_file(Path("MobileNetV3_large_x1_0_ssld_pretrained.pdparams"), 1000, network="mobilenet_v3_large")
    whole = pickle.loads(paddle_file(Path("whole"), 0, network="resnet50_vd", spelling="PaddleDetection").read_bytes())
    neck = {"neck.fpn.weight": np.zeros(3, np.float32)}
    body = {f"backbone.{name}": values for name, values in whole.items()}
    Path("faster_rcnn.pdparams").write_bytes(pickle.dumps(body | neck))
    torch.save(timm.create_model("resnet50", num_classes=1000).state_dict(), "resnet50.pth")
    torch.save(timm.create_model("test_resnet", num_classes=2).state_dict(), "weights.pth")
    Path("names.txt").write_text("cat\ndog\n")
    lite = torchvision.models.get_model("ssdlite320_mobilenet_v3_large", weights=None, weights_backbone=None)
    torch.save(lite.state_dict(), "ssdlite320_mobilenet_v3_large.pth")
    shapes = json.loads((shared / "fixtures" / "parity_mm" / "ssd300_s0.json").read_text())["state_dict"]
    ssd = {name: torch.zeros(shape) for name, shape in shapes.items()}
    saved(Path("ssd300_coco.pth"), ssd, others={"optimizer": {}})
    saved(Path("ssd300_old.pth"), old_ssd(ssd))
    body = vars(Architecture.parse("resnet18", classes=0))
    taught = DetectorCard("gfl", body, ("cat", "dog"), (1, 2), design("gfl").look)
    save_detector("small/student", taught.build(), taught)
    guide = (Path(__file__).parents[2] / "docs" / "guides" / "convert.md").read_text()
    commands = re.findall(r"^\$ limbeck (.*)$", guide, re.MULTILINE)
    assert len(commands) > 4
    for command in commands:
        main(shlex.split(command))
    said = capsys.readouterr().out
    told = r"^(?:definition|used|next|begin anew|written|left out|dropped|ssd300_\w+\.pth): .*$"
    for line in re.findall(told, guide, re.MULTILINE):
        assert line in said
