"""Which classifier of timm or torchvision a file of weights is."""

import json
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from torch import nn

from limbeck.checkpoints.conversion import Conversion
from limbeck.checkpoints.foreign import recognise
from limbeck.checkpoints.signatures import digest_of_names, digest_of_shapes, index, sketch
from limbeck.checkpoints.weights import Contents
from limbeck.classification.models import Architecture, outline
from limbeck.errors import CheckpointError, UnknownName

NOBODY = "0" * 64


def found(
    model: nn.Module | dict[str, torch.Tensor],
    file: str = "weights.pth",
    *,
    sha256: str = NOBODY,
    architecture: str = "",
) -> Conversion:
    weights = dict(model.state_dict()) if isinstance(model, nn.Module) else model
    return recognise(Contents(weights, {}), Path(file), sha256, architecture)


def named(conversion: Conversion) -> str:
    return conversion.architecture.full_name


@pytest.mark.parametrize(
    "name",
    [
        "timm/test_resnet",
        "timm/test_vit",
        "timm/test_convnext",
        "timm/efficientformer_l1",
        "timm/levit_128s",
        "timm/inception_v3",
        "torchvision/mobilenet_v3_small",
        "torchvision/shufflenet_v2_x0_5",
        "torchvision/googlenet",
        "torchvision/squeezenet1_1",
        "limbeck/mobilenet_v2",
    ],
)
@pytest.mark.parametrize("classes", [3, 1000])
def test_a_model_is_recognised_by_its_tensors_whatever_its_class_count(name: str, classes: int) -> None:
    with torch.device("meta"):
        conversion = found(outline(Architecture.parse(name, classes=classes)))
    assert named(conversion) == name
    assert conversion.classes == classes
    assert conversion.notes == []


def test_of_models_with_the_same_tensors_the_plainest_is_taken_and_the_others_are_said() -> None:
    model = timm.create_model("resnet50", num_classes=4)
    conversion = found(model)
    assert named(conversion) == "timm/resnet50"
    (note,) = conversion.notes
    assert "it is the plainest; timm/resnetaa50, timm/resnetblur50, torchvision/resnet50 have the same tensors" in note
    assert "--architecture timm/resnetaa50" in note
    assert conversion.preprocess.interpolation == "bicubic"
    chosen = found(model, architecture="torchvision/resnet50")
    assert named(chosen) == "torchvision/resnet50"
    assert chosen.preprocess.interpolation == "bilinear"
    assert chosen.notes == []


def test_a_published_file_is_known_by_its_digest_and_others_by_what_they_are_called(tmp_path: Path) -> None:
    model = timm.create_model("resnet50", num_classes=1000)
    assert named(found(model, sha256="0676ba61" + NOBODY[8:])) == "torchvision/resnet50.IMAGENET1K_V1"
    assert named(found(model, sha256="14fe96d1" + NOBODY[8:])) == "timm/resnet50.a1_in1k"
    assert "the digest" in found(model, sha256="0676ba61" + NOBODY[8:]).notes[0]
    assert named(found(model, "my-resnetblur50_v2.pth")) == "timm/resnetblur50"
    assert named(found(timm.create_model("resnet50d"), "ResNet50_vd.pth")) == "limbeck/resnet50_vd"
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "resnetaa50"}))
    assert named(found(model, str(tmp_path / "model.safetensors"))) == "timm/resnetaa50"


def test_prefixes_and_missing_heads() -> None:
    model = timm.create_model("resnet18", num_classes=4)
    assert named(found({f"backbone.{name}": value for name, value in model.state_dict().items()})) == "timm/resnet18"
    bare = found(timm.create_model("test_resnet", num_classes=0))
    assert named(bare) == "timm/test_resnet"
    assert bare.classes == 0
    no_counts = {name: value for name, value in model.state_dict().items() if "num_batches" not in name}
    assert named(found(no_counts)) == "timm/resnet18"


def test_what_is_no_known_model_is_told_with_the_nearest_and_what_differs() -> None:
    state = dict(timm.create_model("resnet18").state_dict())
    cut = {name: value for name, value in state.items() if "layer4.1" not in name}
    with pytest.raises(CheckpointError, match=r"nearest is timm/resnet18: 10 tensors missing \(layer4\.1\.conv1"):
        found(cut)
    wide = state | {"conv1.weight": torch.zeros(64, 4, 7, 7)}
    with pytest.raises(CheckpointError, match=r"1 tensor of another shape \(conv1\.weight: \(64, 4, 7, 7\) instead of"):
        found(wide)
    with pytest.raises(CheckpointError, match=r"no classifier that limbeck knows: 2 tensors, a, b, \.\.\.") as told:
        found({"a": torch.zeros(1), "b": torch.zeros(1)})
    assert "--architecture NAME" in told.value.hint
    with pytest.raises(CheckpointError, match=r"not those of timm/resnet34: .* missing .*; timm/resnet18 has") as told:
        found(state, architecture="resnet34")
    assert "--architecture timm/resnet18" in told.value.hint
    with pytest.raises(UnknownName):
        found(state, architecture="resnet18x")


def test_a_signature_knows_no_order_and_no_class_count() -> None:
    one = {"a": (2, 3), "head": (10,)}
    assert digest_of_names(one) == digest_of_names(reversed(one))
    assert digest_of_shapes(one, ["head"]) == digest_of_shapes({"head": (20,), "a": (2, 3)}, ["head"])
    assert digest_of_shapes(one, []) != digest_of_shapes({"a": (3, 2), "head": (10,)}, [])
    names = [f"layer{number}" for number in range(100)]
    alike = int((sketch(names) == sketch(names[:95])).sum())
    assert alike > 10 > int((sketch(names) == sketch([f"block{number}" for number in range(100)])).sum())


@pytest.mark.slow
def test_the_index_is_that_of_the_timm_and_torchvision_that_are_here() -> None:
    known = set(index().models)
    assert {f"timm/{name}" for name in timm.list_models()} <= known
    assert {f"torchvision/{name}" for name in torchvision.models.list_models(module=torchvision.models)} <= known
