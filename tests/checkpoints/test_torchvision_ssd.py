"""torchvision's SSDs as limbeck's: the same raw outputs, priors and detections."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn
from torchvision.models.detection import ssdlite
from torchvision.models.detection.image_list import ImageList

import limbeck
from limbeck.cli import main
from limbeck.detection.batch import stacked
from limbeck.records import Frame

SOME = ["ssdlite320_mobilenet_v3_large", pytest.param("ssd300_vgg16", marks=pytest.mark.slow)]
SIDES = {"ssd300_vgg16": 300, "ssdlite320_mobilenet_v3_large": 320}


def drawn(name: str, classes: int = 91) -> Any:
    """torchvision's own model with random weights that make answers of all classes."""
    torch.manual_seed(0)
    model: Any = torchvision.models.get_model(name, weights=None, weights_backbone=None, num_classes=classes)
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and "ssdlite" in name:
            nn.init.kaiming_normal_(module.weight)
        if isinstance(module, nn.BatchNorm2d):
            statistics: Any = module
            statistics.running_mean.normal_(0, 0.1)
            statistics.running_var.uniform_(0.8, 1.2)
    with torch.no_grad():
        for values in model.head.regression_head.parameters():
            values *= 0.2  # boxes near their priors: those without extent limbeck leaves out
    return model.eval()


def raw_of(model: Any, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    features = list(model.backbone(images).values())
    found = model.head(features)
    size = (images.shape[2], images.shape[3])
    (priors, *_) = model.anchor_generator(ImageList(images, [size] * len(images)), features)
    return found["cls_logits"], found["bbox_regression"], priors


@pytest.mark.parametrize("name", SIDES)
def test_the_same_function(name: str, tmp_path: Path) -> None:
    theirs, side = drawn(name), SIDES[name]
    file = tmp_path / f"{name}.pth"
    torch.save(theirs.state_dict(), file)
    loaded = limbeck.load(limbeck.convert(file, tmp_path / "checkpoint"))
    assert loaded.card.detector == name
    assert (len(loaded.classes), loaded.classes[0], loaded.classes[89]) == (90, "person", "toothbrush")
    assert list(loaded.card.ids) == list(range(1, 91))
    assert len(set(loaded.classes)) == 90
    photo = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    pixels = torch.from_numpy(photo).permute(2, 0, 1)
    batch = loaded.preprocess([loaded.view(pixels)])
    normalised = theirs.transform([pixels / 255])[0].tensors
    with torch.inference_mode():
        logits, deltas, priors = raw_of(theirs, normalised)
        raw = loaded.model(normalised)
        for ours, other in (
            (torch.cat(raw.logits, 1), logits.roll(-1, 2)),
            (torch.cat(raw.deltas, 1), deltas),
        ):
            assert (ours - other).abs().max() <= 1e-4 * other.abs().max()
        assert (torch.cat(raw.priors) - priors).abs().max() < 1e-4
        (told,) = theirs([pixels / 255])
        found = loaded.find(batch).detections()[0]
    assert len(found) == len(told["scores"]) > 50
    hits = 0
    for box, score, label in zip(told["boxes"], told["scores"], told["labels"] - 1, strict=True):
        near = (found.labels == label) & ((found.boxes - box).abs().amax(1) < 0.05)
        hits += bool((near & ((found.scores - score).abs() < 1e-4)).any())
    assert hits >= 0.99 * len(told["scores"])


def test_boxes_are_in_the_photo_s_own_pixels(tmp_path: Path) -> None:
    theirs = drawn("ssdlite320_mobilenet_v3_large", classes=4)
    torch.save({"model": theirs.state_dict(), "epoch": 3}, tmp_path / "a.pth")
    loaded = limbeck.load(limbeck.convert(tmp_path / "a.pth", tmp_path / "out", classes=["x", "y", "z"]))
    assert loaded.classes == ("x", "y", "z")
    normalised = torch.randn(1, 3, 320, 320)
    with torch.inference_mode():
        raw = loaded.model(normalised)
        found = loaded.model.boxes(raw, stacked([Frame(320, 320, 160, 640)])).detections()[0]
        logits, deltas, priors = raw_of(theirs, normalised)
        heads = {"cls_logits": logits, "bbox_regression": deltas}
        (told,) = theirs.postprocess_detections(heads, [priors], [(320, 320)])
    scaled = told["boxes"] * torch.tensor([2, 0.5, 2, 0.5])
    near = (scaled[:, None] - found.boxes).abs().amax(2).amin(1) < 0.05
    assert near.float().mean() >= 0.99


def test_a_backbone_that_began_as_a_classifier_is_twice_as_wide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow = ssdlite.mobilenet_v3_large
    monkeypatch.setattr(ssdlite, "mobilenet_v3_large", lambda **args: narrow(**{**args, "reduced_tail": False}))
    theirs = drawn("ssdlite320_mobilenet_v3_large", classes=3)
    torch.save(theirs.state_dict(), tmp_path / "a.pth")
    loaded = limbeck.load(limbeck.convert(tmp_path / "a.pth", tmp_path / "out"))
    assert (loaded.card.detector, loaded.classes) == ("ssdlite320_mobilenet_v3_large_whole", ("0", "1"))
    images = torch.randn(1, 3, 320, 320)
    with torch.inference_mode():
        logits = raw_of(theirs, images)[0].roll(-1, 2)
        assert (torch.cat(loaded.model(images).logits, 1) - logits).abs().max() <= 1e-4 * logits.abs().max()


@pytest.mark.parametrize(
    "name", ["ssdlite320_mobilenet_v3_large", pytest.param("ssd300_vgg16", marks=pytest.mark.slow)]
)
def test_what_was_converted_predicts_and_is_evaluated(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(drawn(name, classes=3).state_dict(), tmp_path / "a.pth")
    main(["convert", str(tmp_path / "a.pth"), "--out", str(tmp_path / "out"), "--classes", "cat", "dog"])
    photos = tmp_path / "photos"
    photos.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    Image.fromarray(pixels).save(photos / "a.png")
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 80, "height": 60}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 7, "bbox": [5, 5, 30, 40], "area": 1200, "iscrowd": 0}],
        "categories": [{"id": 7, "name": "dog"}],
    }
    (photos / "labels.json").write_text(json.dumps(content))
    capsys.readouterr()
    main(["predict", str(tmp_path / "out"), str(photos / "a.png"), "--score", "0.01"])
    assert "dog" in capsys.readouterr().out
    main(["evaluate", str(tmp_path / "out"), "--data", str(photos)])
    assert "AP" in capsys.readouterr().out


def test_classes_without_names_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "lite.pth"
    torch.save(drawn("ssdlite320_mobilenet_v3_large", classes=4).state_dict(), file)
    line = ["convert", str(file), "--out", str(tmp_path / "out")]
    main(line)
    note = "note: nothing names the 3 classes, called 0 to 2 here: --classes NAME..."
    assert note in capsys.readouterr().out
    assert limbeck.load(tmp_path / "out").classes == ("0", "1", "2")
    main([*line, "--classes", "cat", "dog", "eel"])
    assert "nothing names" not in capsys.readouterr().out
    assert limbeck.load(tmp_path / "out").classes == ("cat", "dog", "eel")
