"""limbeck train, evaluate and predict with a detector: through the command line on small drawn scenes."""

import csv
import gc
import json
import re
import shutil
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import limbeck
from limbeck.checkpoints.pixels import pixels_of
from limbeck.cli import main
from limbeck.commands import predict_detector
from limbeck.commands import train as command
from limbeck.commands.export_detector import compared
from limbeck.commands.train_job import plan_of
from limbeck.deploy.onnx_detector import answers, write_detector
from limbeck.errors import CheckpointError, LimbeckError, OptionError, UnknownName, UnsafeFile
from limbeck.recipes import TRAIN
from limbeck.training import loop
from limbeck.training.log import read_metrics
from limbeck.training.state import read_progress, save_state
from tests.commands.told import parts, told


def options(scenes: Path, out: Path, **changes: Any) -> dict[str, Any]:
    """Three epochs of three steps."""
    shared: dict[str, Any] = {
        "recipe": "ssdlite",
        "data": str(scenes),
        "val": str(scenes),
        "split": "",
        "out": str(out),
        "detector": "toy",
        "backbone": "",
        "epochs": 3,
        "batch": 8,
        "workers": 0,
        "log_every": 1,
        "save_every": 1,
        "track": ("none",),
        "device": "cpu",
        "cache": str(scenes.parent / "cache"),
    }
    return shared | changes


def words(given: dict[str, Any]) -> list[str]:
    line = ["train", given["recipe"]]
    for name, value in given.items():
        if name != "recipe":
            line += [f"--{name.replace('_', '-')}", *([*value] if isinstance(value, tuple) else [str(value)])]
    return line


@pytest.fixture(scope="module")
def whole(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run from the command line, of SSDLite on a small backbone."""
    out = tmp_path_factory.mktemp("trained") / "run"
    main(words(options(scenes, out, detector="ssdlite", backbone="test_resnet", size=64, epochs=2)))
    return out


def weights(out: Path, folder: str = "latest") -> dict[str, torch.Tensor]:
    return load_file(out / folder / "model.safetensors")


def same(one: Path, other: Path) -> bool:
    first, second = weights(one), weights(other)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_what_a_run_leaves(whole: Path) -> None:
    card = json.loads((whole / "student" / "card.json").read_text())
    assert (card["task"], card["architecture"]["name"]) == ("detection", "ssdlite")
    assert card["architecture"]["backbone"]["name"] == "test_resnet"
    assert card["look"]["size"] == [64, 64]
    assert len(card["classes"]) == len(card["ids"]) == 12
    records = read_metrics(whole)
    assert [record["step"] for record in records if "AP" in record] == [3, 6]
    assert {"loss", "classification", "boxes", "lr", "images_per_second"} <= set(records[0])
    rows = list(csv.DictReader((whole / "classes.csv").read_text().splitlines()))
    assert [row["name"] for row in rows] == card["classes"]
    assert {"AP", "AP50", "APs", "AR100"} <= set(card["metrics"])


def test_the_page_of_a_run(whole: Path) -> None:
    page = (whole / "report.html").read_text()
    card = json.loads((whole / "student" / "card.json").read_text())
    assert all(f"<bdi>{name}</bdi>" in page for name in card["classes"])
    for title in (
        "Class by class",
        "Losses of a detector",
        "Precision over recall",
        "The worst",
        "The best",
        "At random",
    ):
        assert title in page
    assert page.count("data:image/jpeg;base64,") == 18
    assert "<script" not in page
    assert "://" not in page  # nothing to fetch


def test_the_file_for_onnxruntime_finds_the_same(whole: Path, scenes: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    loaded = limbeck.load(whole)
    photo = sorted((scenes / "images").glob("*.jpg"))[0]
    batch = loaded.preprocess([loaded.view(pixels_of(photo))])
    pixels = batch.normalised(loaded.look.mean, loaded.look.std).contiguous()
    write_detector(loaded.model, pixels, batch.frames, tmp_path / "found.onnx", {})
    (found,) = answers(tmp_path / "found.onnx", [(pixels, batch.frames)])
    total, same, apart = compared(loaded.find(batch), found)  # one that has learned little gives many equal scores
    assert same >= 0.95 * total > 0
    assert apart < 1e-5
    with pytest.raises(OptionError, match="no photos are named"):
        limbeck.export(whole, tmp_path / "other.onnx")


def test_the_model_from_python(whole: Path, scenes: Path) -> None:
    loaded = limbeck.load(whole)
    photo = sorted((scenes / "images").glob("*.jpg"))[0]
    with Image.open(photo) as opened:
        pixels = np.asarray(opened)
    by_path, by_pixels = loaded.predict([photo, pixels], score=0.0)
    assert torch.equal(by_path.boxes, by_pixels.boxes)
    assert len(by_path) == len(by_path.names) == len(by_path.labels) > 0
    assert set(by_path.names) <= set(loaded.classes)
    assert bool((by_path.boxes >= 0).all())
    assert bool((by_path.boxes <= 64.001).all())
    batch = loaded.preprocess([loaded.view(torch.zeros(3, 48, 80, dtype=torch.uint8))])
    raw = loaded.model(batch.normalised(loaded.look.mean, loaded.look.std))
    assert set(loaded.model.losses(raw, batch.targets, batch.frames)) == {"classification", "boxes"}
    assert len(loaded.model.boxes(raw, batch.frames).detections()) == 1


def test_evaluate_tells_what_training_told(
    whole: Path, scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "results.json"
    numbers = limbeck.evaluate(whole, data=scenes, results=file, device="cpu", workers=0)
    best = max(record["AP"] for record in read_metrics(whole) if "AP" in record)
    assert numbers["AP"] == pytest.approx(best, abs=1e-9)
    assert 0 <= numbers["VOC"] <= 1
    assert numbers["VOC"] == pytest.approx(numbers["AP50"], abs=0.02)
    said = capsys.readouterr().out
    assert f"VOC {numbers['VOC']:.3f} (area)  {numbers['VOC07']:.3f} (11 points)" in said
    assert "found at an overlap of 0.5: small " in said
    rows = json.loads(file.read_text())
    known = {each["id"] for each in json.loads((scenes / "annotations.json").read_text())["categories"]}
    assert {row["category_id"] for row in rows} <= known
    assert set(rows[0]) == {"image_id", "category_id", "bbox", "score"}


def test_predict_draws_and_tells(whole: Path, scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_text("no photo")
    given = ["predict", str(whole), str(scenes / "images"), str(bad), "--json", "--score", "0.0", "--device", "cpu"]
    main([*given, "--pictures", str(tmp_path / "drawn"), "--results", str(tmp_path / "r.json")])
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert told == json.loads((tmp_path / "r.json").read_text())
    assert set(told[0]) == {"image_id", "category_id", "bbox", "score"}
    assert len({row["image_id"] for row in told}) == 24
    assert len(out.splitlines()) == len(told) + 2, "a box a line, between brackets"
    assert f"skipped {bad}: " in err
    assert "on 24 photos" in err
    pictures = sorted((tmp_path / "drawn").glob("*.jpg"))
    assert len(pictures) == 24
    with Image.open(pictures[0]) as picture:
        assert picture.size == (64, 64)
    assert not list(tmp_path.glob(".*")), "the file of results is whole, and nothing lies beside it"


def test_predict_tells_what_is_nearest(
    whole: Path, scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = str(sorted((scenes / "images").glob("*.jpg"))[0])
    every = limbeck.load(whole).predict(photo, score=0.0)[0]
    best = float(every.scores[0])
    line = ["predict", str(whole), photo, "--device", "cpu"]
    main([*line, "--score", "0.5"])
    nearest = f"the best is {every.names[0]} with {int(best * 1000) / 1000:g}"
    assert f"{photo}: nothing with a score of 0.5; {nearest}\n" in capsys.readouterr().out
    main([*line, "--score", "0"])
    head = capsys.readouterr().out.removeprefix(f"{photo}: ").split(":")[0]
    assert head == ", ".join(f"{count} {name}" for name, count in every.counts.items())
    main([*line, "--score", "1", "--json", "--results", str(tmp_path / "r.json")])
    assert json.loads(capsys.readouterr().out) == json.loads((tmp_path / "r.json").read_text()) == []


def test_predict_keeps_nothing_of_the_photos_that_it_has_told(
    whole: Path, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows are in the file before the last photo is seen, and what was found on a photo is let go."""
    held: list[weakref.ref[Any]] = []
    written: list[int] = []
    ask = predict_detector.asked

    def asked(*given: Any) -> Iterator[Any]:
        for number, seen in ask(*given):
            held.append(weakref.ref(seen))
            written.append(sum(file.stat().st_size for file in tmp_path.glob(".r.json*")))
            yield number, seen
            del seen

    monkeypatch.setattr(predict_detector, "asked", asked)
    given = ["--score", "0", "--device", "cpu", "--results", str(tmp_path / "r.json")]
    main(["predict", str(whole), *[str(scenes / "images")] * 3, *given])
    assert written[-1] > 0
    assert (tmp_path / "r.json").stat().st_size > written[-1]
    gc.collect()
    assert not any(seen() is not None for seen in held)


def test_a_prediction_that_is_stopped_leaves_the_results_as_they_were(
    whole: Path, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "r.json"
    file.write_text("before")

    def stopped(seen: Any, score: float) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(predict_detector, "line", stopped)
    with pytest.raises(SystemExit):
        main(["predict", str(whole), str(scenes / "images"), "--device", "cpu", "--results", str(file)])
    assert file.read_text() == "before"
    assert [each.name for each in tmp_path.iterdir()] == ["r.json"]


def test_predict_reads_whatever_holds_photos(
    whole: Path, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By itself or by workers: the same boxes, as JSON in COCO's result form."""
    archive = shutil.make_archive(str(tmp_path / "photos"), "zip", scenes / "images")
    packed = shutil.make_archive(str(tmp_path / "photos"), "gztar", scenes / "images")
    sources = [str(scenes / "images"), f"{scenes}/images/*.jpg", archive, packed]
    said = []
    for number, source in enumerate(sources):
        monkeypatch.setattr(predict_detector, "_FEW", 0 if number == 2 else 999)
        file = tmp_path / f"{number}.json"
        main(["predict", str(whole), source, "--score", "0.05", "--results", str(file), "--device", "cpu"])
        rows = json.loads(file.read_text())
        assert set(rows[0]) == {"image_id", "category_id", "bbox", "score"}
        said.append([(Path(row.pop("image_id")).name, *row.values()) for row in rows])
    assert {name for name, *_ in said[0]} <= {file.name for file in (scenes / "images").iterdir()}
    assert said[1] == said[0]
    assert said[2] == said[3]
    assert sorted(map(str, said[2])) == sorted(map(str, said[0]))
    found = limbeck.load(whole).predict(sorted((scenes / "images").glob("*.jpg")), score=0.05)
    assert sum(map(len, found)) == len(said[0])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one")
@pytest.mark.parametrize("words", [["predict", "{run}", "{photos}"], ["evaluate", "{run}", "--data", "{data}"]])
def test_a_device_that_is_not_there(
    words: list[str], whole: Path, scenes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = [word.format(run=whole, photos=scenes / "images", data=scenes) for word in words]
    said = parts(told([*line, "--device", "cuda"], capsys))
    assert said == ("device 'cuda': there is none on this machine", "cpu, auto", "--device auto")


@pytest.mark.parametrize("name", ["toy", "ssdlite"])
def test_a_run_that_was_stopped_goes_on_to_the_same_weights(
    name: str, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"detector": name, "epochs": 2, "ema": 0.9, "clip": 5.0}
    given |= {"backbone": "test_resnet", "size": 64} if name == "ssdlite" else {}
    limbeck.train(**options(scenes, tmp_path / "whole", **given))
    save = save_state

    def cut(run: Path, *state: Any) -> None:
        save(run, *state)
        if state[-1].done == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(loop, "save_state", cut)
        with pytest.raises(LimbeckError, match="step 2 is saved") as stopped:
            limbeck.train(**options(scenes, tmp_path / "cut", **given))
    assert f"limbeck train --out {tmp_path / 'cut'} --resume" in str(stopped.value)
    assert read_progress(tmp_path / "cut").done == 2
    main(["train", "--out", str(tmp_path / "cut"), "--resume"])
    assert same(tmp_path / "cut", tmp_path / "whole")
    assert [r["step"] for r in read_metrics(tmp_path / "cut") if "loss" in r] == list(range(1, 7))


def test_a_distilled_backbone_goes_under_it(
    scenes: Path, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"detector": "ssdlite", "size": 64, "steps": 1, "val": "none", "backbone": str(teacher)}
    limbeck.train(**options(scenes, tmp_path / "run", **given, lr=1e-9, layer_rates=(0.1, 0.5)))
    assert "learning rates: " in capsys.readouterr().out
    card = json.loads((tmp_path / "run" / "student" / "card.json").read_text())
    assert card["provenance"]["backbone"] == str(teacher)
    before, after = weights(teacher, "student"), weights(tmp_path / "run", "student")
    kept = [name for name in before if f"backbone.model.{name}" in after and name.endswith("conv1.weight")]
    assert kept
    assert all(torch.allclose(before[name], after[f"backbone.model.{name}"], atol=1e-4) for name in kept)


def test_frozen_parts_stay_as_they_are(whole: Path, scenes: Path, tmp_path: Path) -> None:
    given = {"detector": "ssdlite", "backbone": "test_resnet", "size": 64, "val": "none", "weights": str(whole)}
    limbeck.train(**options(scenes, tmp_path / "one", **given, steps=1, frozen=3))
    limbeck.train(**options(scenes, tmp_path / "two", **given, steps=4, frozen=3))
    one, two = weights(tmp_path / "one", "student"), weights(tmp_path / "two", "student")
    moved = {name for name in one if not torch.equal(one[name], two[name])}
    assert not any(name.startswith(("backbone.model.layer1", "backbone.model.stem")) for name in moved)
    assert any(name.startswith("class_heads") for name in moved)


def test_it_begins_with_another_detector(whole: Path, scenes: Path, tmp_path: Path) -> None:
    given = {"detector": "ssdlite", "backbone": "test_resnet", "size": 64, "steps": 1, "lr": 0.0, "val": "none"}
    limbeck.train(**options(scenes, tmp_path / "run", **given, weights=str(whole)))
    before, after = weights(whole, "student"), weights(tmp_path / "run", "student")
    assert all(torch.equal(before[name], after[name]) for name in before if name.endswith("weight"))


def test_a_head_of_other_classes_is_new_even_where_it_fits(whole: Path, scenes: Path, tmp_path: Path) -> None:
    told = json.loads((scenes / "annotations.json").read_text())
    for category in told["categories"]:
        category["name"] = f"another {category['name']}"
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "images").symlink_to(scenes / "images")
    (tmp_path / "others" / "annotations.json").write_text(json.dumps(told))
    given = {"detector": "ssdlite", "backbone": "test_resnet", "size": 64, "steps": 1, "lr": 0.0, "val": "none"}
    limbeck.train(**options(tmp_path / "others", tmp_path / "run", **given, weights=str(whole)))
    before, after = weights(whole, "student"), weights(tmp_path / "run", "student")
    same = {name for name in before if name.endswith("weight") and torch.equal(before[name], after[name])}
    assert {name for name in before if name.startswith(("backbone", "box_heads")) and name.endswith("weight")} <= same
    assert not any(re.fullmatch(r"class_heads\.\d\.1\.weight", name) for name in same)


@pytest.mark.parametrize(
    ("changes", "kind", "said"),
    [
        ({"recipe": "ssd300_cocoo"}, UnknownName, "ssd300_coco"),
        ({"detector": "ssdlit"}, UnknownName, "ssdlite"),
        ({"views": "sdd"}, UnknownName, "ssd"),
        ({"batch": 0}, OptionError, "--batch is 0"),
        ({"accumulate": 99}, OptionError, "at most one part"),
        ({"detector": "ssdlite"}, OptionError, "--backbone mobilenet_v3_large"),
        ({"detector": "ssd300", "backbone": "resnet18"}, OptionError, "ssdlite, gfl"),
        ({"detector": "ssdlite", "backbone": "test_vit"}, OptionError, "strides 16 32"),
        ({"detector": "ssdlite", "backbone": "resnet5"}, UnknownName, "resnet50"),
        ({"data": "no/such/folder"}, LimbeckError, "no/such/folder"),
        ({"split": "traiin"}, LimbeckError, "traiin"),
        ({"classes": ("nothing",)}, LimbeckError, "classes that the model does not know"),
    ],
)
def test_what_cannot_work_is_told_before_anything_is_made(
    changes: dict[str, Any], kind: type[LimbeckError], said: str, scenes: Path, tmp_path: Path
) -> None:
    with pytest.raises(kind) as error:
        limbeck.train(**options(scenes, tmp_path / "run", **changes))
    assert said in str(error.value)
    assert not (tmp_path / "run").exists()


def test_faults_of_the_labels_are_told_together(scenes: Path, tmp_path: Path) -> None:
    content = json.loads((scenes / "annotations.json").read_text())
    content["annotations"][0]["bbox"] = [5, 5, 0, 7]
    content["annotations"][1]["category_id"] = 77
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "images").symlink_to(scenes / "images")
    (tmp_path / "set" / "annotations.json").write_text(json.dumps(content))
    given = options(tmp_path / "set", tmp_path / "run", val="none", steps=1)
    with pytest.raises(LimbeckError) as error:
        limbeck.train(**given)
    assert "without extent" in str(error.value)
    assert "class that is not listed" in str(error.value)
    assert "--skip-bad" in str(error.value)
    limbeck.train(**given, skip_bad=True)
    assert (tmp_path / "run" / "student" / "card.json").exists()


def test_a_run_goes_on_with_the_boxes_that_it_began_with(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = tmp_path / "set" / "annotations.json"
    labels.parent.mkdir()
    (tmp_path / "set" / "images").symlink_to(scenes / "images")
    labels.write_text((scenes / "annotations.json").read_text())
    given = options(tmp_path / "set", tmp_path / "cut", val="none", epochs=2)
    limbeck.train(**given | {"out": str(tmp_path / "whole")})
    save = save_state

    def cut(run: Path, *state: Any) -> None:
        save(run, *state)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(loop, "save_state", cut)
        with pytest.raises(LimbeckError, match="step 1 is saved"):
            limbeck.train(**given)
    content = json.loads(labels.read_text())
    content["annotations"][0]["bbox"] = [1, 1, 9, 9]
    labels.write_text(json.dumps(content))
    limbeck.train(out=tmp_path / "cut", resume=True)
    assert same(tmp_path / "cut", tmp_path / "whole")


def test_a_run_goes_on_when_its_backbone_is_gone(
    scenes: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(teacher, tmp_path / "distilled")
    given = {"detector": "ssdlite", "size": 64, "val": "none", "backbone": str(tmp_path / "distilled"), "steps": 3}
    given |= {"layer_rates": (0.1, 0.5)}
    limbeck.train(**options(scenes, tmp_path / "whole", **given))

    def cut(run: Path, *state: Any) -> None:
        save_state(run, *state)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(loop, "save_state", cut)
        with pytest.raises(LimbeckError, match="step 1 is saved"):
            limbeck.train(**options(scenes, tmp_path / "cut", **given))
    shutil.rmtree(tmp_path / "distilled")
    limbeck.train(out=tmp_path / "cut", resume=True)
    assert same(tmp_path / "cut", tmp_path / "whole")


def test_a_detector_is_no_classifier(whole: Path, scenes: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="a model for detection"):
        limbeck.distill(images=scenes / "images", teacher=str(whole), student="test_resnet", out=tmp_path / "run")
    with pytest.raises(OptionError, match="no photos with boxes are named"):
        limbeck.evaluate(whole)


def test_a_card_with_tricks_is_refused(whole: Path, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes((whole / "student" / "model.safetensors").read_bytes())
    card = json.loads((whole / "student" / "card.json").read_text())

    def refused(architecture: dict[str, Any], kind: type[LimbeckError]) -> None:
        (tmp_path / "card.json").write_text(json.dumps(card | {"architecture": architecture}))
        with pytest.raises(kind):
            limbeck.load(tmp_path)

    own = card["architecture"]
    refused(own | {"name": "os:system"}, UnsafeFile)
    refused(own | {"backbone": own["backbone"] | {"args": {"pretrained": True}}}, UnsafeFile)
    refused(own | {"backbone": own["backbone"] | {"name": "../x"}}, UnsafeFile)
    refused(own | {"backbone": None}, CheckpointError)
    refused({"name": "ssdlite"}, CheckpointError)


@pytest.mark.parametrize("name", TRAIN)
def test_a_recipe_is_called_as_it_is(name: str) -> None:
    recipe = command.starting_options(name)
    assert recipe.recipe == name
    assert command.settings(recipe) == name


def test_recipes_are_the_references() -> None:
    """For COCO: 117,266 images with objects, five times an epoch."""
    ssd, lite = (command.starting_options(f"{name}_coco") for name in ("ssd300", "ssdlite_mobilenetv2_scratch_600e"))
    per_epoch = 117_266 * 5 // 64
    plan = plan_of(ssd, per_epoch, {})
    assert (plan.lr, plan.momentum, plan.weight_decay, plan.warmup) == (2e-3, 0.9, 5e-4, 500)
    assert plan.milestones == (16 * per_epoch, 22 * per_epoch)
    assert plan.steps == 24 * per_epoch
    plan = plan_of(lite, 100, {})
    assert (plan.lr, plan.weight_decay, plan.stairs, plan.milestones) == (0.015, 4e-5, True, ())
    assert (lite.batch, lite.epochs * lite.repeats, lite.evaluate_every, lite.size) == (192, 600, 5, 320)
