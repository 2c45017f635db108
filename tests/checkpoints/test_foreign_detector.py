"""mmdetection's files of detectors, of every age, as limbeck's: the same raw outputs; what is no such file is told."""

import json
import re
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import Tensor

import limbeck
from limbeck.cli import main
from limbeck.detection.coco_names import coco_names
from limbeck.errors import CheckpointError, OptionError, RunError
from tests.checkpoints.mm_files import saved

COCO = tuple(coco_names().values())
# what each fixture is here, and the file it is written as: config, zipped or not
MODELS = {
    "ssd300": "ssd300",
    "ssd512": "ssd512",
    "ssdlite_mobilenetv2": "ssdlite_mobilenetv2",
    "gfl_r18": "gfl",
    "gfl_r34": "gfl",
    "gfl_r50": "gfl",
    "gfl_r101": "gfl",
    "gfl_r101_dcn": "gfl_dcn",
    "retinanet_r50_fpn": "retinanet",
}
QUICK = ("ssdlite_mobilenetv2", "gfl_r18")
CONFIG = """
model = dict(
    type='GFL',
    data_preprocessor=dict(mean=[127.5, 127.5, 127.5], std=[51, 51, 51], bgr_to_rgb=True),
    bbox_head=dict(type='GFLHead', anchor_generator=dict(ratios=[1.0], octave_base_scale=8)))
test_pipeline = [dict(type='LoadImageFromFile'), dict(type='Resize', scale=(640, 480), keep_ratio=True)]
"""


@pytest.fixture(scope="module")
def fixtures(shared: Path) -> tuple[Path, ModuleType, ModuleType]:
    """Their folder, and what makes weights and images out of names and seeds."""
    folder = shared / "fixtures" / "parity_mm"
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(str(folder))
        for name in ("named_weights", "named_inputs"):
            sys.modules.pop(name, None)
        return folder, import_module("named_weights"), import_module("named_inputs")


def old_ssd(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """An SSD's tensors as they were called before 2.14."""
    rules = (
        (r"^neck\.extra_layers\.(\d)\.(\d)\.conv\.", lambda m: f"backbone.extra.{2 * int(m[1]) + int(m[2])}."),
        (r"^neck\.l2_norm", "backbone.l2_norm"),
        (r"^(bbox_head\.\w+_convs\.\d)\.0\.", r"\1."),
    )
    found = {}
    for name, value in weights.items():
        for pattern, new in rules:
            name = re.sub(pattern, new, name)
        found[name] = value
    return found


def as_old(name: str, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    if name in ("ssd300", "ssd512"):
        return old_ssd(weights)
    return {each.replace("conv2.conv_offset", "conv2_offset"): value for each, value in weights.items()}


@pytest.mark.parametrize(
    "name", [each if each in QUICK else pytest.param(each, marks=pytest.mark.slow) for each in MODELS]
)
def test_the_same_raw_outputs(name: str, fixtures: tuple[Path, ModuleType, ModuleType], tmp_path: Path) -> None:
    folder, drawn, inputs = fixtures
    meta = json.loads((folder / f"{name}_s0.json").read_text())
    weights = {key: torch.from_numpy(drawn.tensor(key, shape, 0)) for key, shape in meta["state_dict"].items()}
    old = saved(tmp_path / "old.pth", as_old(name, weights), zipped=False, classes=COCO)
    out = limbeck.convert(old, tmp_path / "out")
    file = saved(tmp_path / "new.pth", weights, zipped=True)
    again = limbeck.convert(file, tmp_path / "again")
    assert (again / "model.safetensors").read_bytes() == (out / "model.safetensors").read_bytes()
    loaded = limbeck.load(out)
    assert loaded.card.detector == MODELS[name]
    assert (loaded.classes, loaded.card.ids) == (COCO, tuple(coco_names()))
    assert limbeck.load(again).classes == COCO
    told = meta["preprocessing"]
    mean, std = (torch.tensor(told[key], dtype=torch.float32)[:, None, None] for key in ("mean", "std"))
    images = torch.zeros(meta["batch_shape"])
    for index, each in enumerate(meta["images"]):
        height, width = each["img_shape"]
        shown = torch.from_numpy(inputs.image(index, height, width, 0)).permute(2, 0, 1)
        images[index, :, :height, :width] = (shown.float() - mean) / std
        look = loaded.look
        own = (shown / 255 - torch.tensor(look.mean)[:, None, None]) / torch.tensor(look.std)[:, None, None]
        assert torch.allclose(own, (shown.float() - mean) / std, atol=2e-4)
    with torch.inference_mode():
        raw = loaded.model(images)
    with np.load(folder / f"{name}_s0.npz") as arrays:
        for what, levels in (("cls_score", raw[0]), ("bbox_pred", raw[1])):
            for level, rows in enumerate(levels):
                facts = meta["arrays"][f"head.{what}.{level}"]
                batch, channels, height, width = facts["shape"]
                flat = rows.reshape(batch, height, width, channels).permute(0, 3, 1, 2).reshape(-1).numpy()
                kept = flat[inputs.subset(flat.size, facts["keep"])]
                assert np.abs(kept - arrays[f"sub.head.{what}.{level}"]).max() <= 1e-4 * facts["absmax"]


@pytest.fixture(scope="module")
def gfl(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    """A GFL on a ResNet-18 with three classes, as mmdetection names its tensors."""
    return theirs(3)


def theirs(classes: int) -> dict[str, Tensor]:
    from limbeck.checkpoints.detector_card import assembled
    from limbeck.checkpoints.renames import mmdet

    torch.manual_seed(0)
    state = assembled("gfl", classes, timm.create_model("resnet18", num_classes=0)).state_dict()
    body = {
        f"backbone.{name.removeprefix('backbone.model.')}": value
        for name, value in state.items()
        if "backbone." in name
    }
    spelt = [
        *(f"neck.lateral_convs.{n}.conv.{leaf}" for n in range(3) for leaf in ("weight", "bias")),
        *(f"neck.fpn_convs.{n}.conv.{leaf}" for n in range(5) for leaf in ("weight", "bias")),
        *(f"bbox_head.{kind}_convs.{n}.conv.weight" for kind in ("cls", "reg") for n in range(4)),
        *(f"bbox_head.cls_convs.{n}.gn.{leaf}" for n in range(4) for leaf in ("weight", "bias")),
        *(f"bbox_head.reg_convs.{n}.gn.{leaf}" for n in range(4) for leaf in ("weight", "bias")),
        *(f"bbox_head.gfl_{kind}.{leaf}" for kind in ("cls", "reg") for leaf in ("weight", "bias")),
    ]  # fmt: skip
    head = {name: state[mmdet.renamed(name, mmdet.GFL)] for name in spelt}
    scales = {f"bbox_head.scales.{level}.scale": value for level, value in enumerate(state["scales"])}
    return {**body, **head, **scales, "bbox_head.integral.project": torch.linspace(0, 16, 17)}


def test_what_the_file_says_is_used_and_all_else_is_told(
    gfl: dict[str, Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    averaged = {"ema_backbone_conv1_weight": torch.zeros(1)}
    others = {"ema_state_dict": {"module.a": torch.zeros(1)}, "optimizer": {"state": {0: {}}}}
    file = saved(tmp_path / "gfl.pth", {**gfl, **averaged}, config=CONFIG, classes=("a", "b", "c"), others=others)
    main(["convert", str(file), "--out", str(tmp_path / "out")])
    said = capsys.readouterr().out
    for line in (
        "gfl.pth: mmdetection's weights of gfl on timm/resnet18 with 3 classes",
        "definition: mmdetection's",
        "dropped: message_hub (a table)",
        "dropped: optimizer (a table)",
        "dropped: ema_state_dict (a table)",
        "dropped: ema_... (1 tensor: the other side of a moving average)",
        "dropped: bbox_head.integral.project (the numbers 0 to 16)",
        "note: state_dict is the moving average",
        f"next: limbeck predict {tmp_path / 'out'} PHOTO... --pictures FOLDER",
    ):
        assert line in said
    loaded = limbeck.load(tmp_path / "out")
    assert (loaded.classes, loaded.card.ids) == (("a", "b", "c"), (1, 2, 3))
    assert (loaded.look.size, loaded.look.mean, loaded.look.std) == ((480, 640), (0.5, 0.5, 0.5), (0.2, 0.2, 0.2))
    main(["convert", str(file), "--out", str(tmp_path / "out"), "--classes", "x", "y", "z"])
    assert "converted again" in capsys.readouterr().out
    assert limbeck.load(tmp_path / "out").classes == ("x", "y", "z")
    with pytest.raises(OptionError, match="names 1 class, and the head has 3"):
        limbeck.convert(file, tmp_path / "third", classes=["x"])
    other = saved(tmp_path / "other.pth", gfl, classes=("a", "b"))
    with pytest.raises(RunError, match="no conversion of this file"):
        limbeck.convert(other, tmp_path / "out")
    assert limbeck.load(limbeck.convert(other, tmp_path / "fourth")).classes == ("0", "1", "2")
    assert "note: meta names 2 classes, and the head has 3" in capsys.readouterr().out


def test_classes_of_older_files_and_of_one_class(tmp_path: Path) -> None:
    one = theirs(1)
    file = saved(tmp_path / "a.pth", one, meta={"CLASSES": "balloon", "config": "/x/y.py\nmodel = dict(type='GFL')\n"})
    loaded = limbeck.load(limbeck.convert(file, tmp_path / "out"))
    assert loaded.classes == ("balloon",)


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ("model = dict(backbone=dict(type='ResNet', style='caffe'))", "in the manner of Caffe"),
        ("img_norm_cfg = dict(mean=[1, 1, 1], std=[1, 1, 1], to_rgb=False)", "in the manner of Caffe"),
        ("model = dict(bbox_head=dict(anchor_generator=dict(ratios=[0.5])))", "has other priors than gfl: ratios"),
    ],
)
def test_what_computes_otherwise_is_refused(gfl: dict[str, Tensor], tmp_path: Path, config: str, why: str) -> None:
    with pytest.raises(CheckpointError, match=why):
        limbeck.convert(saved(tmp_path / "a.pth", gfl, config=config), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_a_config_says_is_told_in_short(gfl: dict[str, Tensor], tmp_path: Path) -> None:
    def told(**given: Any) -> str:
        with pytest.raises(CheckpointError) as caught:
            limbeck.convert(saved(tmp_path / "a.pth", gfl, **given), tmp_path / "out")
        return str(caught.value)

    bomb: Any = (0.5,)
    for _ in range(200):
        bomb = (bomb, bomb)
    for ratios in (bomb, "\x1b[2J", torch.ones(2), [torch.ones(2)], 16**100):
        said = told(config={"model": {"bbox_head": {"anchor_generator": {"ratios": ratios}}}})
        assert "has other priors than gfl: ratios" in said
        assert len(said) < 1000
        assert "\x1b" not in said
    said = told(meta={"mmdet_version": "1.0\x1b[2J" + "0" * 1000})
    assert r"is of mmdetection 1.0\x1b[2J" in said
    assert "\x1b" not in said
    assert len(said) < 1000


def test_what_limbeck_has_not_is_told_with_the_nearest(gfl: dict[str, Tensor], tmp_path: Path) -> None:
    def refused(weights: dict[str, Tensor], why: str, **meta: Any) -> CheckpointError:
        with pytest.raises(CheckpointError, match=why) as told:
            limbeck.convert(saved(tmp_path / "a.pth", weights, meta=meta), tmp_path / "out")
        assert not (tmp_path / "out").exists()
        return told.value

    old = refused(gfl, r"is of mmdetection 1\.2\.0", mmdet_version="1.2.0")
    assert "upgrade_model_version.py" in old.hint
    fewer = {name: value for name, value in gfl.items() if "layer4.1.conv2" not in name}
    refused(fewer, r"nearest is gfl on resnet18: 1 tensor missing \(backbone\.model\.layer4\.1\.conv2\.weight\)")
    refused({**gfl, "neck.more.weight": torch.ones(1)}, r"1 tensor unexpected \(neck\.more\.weight\)")
    wide = {**gfl, "bbox_head.gfl_reg.weight": torch.zeros(32, 256, 3, 3)}
    refused(wide, r"bbox_head\.gfl_reg\.weight: \(32, 256, 3, 3\) instead of \(68, 256, 3, 3\)")
    broken = {**gfl, "backbone.conv1.weight": gfl["backbone.conv1.weight"] * torch.nan}
    refused(broken, "nan or infinite")
    two_stages = {"rpn_head.rpn_conv.weight": torch.ones(1), **{k: v for k, v in gfl.items() if "backbone" in k}}
    told = refused(two_stages, r"a two-stage detector of mmdetection's that limbeck has not: rpn_head")
    assert "RetinaNet" in told.expected
    assert told.hint.endswith("a.pth --architecture timm/resnet18 --out CHECKPOINT, for its backbone")
    assert refused(fewer, "nearest").hint.startswith("the file of one of these"), "a backbone that is not whole"
    headless = {name: value for name, value in two_stages.items() if "backbone" not in name}
    assert refused(headless, "two-stage").hint.startswith("the file of one of these")
    refused(two_stages, "two-stage")
    backbone = limbeck.convert(tmp_path / "a.pth", tmp_path / "out", architecture="resnet18")
    assert limbeck.load(backbone).card.architecture["name"] == "resnet18"
    with pytest.raises(CheckpointError, match="holds no ssd300: it has the head of gfl"):
        limbeck.convert(saved(tmp_path / "b.pth", gfl), tmp_path / "other", architecture="ssd300")


def test_the_backbone_of_a_two_stage_detector_of_torchvision_s(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = timm.create_model("resnet18", num_classes=0).state_dict()
    theirs = {
        f"backbone.body.{name}": value for name, value in body.items() if not name.endswith("num_batches_tracked")
    }
    theirs |= {"backbone.fpn.inner_blocks.0.0.weight": torch.ones(1), "rpn.head.cls_logits.weight": torch.ones(1)}
    file = tmp_path / "faster.pth"
    torch.save(theirs, file)
    with pytest.raises(CheckpointError, match="a two-stage detector of torchvision's") as caught:
        limbeck.convert(file, tmp_path / "out")
    line = f"limbeck convert {file} --architecture timm/resnet18 --out CHECKPOINT"
    assert caught.value.hint == f"{line}, for its backbone"
    main([*line.split()[1:-1], str(tmp_path / "out")])
    assert "dropped: backbone.fpn (1 tensor)" in capsys.readouterr().out
    assert torch.equal(limbeck.load(tmp_path / "out").model.state_dict()["conv1.weight"], body["conv1.weight"])


def test_a_backbone_alone(gfl: dict[str, Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    body = {name: value for name, value in gfl.items() if name.startswith("backbone.")}
    out = limbeck.convert(saved(tmp_path / "r18.pth", body), tmp_path / "r18")
    assert "resnet18 without a head" in capsys.readouterr().out
    assert limbeck.backbone(out, strides=(8, 16)).channels == (128, 256)


def test_a_mobilenet_v2_alone(fixtures: tuple[Path, ModuleType, ModuleType], tmp_path: Path) -> None:
    folder, drawn, _ = fixtures
    shapes = json.loads((folder / "ssdlite_mobilenetv2_s0.json").read_text())["state_dict"]
    for prefix in ("backbone.", ""):
        body = {
            prefix + name.removeprefix("backbone."): torch.from_numpy(drawn.tensor(name, shape, 0))
            for name, shape in shapes.items()
            if name.startswith("backbone.")
        }
        out = limbeck.convert(saved(tmp_path / "v2.pth", body), tmp_path / f"v2{prefix}")
        model = limbeck.load(out).model
        assert torch.equal(
            model.state_dict()["blocks.1.0.conv_pw.weight"], body[f"{prefix}layer2.0.expand_conv.conv.weight"]
        )
