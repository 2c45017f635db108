"""Which network a file of Paddle's is, and every name of it in both directions."""

import json
import re
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from limbeck.checkpoints.paddle import network_of, recognise, respelt
from limbeck.checkpoints.pdparams import PaddleFile
from limbeck.checkpoints.renames import HEAD, TOP, blocks
from limbeck.checkpoints.renames.networks import NETWORKS, modules, spellings, spelt
from limbeck.classification.models import Architecture, outline
from limbeck.errors import CheckpointError, UnknownName

CLASSIFIERS = {
    "MobileNetV1": "mobilenet_v1",
    "MobileNetV2": "mobilenet_v2",
    "MobileNetV3_small_x1_0": "mobilenet_v3_small",
    "MobileNetV3_large_x1_0": "mobilenet_v3_large",
    "ResNet50_vd": "resnet50_vd",
    "ResNet101_vd": "resnet101_vd",
    "ResNet200_vd": "resnet200_vd",
    "HRNet_W18_C": "hrnet_w18_c",
    "SE_HRNet_W64_C": "se_hrnet_w64_c",
}
DETECTORS = {
    "faster_rcnn_r50_vd_fpn_ssld": ("resnet50_vd", {"neck": 16, "rpn_head": 6, "bbox_head": 8}),
    "mask_rcnn_r50_vd_fpn_ssld": ("resnet50_vd", {"neck": 16, "rpn_head": 6, "bbox_head": 8, "mask_head": 12}),
    "cascade_rcnn_r50_vd_fpn_ssld": ("resnet50_vd", {"neck": 16, "rpn_head": 6, "bbox_head": 24}),
    "cascade_mask_rcnn_r50_vd_fpn_ssld": (
        "resnet50_vd",
        {"neck": 16, "rpn_head": 6, "bbox_head": 24, "mask_head": 12},
    ),
    "retinanet_r50_fpn": ("timm/resnet50", {"neck": 16, "head": 20}),
    "yolov3_mobilenet_v1_ssld": ("mobilenet_v1", {"neck": 100, "yolo_head": 6}),
    "yolov3_mobilenet_v1_ssld_voc": ("mobilenet_v1", {"neck": 100, "yolo_head": 6}),
    "yolov3_mobilenet_v3_large_ssld": ("mobilenet_v3_large", {"neck": 100, "yolo_head": 6}),
    "yolov3_mobilenet_v3_large_ssld_voc": ("mobilenet_v3_large", {"neck": 100, "yolo_head": 6}),
}


_HR = "st4.stage_st4_2."


def file_of(shapes: Mapping[str, Any], **others: str) -> PaddleFile:
    """A file of these shapes that takes no memory."""
    return PaddleFile({name: np.broadcast_to(np.float32(0), shape) for name, shape in shapes.items()}, others)


@cache
def state_of(network: str, classes: int) -> dict[str, torch.Tensor]:
    state = outline(Architecture.parse(network, classes=classes)).state_dict()
    return {name: value for name, value in state.items() if "num_batches" not in name}


def shapes_of(shared: Path, model: str) -> dict[str, list[int]]:
    told = json.loads((shared / "fixtures" / "parity_paddle" / f"{model}.json").read_text())
    shapes: dict[str, list[int]] = told["state_dict"]
    return shapes


@pytest.mark.shared
@pytest.mark.parametrize("model", CLASSIFIERS)
def test_every_name_of_a_classifier_in_both_directions(shared: Path, model: str) -> None:
    shapes, network = shapes_of(shared, model), CLASSIFIERS[model]
    found = recognise(file_of(shapes), model)
    assert found.architecture == Architecture("limbeck", network, {"num_classes": 1000})
    assert (found.family, found.definition, found.dropped, found.drawn) == ("Paddle", "PaddleClas", {}, [])
    own = state_of(network, 1000)
    assert {name: value.shape for name, value in found.weights.items()} == {k: v.shape for k, v in own.items()}
    assert any("biased" in note for note in found.notes)
    back, left = respelt(network, "PaddleClas", found.weights)
    assert {name: list(values.shape) for name, values in back.items()} == shapes
    assert list(back) == list(shapes)
    assert not left
    names = spelt(network, "PaddleClas", own)
    assert len(set(names.values())) == len(names) == len(shapes)


@pytest.mark.shared
@pytest.mark.parametrize("model", DETECTORS)
def test_every_name_of_a_detector_s_backbone_in_both_directions(shared: Path, model: str) -> None:
    shapes, (network, rest) = shapes_of(shared, model), DETECTORS[model]
    found = recognise(file_of(shapes), model)
    assert found.architecture == Architecture.parse(network, classes=0)
    assert found.definition == "PaddleDetection"
    assert found.dropped == {part: f"{count} tensors, not converted" for part, count in rest.items()}
    assert bool(found.drawn) == ("v3" in network)
    assert {name.rpartition(".")[0] for name in found.drawn} == set(
        modules(network, "PaddleDetection", TOP).values() if found.drawn else ()
    )
    back, left = respelt(network, "PaddleDetection", found.weights)
    own = {name: shape for name, shape in shapes.items() if name.startswith("backbone.")}
    assert {f"backbone.{name}": list(values.shape) for name, values in back.items()} == own
    assert len(found.weights) + sum(rest.values()) == len(shapes)
    assert not left


@pytest.mark.parametrize("network", NETWORKS)
def test_every_spelling_has_one_name_for_each_tensor_and_one_tensor_for_each_name(network: str) -> None:
    for spelling in NETWORKS[network].tables:
        state = list(state_of(network, 1000))
        named = spellings(network, spelling, state)
        assert list(named) == state
        every = [old for olds in named.values() for old in olds]
        assert len(set(every)) == len(every)


@pytest.mark.parametrize("network", NETWORKS)
def test_every_spelling_counts_convolutions_in_their_order_and_keeps_norms_beside_them(network: str) -> None:
    for spelling in NETWORKS[network].tables:
        olds = {new: old for old, new in reversed(modules(network, spelling).items())}
        convs = {new: new.replace("conv", "bn") for new in olds if re.search(r"\bconv\d$", new)}
        for conv, norm in convs.items():
            assert norm not in olds or parent(olds[norm]) == parent(olds[conv])
        counted = sorted(convs)
        for conv, following in pairwise(counted):
            assert parent(conv) != parent(following) or olds[conv] < olds[following]


def parent(module: str) -> str:
    return module.rpartition(".")[0]


@pytest.mark.parametrize(
    ("spelling", "old", "new"),
    [
        ("PaddleDetection", _HR + "branches_func.bb_st4_2_branch_layer_3_1.conv2.conv", "branches.2.0.conv2"),
        ("PaddleDetection", _HR + "fuse_func.residual_st4_2_layer_3_4.conv", "fuse_layers.2.3.0"),
        ("PaddleDetection", _HR + "fuse_func.residual_st4_2_layer_3_1_2.norm", "fuse_layers.2.0.1.1"),
        ("PaddleClas 2.0", _HR + "fuse_func.residual_st4_2_layer_3_1_2._conv", "fuse_layers.2.0.1.0"),
    ],
)  # fmt: skip
def test_names_that_the_fixtures_do_not_hold(spelling: str, old: str, new: str) -> None:
    assert modules("hrnet_w18_c", spelling)[old] == f"stage4.1.{new}"


def test_deep_stages_ran_out_of_letters() -> None:
    letters = [place["letter"] for place in blocks(3, 12)["block"]]
    assert letters[:4] == ["a", "b", "c", "a"]
    assert letters[-2:] == ["b10", "b11"]
    assert modules("resnet200_vd", "PaddleDetection")["res4.res4b47.branch2a.conv"] == "layer3.47.conv1"


@pytest.mark.shared
def test_fully_connected_layers_are_turned_and_nothing_else(shared: Path) -> None:
    shapes = shapes_of(shared, "SE_HRNet_W64_C")
    tensors = {name: np.broadcast_to(np.float32(0), shape) for name, shape in shapes.items()}
    tensors["fc.weight"] = np.arange(2048 * 3, dtype=np.float32).reshape(2048, 3)
    tensors["fc.bias"] = np.zeros(3, np.float32)
    tensors["layer1.0.se.fc_squeeze.weight"] = np.arange(256 * 16, dtype=np.float32).reshape(256, 16)
    found = recognise(PaddleFile(tensors, {}), "a file")
    assert found.classes == 3
    assert torch.equal(found.weights["classifier.weight"], torch.arange(2048 * 3.0).reshape(2048, 3).T)
    assert torch.equal(found.weights["layer1.0.se.fc_squeeze.weight"], torch.arange(256 * 16.0).reshape(256, 16).T)


def under(prefix: str, shapes: Mapping[str, Any]) -> dict[str, Any]:
    return {prefix + name: shape for name, shape in shapes.items()}


@pytest.mark.shared
def test_names_below_a_prefix_and_a_pair_of_student_and_teacher(shared: Path) -> None:
    small, large = shapes_of(shared, "MobileNetV3_small_x1_0"), shapes_of(shared, "ResNet50_vd")
    found = recognise(file_of(under("model.backbone.", small)), "a file")
    assert found.architecture.name == "mobilenet_v3_small"
    assert set(recognise(file_of(under("a.", small) | under("ema.b.", small)), "two").dropped) == {"ema"}
    pair = file_of(under("Teacher.", large) | under("Student.", small))
    student = recognise(pair, "a pair")
    assert student.architecture.name == "mobilenet_v3_small"
    assert student.dropped == {"Teacher": "277 tensors, not converted: ResNet50_vd; for it, --architecture resnet50_vd"}
    assert recognise(pair, "a pair", "resnet50_vd").architecture.name == "resnet50_vd"
    assert recognise(pair, "a pair", "limbeck/resnet50_vd").dropped == {"Student": "214 tensors, not converted"}


@pytest.mark.shared
def test_a_detector_s_own_blocks_behind_its_backbone_are_named(shared: Path) -> None:
    shapes = shapes_of(shared, "yolov3_mobilenet_v1_ssld")
    extra = {"backbone.conv7_1._pointwise_conv._conv.weight": [256, 1024, 1, 1]}
    found = recognise(file_of(shapes | extra), "a detector")
    assert found.dropped["backbone.conv7_1"] == "1 tensor, not converted"
    inside = {"backbone.conv6._depthwise_conv._other.weight": [3]}
    with pytest.raises(CheckpointError, match="1 tensor unexpected"):
        recognise(file_of(shapes | inside), "a detector")


@pytest.mark.shared
def test_older_spellings_and_files_without_a_head(shared: Path) -> None:
    for network, spelling in (("hrnet_w18_c", "PaddleClas 2.0"), ("resnet101_vd", "PaddleClas 2.0")):
        architecture = Architecture.parse(network, classes=1000)
        model = state_of(network, 1000)
        names = spelt(network, spelling, model)
        shapes = {
            old: tuple(reversed(model[new].shape)) if model[new].ndim == 2 else model[new].shape
            for new, old in names.items()
        }
        found = recognise(file_of(shapes), "an old file")
        assert found.architecture == architecture
        assert found.definition == "PaddleClas"
    whole = shapes_of(shared, "MobileNetV1")
    heads = {f"{old}.{leaf}" for old in modules("mobilenet_v1", "PaddleClas", HEAD) for leaf in ("weight", "bias")}
    found = recognise(file_of({name: shape for name, shape in whole.items() if name not in heads}), "no head")
    assert found.classes == 0


@pytest.mark.shared
@pytest.mark.parametrize(
    ("model", "what"),
    [("ttfnet_darknet53", "holds DarkNet53, which limbeck has not"), ("yolov3_r50_vd_dcn", "deformable convolutions")],
)
def test_networks_that_limbeck_has_not_are_named(shared: Path, model: str, what: str) -> None:
    with pytest.raises(CheckpointError, match=what) as told:
        recognise(file_of(shapes_of(shared, model)), model)
    assert "ResNet50_vd (resnet50_vd)" in told.value.expected


@pytest.mark.shared
def test_the_wrong_family_is_told_with_the_nearest_and_what_differs(shared: Path) -> None:
    shapes = shapes_of(shared, "ResNet50_vd")
    lacking = {name: shape for name, shape in shapes.items() if "blocks.15." not in name}
    with pytest.raises(
        CheckpointError, match=r"nearest is ResNet50_vd as PaddleClas names it: 15 tensors missing \(bl"
    ):
        recognise(file_of(lacking), "a file")
    with pytest.raises(CheckpointError, match=r"2 tensors unexpected \(blocks\.16"):
        recognise(file_of(shapes | {"blocks.16.a": [1], "blocks.16.b": [1]}), "a file")
    narrow = {name: [max(n // 2, 1) for n in shape] for name, shape in shapes.items()}
    with pytest.raises(CheckpointError, match=r"of another shape \(stem\.0\.conv\.weight: \(16, 1, 1, 1\) instead of"):
        recognise(file_of(narrow), "a file")
    with pytest.raises(CheckpointError, match=r"no network that limbeck knows: 2 tensors, a\.weight, b\.weight"):
        recognise(file_of({"a.weight": [3], "b.weight": [4, 4]}), "a file")
    for other in ("resnet101_vd", "mobilenet_v1"):
        with pytest.raises(CheckpointError, match="its tensors are those of resnet50_vd") as told:
            recognise(file_of(shapes), "a file", other)
        assert told.value.expected == "--architecture resnet50_vd"
    with pytest.raises(CheckpointError, match="nearest is ResNet101_vd"):
        recognise(file_of(lacking), "a file", "resnet101_vd")
    with pytest.raises(UnknownName, match="unknown network"):
        recognise(file_of(shapes), "a file", "resnet51_vd")


def test_very_many_prefixes_are_not_all_compared() -> None:
    many = {f"{number}.conv.conv.weight": [1] for number in range(20_000)}
    with pytest.raises(CheckpointError, match="no network that limbeck knows"):
        recognise(file_of(many), "a file")


@pytest.mark.shared
def test_bfloat16_and_other_numbers_are_told(shared: Path) -> None:
    shapes = shapes_of(shared, "MobileNetV1")
    tensors = {name: np.broadcast_to(np.uint16(0), shape) for name, shape in shapes.items()}
    with pytest.raises(CheckpointError, match="uint16 numbers, as bfloat16 is saved"):
        recognise(PaddleFile(tensors, {}), "a file")
    halves = {name: np.broadcast_to(np.float16(1), shape) for name, shape in shapes.items()}
    assert recognise(PaddleFile(halves, {}), "a file").weights["bn1.bias"].dtype == torch.float32


def test_what_has_another_shape_does_not_go_to_paddle() -> None:
    state = {name: torch.empty(value.shape) for name, value in state_of("mobilenet_v1", 3).items()}
    assert respelt("mobilenet_v1", "PaddleClas", state)[0]["fc.weight"].shape == (1024, 3)
    with pytest.raises(CheckpointError, match=r"no plain MobileNetV1: 1 tensor of another shape \(conv_stem\.weight"):
        respelt("mobilenet_v1", "PaddleClas", state | {"conv_stem.weight": torch.empty(32, 1, 3, 3)})
    with pytest.raises(CheckpointError, match=r"1 tensor unexpected \(gate\.weight"):
        respelt("mobilenet_v1", "PaddleClas", state | {"gate.weight": torch.empty(1)})


def test_the_same_network_of_timm_has_the_reference_s_names_too() -> None:
    assert network_of(Architecture("timm", "resnet50d.ra2_in1k", {"num_classes": 5})) == "resnet50_vd"
    assert network_of(Architecture("timm", "mobilenetv1_100", {"act_layer": "relu"})) == "mobilenet_v1"
    assert network_of(Architecture("timm", "mobilenetv1_100", {})) is None
    assert network_of(Architecture("timm", "resnet50", {})) == "timm/resnet50"
    assert network_of(Architecture("torchvision", "resnet50", {})) is None
    assert network_of(Architecture("timm", "resnext101_32x16d.fb_wsl_ig1b_ft_in1k", {})) == "resnext101_32x16d"
