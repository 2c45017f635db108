"""A network's maps at chosen strides: of every name, of timm's, without what lies behind them."""

from typing import Any

import pytest
import timm
import torch
from timm.models.hrnet import HighResolutionNet
from torch import Tensor, nn

from limbeck.backbones import BACKBONES
from limbeck.backbones.features import Features
from limbeck.classification.models import Architecture, build, outline
from limbeck.errors import OptionError

CHANNELS = {
    "mobilenet_v1": (64, 128, 256, 512, 1024),
    "mobilenet_v2": (16, 24, 32, 96, 320),
    "mobilenet_v3_small": (16, 16, 24, 48, 96),
    "mobilenet_v3_large": (16, 24, 40, 112, 160),
    "hrnet_w18_c": (64, 128, 256, 512, 1024),
    "se_hrnet_w64_c": (64, 128, 256, 512, 1024),
} | {name: (64, 256, 512, 1024, 2048) for name in ("resnet50_vd", "resnet101_vd", "resnet200_vd", "resnext101_32x16d")}
OLD = pytest.mark.skipif(
    not hasattr(HighResolutionNet, "forward_intermediates"), reason="the HRNet of this timm does not tell its maps"
)
EVERY = [pytest.param(name, marks=OLD) if "hrnet" in name else name for name in BACKBONES]
HRNET = pytest.param("hrnet_w18_c", marks=OLD)
QUICK = ("mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large", "resnet50_vd")


def maps(features: Features, images: Tensor) -> list[Tensor]:
    with torch.no_grad():
        found: list[Tensor] = features.eval()(images)
    return found


@pytest.mark.parametrize("name", EVERY)
def test_every_name_has_five_strides(name: str) -> None:
    whole = outline(Architecture.parse(name))
    features = Features(whole)
    assert features.strides == (2, 4, 8, 16, 32)
    assert features.channels == CHANNELS[name]
    found = maps(features, torch.empty(2, 3, 64, 96, device="meta"))
    assert [tuple(each.shape) for each in found] == [
        (2, channels, 64 // stride, 96 // stride)
        for channels, stride in zip(features.channels, features.strides, strict=True)
    ]
    assert whole.num_classes == 1000


@pytest.mark.parametrize(
    ("name", "strides"),
    [
        ("mobilenet_v1", (4, 8, 16, 32)),
        ("mobilenet_v2", (32, 8)),
        ("mobilenet_v3_small", (2,)),
        ("mobilenet_v3_large", (8, 16, 32)),
        ("resnet50_vd", (2, 16)),
        pytest.param("hrnet_w18_c", (8, 16), marks=OLD),
    ],
)
def test_any_part_is_the_part_of_the_whole(name: str, strides: tuple[int, ...]) -> None:
    whole = outline(Architecture.parse(name))
    part = Features(whole, strides)
    assert part.strides == tuple(sorted(strides))
    assert part.channels == tuple(CHANNELS[name][(2, 4, 8, 16, 32).index(each)] for each in part.strides)
    shapes = [tuple(each.shape[1:]) for each in maps(part, torch.empty(1, 3, 64, 64, device="meta"))]
    assert shapes == [(c, 64 // s, 64 // s) for c, s in zip(part.channels, part.strides, strict=True)]


@pytest.mark.parametrize("name", QUICK)
def test_the_maps_are_those_inside_the_classifier(name: str) -> None:
    torch.manual_seed(0)
    model = build(name, classes=7).eval()
    modules = {info["module"]: info["reduction"] for info in model.feature_info}  # type: ignore[union-attr]
    seen: dict[int, Tensor] = {}
    for module, stride in modules.items():
        keep = lambda _, __, out, stride=stride: seen.update({stride: out.clone()})  # noqa: E731
        model.get_submodule(module).register_forward_hook(keep)
    images = torch.randn(1, 3, 75, 66)  # a size that no stride divides
    with torch.no_grad():
        model(images)
    hooks = [module for module in model.modules() if module._forward_hooks]
    for module in hooks:
        module._forward_hooks.clear()
    features = Features(model, (8, 16, 32))
    found = maps(features, images)
    assert [tuple(each.shape[2:]) for each in found] == [(10, 9), (5, 5), (3, 3)]
    assert all(torch.equal(each, seen[stride]) for each, stride in zip(found, features.strides, strict=True))


@pytest.mark.parametrize("name", ["mobilenet_v3_large", "resnet50_vd", HRNET, "convnext_atto"])
def test_what_lies_behind_is_gone_and_the_classifier_stays_whole(name: str) -> None:
    model = outline(Architecture.parse(name))
    before = set(model.state_dict())
    kept = {key.removeprefix("model.") for key in Features(model, (4, 8)).state_dict()}
    assert kept < before
    behind = ("fc.", "classifier.", "conv_head.", "head.fc.", "layer3.", "blocks.4.", "final_layer.", "stages.3.")
    assert not [key for key in kept if key.startswith(behind)]
    assert set(model.state_dict()) == before


@pytest.mark.parametrize(("name", "strides"), [("mobilenet_v3_small", (4, 8)), ("resnet50_vd", (8, 16))])
def test_a_gradient_reaches_all_that_is_kept(name: str, strides: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    features = Features(build(name), strides).train()
    sum(each.square().mean() for each in features(torch.randn(2, 3, 64, 64))).backward()
    assert [key for key, value in features.named_parameters() if value.grad is None] == []


@pytest.mark.parametrize(
    ("name", "strides", "indices"),
    [
        ("resnet18", (8, 32), (2, 4)),
        ("efficientnet_b0", (4, 8, 16), (1, 2, 3)),
        ("convnext_atto", (4, 16), (0, 2)),
        ("regnety_004", (8, 16, 32), (2, 3, 4)),
        ("test_vit", (16,), (-1,)),
    ],
)
def test_timm_s_networks_give_what_timm_takes_of_them(
    name: str, strides: tuple[int, ...], indices: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    model = build(name)
    theirs: Any = timm.create_model(name, features_only=True, out_indices=indices).eval()
    images = torch.randn(1, 3, 160, 160)
    theirs.load_state_dict(renamed(model.state_dict(), theirs))
    with torch.no_grad():
        expected = theirs(images)
    features = Features(model, strides)
    assert list(features.channels) == theirs.feature_info.channels()
    found = maps(features, images)
    assert len(found) == len(expected) == len(strides)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(found, expected, strict=True))


def renamed(weights: dict[str, Tensor], theirs: nn.Module) -> dict[str, Tensor]:
    """By the names of timm's own extractors: with `model.` before them, or with their first dot as an underscore."""
    own = set(theirs.state_dict())
    forms = {key: {key, f"model.{key}", key.replace(".", "_", 1)} & own for key in weights}
    return {form.pop(): weights[key] for key, form in forms.items() if form}


def test_a_vit_gives_its_last_block() -> None:
    features = Features(build("test_vit", args={"img_size": 64}))
    assert (features.strides, features.channels) == ((16,), (64,))
    assert [tuple(each.shape) for each in maps(features, torch.zeros(2, 3, 64, 64))] == [(2, 64, 4, 4)]


@pytest.mark.parametrize(
    ("name", "strides", "there"),
    [
        ("resnet50_vd", (8, 64), "2, 4, 8, 16, 32"),
        ("test_vit", (8, 16), "one or more of 16"),
        ("convnext_atto", (2,), "4, 8, 16, 32"),
        ("mobilenet_v1", (), "2, 4, 8, 16, 32"),
    ],
)
def test_a_stride_that_there_is_not_names_those_that_there_are(name: str, strides: tuple[int, ...], there: str) -> None:
    with pytest.raises(OptionError, match=there) as error:
        Features(outline(Architecture.parse(name)), strides)
    assert "strides=(" in error.value.hint


def test_a_network_that_does_not_tell_its_maps_is_told() -> None:
    with pytest.raises(OptionError, match="a SqueezeNet does not tell its maps"):
        Features(build("torchvision/squeezenet1_1"))


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "test_vit"])
def test_it_exports(name: str) -> None:
    torch.manual_seed(0)
    features = Features(build(name, args={"img_size": 64} if "vit" in name else None)).eval()
    images = torch.randn(1, 3, 64, 64)
    program = torch.export.export(features, (images,))
    with torch.no_grad():
        assert all(torch.equal(a, b) for a, b in zip(program.module()(images), features(images), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_every_name_exports(name: str) -> None:
    features = Features(outline(Architecture.parse(name)), (8, 16, 32)).eval()
    program = torch.export.export(features, (torch.empty(1, 3, 64, 64, device="meta"),))
    assert len(program.module()(torch.empty(1, 3, 64, 64, device="meta"))) == 3
