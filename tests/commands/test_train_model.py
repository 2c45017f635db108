"""What a detector's training begins with: backbones, their normalisation, their rates; every recipe's first steps."""

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import load_file

import limbeck
from limbeck.backbones.features import Features
from limbeck.checkpoints.card import Card, save
from limbeck.classification.models import Architecture, build
from limbeck.commands.train import starting_options
from limbeck.commands.train_job import policy_of
from limbeck.commands.train_model import is_distilled, rates_of, student_of
from limbeck.detection import policies
from limbeck.detection.policies import FlipResize, SSDView
from limbeck.detection.ssd_models import adopt_vgg16, ssd300
from limbeck.detection.train_options import Train
from limbeck.errors import CheckpointError, OptionError
from limbeck.recipes import TRAIN
from limbeck.records import Preprocess
from limbeck.scenes.dataset import draw_boxes_dataset
from limbeck.training.log import read_metrics
from limbeck.training.rates import RESIDUAL_DETECTION
from tests.commands.sure import sure_detector

LITE_AT_160 = ((10, 48), (5, 100), (3, 150), (2, 160), (1, 160), (1, 160))  # cells, the small square's side
MEAN, STD = (0.5, 0.4, 0.3), (0.3, 0.2, 0.1)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("detect") / "scenes"
    draw_boxes_dataset(folder, 8, seed=3, size=64, workers=1, shown=False)
    return folder


@pytest.fixture
def distilled(tmp_path: Path) -> Path:
    """A student that saw photos in a way of its own."""
    torch.manual_seed(5)
    architecture = Architecture.parse("resnet10t", classes=4)
    card = Card(asdict(architecture), list("abcd"), Preprocess((64, 64), MEAN, STD), provenance={"teacher": "resnet50"})
    save(tmp_path / "student", architecture.build(), card)
    return tmp_path / "student"


def test_a_distilled_backbone_keeps_its_weights_its_normalisation_and_learns_slowly(distilled: Path) -> None:
    options = Train(detector="ssdlite", backbone=str(distilled))
    start = student_of(options, 3)
    assert (start.look.mean, start.look.std) == (MEAN, STD)
    assert start.architecture is not None
    assert start.architecture["name"] == "resnet10t"
    torch.manual_seed(5)
    whole, features = build("resnet10t", classes=4), start.model.get_submodule("backbone")
    assert isinstance(features, Features)
    photos = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        expected = Features(whole, (16, 32)).eval()(photos)
        for one, other in zip(features.eval()(photos), expected, strict=True):
            assert torch.equal(one, other)
    assert is_distilled(options.backbone)
    rates = rates_of(start.model, options)
    found = {name.split(".")[2]: rate for name, rate in rates.items()}
    assert [found[part] for part in ("conv1", "layer1", "layer2", "layer3", "layer4")] == [*RESIDUAL_DETECTION]


def test_a_backbone_by_name_takes_arguments_and_a_checkpoint_none(distilled: Path) -> None:
    options = Train(detector="ssdlite", backbone="test_resnet", backbone_args='{"channels": [8, 16, 24, 40]}')
    assert student_of(options, 3).model.get_submodule("backbone").channels == (96, 40)
    with pytest.raises(OptionError, match="says itself how it is built"):
        student_of(Train(detector="ssdlite", backbone=str(distilled), backbone_args='{"stem_width": 8}'), 3)
    with pytest.raises(OptionError, match="--backbone-args is 'stem'"):
        student_of(Train(detector="ssdlite", backbone="test_resnet", backbone_args="stem"), 3)


def test_a_backbone_without_weights_is_seen_as_the_detector_has_it() -> None:
    start = student_of(Train(detector="ssdlite", backbone="resnet10t"), 3)
    assert start.look.mean == (0.485, 0.456, 0.406)
    assert rates_of(start.model, Train(detector="ssdlite", backbone="resnet10t")) == {}


def test_an_ssd_computes_what_the_vgg16_did_whose_weights_it_took() -> None:
    torch.manual_seed(0)
    whole: Any = torchvision.models.get_model("vgg16", weights=None)
    model = ssd300(3)
    assert adopt_vgg16(model, whole)
    photos = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        near, _ = model.backbone(photos)
        assert torch.allclose(near, whole.features[:23](photos), atol=1e-5)


def test_an_ssd_takes_no_other_network() -> None:
    with pytest.raises(OptionError, match="the weights of a vgg16, or a detector that takes any: ssdlite") as error:
        student_of(Train(detector="ssd300", backbone="resnet10t"), 3)
    assert "--detector ssdlite --backbone resnet10t" in str(error.value)


def test_weights_that_cannot_be_fetched_say_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(*_: Any, **__: Any) -> None:
        raise OSError("no route to the host")

    monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", nowhere)
    with pytest.raises(CheckpointError, match="--scratch"):
        student_of(starting_options("ssd300_coco"), 3)


def test_a_run_that_stopped_before_its_first_state_begins_as_it_was_told(
    distilled: Path, scenes: Path, tmp_path: Path
) -> None:
    given: dict[str, Any] = {"backbone": str(distilled), "layer_rates": (0.0,), "size": 64, "steps": 1, "batch": 2}
    given |= {"split": "", "val": "none", "workers": 0, "track": ("none",), "device": "cpu", "data": str(scenes)}
    given |= {"cache": str(tmp_path / "cache")}
    limbeck.train("ssdlite", out=tmp_path / "run", **given)
    before = load_file(tmp_path / "run" / "latest" / "model.safetensors")
    for name in ("last/state.safetensors", "metrics.jsonl"):
        (tmp_path / "run" / name).unlink()
    for name in ("student", "latest"):
        shutil.rmtree(tmp_path / "run" / name)
    limbeck.train(out=tmp_path / "run", resume=True)
    after = load_file(tmp_path / "run" / "latest" / "model.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_priors_fit_the_input_and_stay_over_their_cells() -> None:
    start = student_of(Train(detector="ssdlite", backbone="test_resnet", size=160), 3)
    raw = start.model.eval()(torch.zeros(1, 3, 160, 160))
    for level, (cells, side) in zip(raw.priors, LITE_AT_160, strict=True):
        middle = (level[:, :2] + level[:, 2:]) / 2
        assert float(middle.min()) == pytest.approx(160 / cells / 2)
        assert float(middle.max()) == pytest.approx(160 - 160 / cells / 2)
        assert float(level[0, 2] - level[0, 0]) == pytest.approx(side, abs=0.05)
    assert (
        student_of(Train(detector="ssdlite_mobilenetv2"), 3).model.levels[3].stride == 107
    )  # its own size: as published


def test_an_input_that_is_too_small_is_told() -> None:
    with pytest.raises(OptionError, match="128 pixels: nothing is left") as error:
        student_of(Train(detector="ssd300", size=128), 3)
    assert "--size 300" in str(error.value)


def test_weights_bring_their_look(distilled: Path, scenes: Path, tmp_path: Path) -> None:
    given: dict[str, Any] = {"split": "", "val": "none", "workers": 0, "track": ("none",), "device": "cpu"}
    given |= {"steps": 1, "batch": 2, "cache": str(tmp_path / "cache"), "data": str(scenes)}
    limbeck.train("ssdlite", backbone=distilled, size=64, out=tmp_path / "one", **given)
    found = limbeck.train("ssdlite", backbone="resnet10t", weights=tmp_path / "one", out=tmp_path / "two", **given)
    assert (found.card.look.size, found.card.look.mean, found.card.look.std) == ((64, 64), MEAN, STD)


def test_photos_that_keep_their_proportions_are_not_squeezed() -> None:
    gfl, ssd = (
        student_of(Train(detector="gfl", backbone="resnet10t"), 3),
        student_of(Train(detector="ssdlite", backbone="resnet10t"), 3),
    )
    assert isinstance(policy_of(Train(), gfl.look), FlipResize)
    assert isinstance(policy_of(Train(), ssd.look), SSDView)
    assert policy_of(Train(), ssd.look) == policies.ssd(ssd.look.size)


def _is_like_others(recipe: str) -> bool:
    """Larger than another of its kind, or of another size of batch."""
    return recipe == "ssd512_coco" or recipe.endswith("_b16") or any(f"_{each}_" in recipe for each in ("r34", "r50"))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if _is_like_others(name) else ()) for name in TRAIN]
)
def test_every_recipe_takes_two_steps(name: str, scenes: Path, tmp_path: Path) -> None:
    # what the published weights would add is a download
    dense = name.startswith(("gfl", "ld"))
    given: dict[str, Any] = {"pretrained": False, "backbone": "test_resnet" if dense or name == "ssdlite" else ""}
    if dense:
        given |= {"size": 64, "scratch": True}
    if name.startswith("ld"):
        given |= {"teacher": str(sure_detector(tmp_path / "teacher", scenes, 1.0))}
    few = {"steps": 2, "batch": 2, "workers": 0, "save_every": 2, "log_every": 1, "track": ("none",), "device": "cpu"}
    cache = str(tmp_path / "cache")
    limbeck.train(name, data=str(scenes), split="", val="none", out=tmp_path / "run", cache=cache, **few, **given)
    records = [record for record in read_metrics(tmp_path / "run") if "loss" in record]
    assert [record["step"] for record in records] == [1, 2]
    assert all(0 < record["loss"] < float("inf") for record in records)
