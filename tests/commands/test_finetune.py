"""limbeck finetune: what goes in, what comes out, and that it goes on to the same bits."""

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

import limbeck
from limbeck import cli
from limbeck.checkpoints.card import Card, read_card, save
from limbeck.classification.models import build
from limbeck.commands import distill, finish
from limbeck.commands import report as reports
from limbeck.records import Preprocess
from limbeck.report.page import write_report
from limbeck.training import loop
from limbeck.training.log import read_metrics
from limbeck.training.state import read_progress
from tests.commands.tiny import CLASSES, draw, run, weights

QUICK: dict[str, Any] = {
    "batch": 16,
    "epochs": 2,
    "workers": 0,
    "log_every": 1,
    "track": ("none",),
    "precision": "float32",
    "device": "cpu",
    "crop_scale": (0.5, 1.0),
}


def tensors(checkpoint: Path) -> dict[str, Tensor]:
    return safetensors.torch.load_file(checkpoint / "model.safetensors")


@pytest.fixture(scope="module")
def distilled(tmp_path_factory: pytest.TempPathFactory, photos: Path, teacher: Path) -> Path:
    out = tmp_path_factory.mktemp("distilled") / "run"
    run(photos, teacher, out, epochs=1)
    return out


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of two of the four patterns, under names of one's own."""
    root = draw(tmp_path_factory.mktemp("own") / "photos", 20, seed=7, folders=True)
    (root / "bars").rename(root / "upright")
    (root / "disc").rename(root / "round")
    for name in ("plain", "rows"):
        for photo in (root / name).iterdir():
            photo.unlink()
        (root / name).rmdir()
    return root


def test_the_same_classes_keep_their_head(
    labelled: Path, distilled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    limbeck.finetune(distilled, images=labelled, out=tmp_path / "run", **QUICK, lr=0.0)
    said = " ".join(capsys.readouterr().out.split())
    assert f"the 4 classes are those that {distilled}/student knows: its head is kept" in said
    assert "4 classes of 24 photos each" in said
    assert "learning rates" not in said
    assert "88 photos to learn from, 8 held out, 0 skipped" in said
    before, after = tensors(distilled / "student"), tensors(tmp_path / "run" / "student")
    assert torch.equal(before["fc.weight"], after["fc.weight"])
    card = read_card(tmp_path / "run")
    assert tuple(card.classes) == CLASSES
    assert card.preprocess == read_card(distilled).preprocess
    assert card.provenance["started_from"] == str(distilled)


def test_classes_of_ones_own_get_a_new_head_and_the_references_rates(
    own: Path, distilled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded = limbeck.finetune(distilled, images=own, out=tmp_path / "run", **QUICK, lr=0.4)
    said = " ".join(capsys.readouterr().out.split())
    assert "the head is replaced: 4 classes before, 2 now" in said
    assert "learning rates: stem to layer1 x 0.1, layer2 to layer3 x 0.2, layer4 x 0.3, classifier x 1" in said
    assert loaded.classes == ("round", "upright")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["layer_rates"], config["resolved"]["layer_rates"]) == ([], [0.1, 0.1, 0.2, 0.2, 0.3])
    assert config["verb"] == "finetune"


def test_as_many_classes_called_otherwise_are_told(
    labelled: Path, distilled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = draw(tmp_path / "photos", 8, seed=3, folders=True)
    (photos / "rows").rename(photos / "lines")
    limbeck.finetune(distilled, images=photos, out=tmp_path / "run", **QUICK | {"epochs": 1})
    said = " ".join(capsys.readouterr().out.split())
    assert "the head is replaced: 4 classes before, 4 now, and called otherwise (rows before)" in said


def test_a_csv_says_the_classes(distilled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = draw(tmp_path / "photos", 10, seed=5)
    names = sorted(path.name for path in photos.iterdir())
    rows = [f"{name};{name.split('_')[0]}" for name in names[:-3]]
    (tmp_path / "labels.csv").write_text("\n".join(["Picture;Kind", *rows]))
    given = QUICK | {"labels": str(tmp_path / "labels.csv"), "label_columns": ("Picture", "Kind"), "epochs": 4}
    loaded = limbeck.finetune(distilled, images=photos, out=tmp_path / "run", **given)
    said = " ".join(capsys.readouterr().out.split())
    assert f"3 photos have no row in {tmp_path / 'labels.csv'}, and are left out" in said
    assert "'bars' has 10 photos, 'rows' 7" in said
    assert loaded.classes == CLASSES
    (tmp_path / "labels.csv").unlink()
    limbeck.finetune(out=tmp_path / "run", resume=True)  # what the file said is kept


def test_a_csv_says_the_splits(distilled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither the photos to measure on nor those to test with are learned from; a run that goes on knows them still."""
    photos = draw(tmp_path / "photos", 10, seed=5)
    names = sorted(path.name for path in photos.iterdir())
    splits = ["val" if place % 10 in (0, 1, 2) else "TEST" if place % 10 == 3 else "" for place in range(len(names))]
    rows = [f"{name},{name.split('_')[0]},{split}" for name, split in zip(names, splits, strict=True)]
    (tmp_path / "labels.csv").write_text("\n".join(["file,class,Split", *rows]))
    given = QUICK | {"labels": str(tmp_path / "labels.csv"), "epochs": 1}
    limbeck.finetune(distilled, images=photos, out=tmp_path / "run", **given)
    said = " ".join(capsys.readouterr().out.split())
    assert f"4 photos of the split 'test' in {tmp_path / 'labels.csv'} are left out" in said
    assert "12 photos of the split 'val' to measure on" in said
    kept = (tmp_path / "run" / "last" / "labels.csv").read_text().splitlines()
    assert kept[0] == "file,class,split"
    assert sorted(line.rpartition(",")[2] for line in kept[1:]) == ["train"] * 24 + ["val"] * 12
    (tmp_path / "labels.csv").unlink()
    limbeck.finetune(out=tmp_path / "run", resume=True)
    assert "12 photos of the split 'val' to measure on" in " ".join(capsys.readouterr().out.split())


def test_photos_that_are_kept_apart_stay_so_where_others_are_measured_on(
    distilled: Path, labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = draw(tmp_path / "photos", 5, seed=5)
    names = sorted(path.name for path in photos.iterdir())
    rows = [f"{name},{name.split('_')[0]},{'val' if place % 5 == 0 else 'train'}" for place, name in enumerate(names)]
    (tmp_path / "labels.csv").write_text("\n".join(["file,class,set", *rows]))
    given = QUICK | {"labels": str(tmp_path / "labels.csv"), "epochs": 1}
    limbeck.finetune(distilled, images=photos, out=tmp_path / "run", eval=str(labelled), **given)
    assert "4 photos of the split 'val' left out" in capsys.readouterr().out
    limbeck.finetune(distilled, images=photos, out=tmp_path / "none", val=0.0, **given)
    assert "4 photos of the split 'val' left out" in capsys.readouterr().out
    numbered = [row.rpartition(",")[0] + f",{place % 2}" for place, row in enumerate(rows)]
    (tmp_path / "labels.csv").write_text("\n".join(["file,class,set", *numbered]))
    limbeck.finetune(distilled, images=photos, out=tmp_path / "numbered", **given)
    assert "of the split" not in capsys.readouterr().out, "a column of another meaning"


@pytest.mark.parametrize("size", [48, 40])
@pytest.mark.parametrize("tune", ["auto", "norms"])
def test_resfix_trains_the_classifier_alone(
    tune: str, size: int, labelled: Path, distilled: Path, tmp_path: Path
) -> None:
    given = QUICK | {"fix_size": size, "tune": tune, "lr": 0.4}
    limbeck.finetune(distilled, images=labelled, out=tmp_path / "run", **given)
    before, after = tensors(distilled / "student"), tensors(tmp_path / "run" / "latest")
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert {"fc.weight", "fc.bias"} <= moved
    if tune == "auto":
        assert moved == {"fc.weight", "fc.bias"}
    else:
        assert "bn1.running_mean" in moved
        assert all(before[name].ndim < 2 for name in moved - {"fc.weight"})
    look = read_card(tmp_path / "run").preprocess
    assert (look.size, look.crop) == ((size, size), 1.0)
    assert look.interpolation == read_card(distilled).preprocess.interpolation


def test_frozen_parts_by_layer_rates(labelled: Path, distilled: Path, tmp_path: Path) -> None:
    rates = (0.0, 0.0, 0.0, 0.5, 1.0)
    limbeck.finetune(distilled, images=labelled, out=tmp_path / "run", **QUICK, lr=0.4, layer_rates=rates)
    before, after = tensors(distilled / "student"), tensors(tmp_path / "run" / "latest")
    still = {name.split(".")[0] for name in before if torch.equal(before[name], after[name])}
    assert still == {"conv1", "bn1", "layer1", "layer2"}


class Stop(Exception):
    pass


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"mixup": 0.3, "label_smoothing": 0.1, "ema": 0.9, "layer_rates": (0.1, 0.5)},
        {"fix_size": 40, "accumulate": 2},
    ],
    ids=str,
)
def test_a_run_goes_on_to_the_same_bits(
    change: dict[str, Any], labelled: Path, distilled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = QUICK | {"epochs": 3, "lr": 0.4, "save_every": 4, "evaluate_every": 1} | change
    limbeck.finetune(distilled, images=labelled, out=tmp_path / "whole", **given)
    save = loop.save_state

    def cut(run: Path, *state: Any) -> None:
        save(run, *state)
        if read_progress(run).done >= 8:
            raise Stop

    with monkeypatch.context() as patched:
        patched.setattr(loop, "save_state", cut)
        with pytest.raises(Stop):
            limbeck.finetune(distilled, images=labelled, out=tmp_path / "cut", **given)
    assert read_progress(tmp_path / "cut").done == 8
    cli.main(["finetune", "--out", str(tmp_path / "cut"), "--resume", "--workers", "0"])
    for folder in ("student", "latest"):
        one, other = (tmp_path / name / folder / "model.safetensors" for name in ("whole", "cut"))
        assert one.read_bytes() == other.read_bytes()
    numbers = [[each["top1"] for each in read_metrics(tmp_path / name) if "top1" in each] for name in ("whole", "cut")]
    assert numbers[0] == numbers[1]
    assert len(numbers[0]) == 3


def test_the_best_is_kept_beside_the_last(
    labelled: Path, distilled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The numbers of the second of four evaluations are made the best: what is shipped is that model."""
    told = iter([0.5, 0.9, 0.7, 0.6])
    kept: dict[str, bytes] = {}

    def numbers(seen: Any, ranks: Any) -> dict[str, float]:
        return {"top1": next(told), "top5": 1.0}

    ship = distill.ship

    def noted(job: Any, model: Any, done: int, measured: Any) -> None:
        ship(job, model, done, measured)
        kept[str(done)] = (job.run / "latest" / "model.safetensors").read_bytes()

    monkeypatch.setattr(distill.answers, "numbers", numbers)
    monkeypatch.setattr(distill, "ship", noted)
    given = QUICK | {"epochs": 4, "lr": 0.4, "evaluate_every": 1}
    limbeck.finetune(distilled, images=labelled, out=tmp_path / "run", **given)
    best, last = read_card(tmp_path / "run" / "student"), read_card(tmp_path / "run" / "latest")
    assert (best.provenance["steps"], last.provenance["steps"]) == (12, 24)
    assert (best.metrics["top1"], last.metrics["top1"]) == (0.9, 0.6)
    assert best.metrics["images_per_second"] > 0
    assert weights(tmp_path / "run") == kept["12"] != kept["24"]


def test_of_equals_the_later_one_is_the_best() -> None:
    history = [{"step": 1, "top1": 0.5}, {"step": 2, "top1": 0.7}, {"step": 4, "top1": 0.9}]
    assert [finish.is_best(history, 3, top1) for top1 in (0.6, 0.7, 0.8)] == [False, True, True]


def test_nothing_is_measured_without_a_share(labelled: Path, distilled: Path, tmp_path: Path) -> None:
    limbeck.finetune(distilled, images=labelled, out=tmp_path / "run", **QUICK | {"epochs": 1}, val=0.0)
    assert not (tmp_path / "run" / "latest").exists()
    assert "top1" not in read_card(tmp_path / "run").metrics


def test_the_whole_chain(
    labelled: Path, photos: Path, distilled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few labels, a model that learns from them, and a small one that it teaches on all the rest."""
    monkeypatch.setattr(reports, "write_report", write_report)
    few = draw(tmp_path / "few", 16, seed=11, folders=True)
    given = QUICK | {"epochs": 12, "lr": 1.6, "eval": str(labelled)}
    limbeck.finetune("test_resnet", weights="none", size=32, images=few, out=tmp_path / "big", **given)
    assert limbeck.evaluate(tmp_path / "big", labelled, workers=0)["top1"] > 0.6
    page = (tmp_path / "big" / "report.html").read_text()
    assert {"What it takes for what", "Class by class", "The worst mistakes"} <= set(page.replace("<", ">").split(">"))
    assert "--teacher" in page
    run(photos, tmp_path / "big", tmp_path / "small", epochs=8)
    right = limbeck.evaluate(tmp_path / "small", labelled, workers=0)
    assert right["top1"] > 0.6
    assert limbeck.load(tmp_path / "small").classes == CLASSES
    again = limbeck.finetune(tmp_path / "small", images=few, out=tmp_path / "two", **QUICK, lr=0.01)
    assert again.classes == CLASSES


def test_a_converted_backbone_without_a_head_gets_one(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backbone = build("test_resnet", classes=0)
    provenance = {"converted_from": "ResNet_vd_ssld_pretrained.pdparams"}
    architecture = {"builder": "timm", "name": "test_resnet", "args": {"num_classes": 0}}
    save(tmp_path / "backbone", backbone, Card(architecture, (), Preprocess((32, 32)), provenance))
    loaded = limbeck.finetune(tmp_path / "backbone", images=own, out=tmp_path / "run", **QUICK, lr=0.0)
    said = " ".join(capsys.readouterr().out.split())
    assert "the head is new: 2 classes" in said
    assert "learning rates: stem to layer1 x 0.1" in said
    assert loaded.classes == ("round", "upright")
    before, after = backbone.state_dict(), loaded.model.state_dict()
    assert torch.equal(before["layer3.0.conv1.weight"], after["layer3.0.conv1.weight"])
    assert set(after) - set(before) == {"fc.weight", "fc.bias"}
