"""Classifiers by name, their sizes, and what their makers say of them."""

import huggingface_hub.constants
import pytest
import torch
import torchvision
from torch import nn

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
from limbeck.errors import CheckpointError, OptionError, UnknownName


@pytest.mark.parametrize("name", ["test_resnet", "timm/test_vit", "torchvision/squeezenet1_1", "test_resnet.r160_in1k"])
def test_a_named_model_answers_as_many_classes_as_asked(name: str) -> None:
    model = build(name, classes=7).eval()
    size = preprocess_of(model).size
    assert model(torch.zeros(1, 3, *size)).shape == (1, 7)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("resnt18", "resnet18"),
        ("timm/mobilenet_v3_large_100", "mobilenetv3_large_100"),
        ("torchvision/resnet_50", "torchvision/resnet50"),
        ("mobilenet_v2x", "mobilenet_v2"),
        ("limbeck/resnet50", "resnet50_vd"),
        ("mnasnet1_0", "torchvision/mnasnet1_0"),
        ("resnet50d.a1_in2k", "resnet50d.a1_in1k"),
        ("torchvision/resnet50.IMAGENET1K_V3", "IMAGENET1K_V2"),
    ],
)
def test_an_unknown_name_lists_the_nearest(name: str, near: str) -> None:
    with pytest.raises(UnknownName) as error:
        Architecture.parse(name)
    assert near in str(error.value)


def test_arguments_that_no_builder_takes_are_told() -> None:
    with pytest.raises(OptionError, match="no_such_argument"):
        build("test_resnet", args={"no_such_argument": 1})


@pytest.mark.parametrize("name", ["test_resnet", "hf-hub:someone/something"])
def test_weights_that_cannot_be_fetched_say_how_to_give_them(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match="--teacher-weights FILE"):
        Architecture.parse(name).build(pretrained=True)


def test_a_model_without_published_weights_is_told_apart() -> None:
    check_pretrained(Architecture.parse("resnet18"))
    with pytest.raises(CheckpointError, match="no pretrained weights are published"):
        check_pretrained(Architecture.parse("botnet50ts_256"))


def test_preprocessing_is_what_the_makers_say() -> None:
    vit = preprocess_of(build("vit_tiny_patch16_224"))
    assert (vit.size, vit.mean, vit.std, vit.interpolation, vit.crop) == (
        (224, 224), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "bicubic", 0.9,
    )  # fmt: skip
    resnet = preprocess_of(published(Architecture.parse("torchvision/resnet50")))
    assert (resnet.size, resnet.resize_short(), resnet.interpolation) == ((224, 224), 232, "bilinear")
    assert preprocess_of(nn.Linear(1, 1)).size == (224, 224)


def test_a_model_that_fixes_its_input_is_built_for_the_size() -> None:
    args = size_args("test_vit", 96)
    assert preprocess_of(build("test_vit", args=args)).size == (96, 96)
    assert size_args("torchvision/vit_b_32", 96) == {"image_size": 96}
    assert size_args("test_efficientnet", 96) == {}


@pytest.mark.parametrize(
    ("name", "parameters", "macs"),
    # parameters and multiply-accumulates (G) as timm's published results have them
    [("resnet18", 11.69, 1.82), ("mobilenetv3_small_100", 2.54, 0.06), ("vit_tiny_patch16_224", 5.72, 1.26)],
)
def test_sizes_are_those_that_are_published(name: str, parameters: float, macs: float) -> None:
    model = build(name).train()
    size = count(model, (224, 224))
    assert size.parameters / 1e6 == pytest.approx(parameters, abs=0.01)
    assert size.macs is not None
    assert size.macs / 1e9 == pytest.approx(macs, abs=0.01)
    assert size.megabytes == pytest.approx(parameters * 4, rel=0.02)
    assert model.training


def test_a_model_that_needs_values_has_no_count() -> None:
    class Odd(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images * images.max().item()

    assert count(Odd(), (8, 8)).macs is None


def test_class_names_are_known_for_imagenet_and_for_labels_in_the_card() -> None:
    names = class_names(build("test_resnet"))
    assert names is not None
    assert (len(names), names[217]) == (1000, "English springer, English springer spaniel")
    assert class_names(build("torchvision/squeezenet1_1")) == names
    assert class_names(build("test_resnet", classes=10)) is None
    labelled = build("test_resnet", classes=2)
    labelled.pretrained_cfg["label_names"] = ["cat", "dog"]  # type: ignore[index,union-attr]
    assert class_names(labelled) == ("cat", "dog")


@pytest.mark.parametrize("name", ["coatnet_0_224", "resmlp_12_224.fb_dino"])
def test_a_thousand_classes_are_not_imagenet_s_unless_the_makers_say_so(name: str) -> None:
    model = outline(Architecture.parse(name))
    assert model.num_classes == 1000
    assert class_names(model) is None
    plain = nn.Linear(8, 1000)
    plain.num_classes = 1000  # type: ignore[assignment]
    assert class_names(plain) is None
    assert class_names(build("test_resnet", classes=21841)) is None


def test_the_licence_comes_from_the_card() -> None:
    assert licence_of(build("convnextv2_atto")) == "cc-by-nc-4.0"
    assert licence_of(nn.Linear(1, 1)) is None


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "torchvision/squeezenet1_1", "levit_128s"])
def test_weights_tell_their_class_count(name: str) -> None:
    architecture = Architecture.parse(name, classes=13)
    assert classes_in(Architecture.parse(name), architecture.build().state_dict()) == 13
    assert classes_in(Architecture.parse(name), {"other": torch.zeros(3)}) is None


def test_torchvision_weights_take_a_new_head(monkeypatch: pytest.MonkeyPatch) -> None:
    source = torchvision.models.squeezenet1_1(weights=None)
    real = torchvision.models.get_model
    monkeypatch.setattr(  # stands for the download
        torchvision.models, "get_model", lambda name, weights=None, **args: source if weights else real(name, **args)
    )
    model = build("torchvision/squeezenet1_1", classes=5, pretrained=True)
    own, theirs = model.state_dict(), source.state_dict()
    assert own["classifier.1.weight"].shape[0] == 5
    assert torch.equal(own["features.0.weight"], theirs["features.0.weight"])
