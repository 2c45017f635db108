"""limbeck train with a teacher: through the command line on small drawn scenes, with a teacher that sees something."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import limbeck
from limbeck.checkpoints.any_detector import read_any_detector
from limbeck.checkpoints.detector_card import read_detector_card
from limbeck.cli import main
from limbeck.commands.train_teacher import terms_of, validate_teacher
from limbeck.detection.train_options import Train
from limbeck.errors import CheckpointError, LimbeckError, OptionError, TeacherError
from limbeck.recipes import ALIASES
from limbeck.recipes.starting import training
from limbeck.scenes.dataset import draw_boxes_dataset
from limbeck.training import loop
from limbeck.training.log import read_metrics
from tests.commands.sure import sure_detector
from tests.commands.test_run_ranks import TORCHRUN, launched
from tests.commands.tiny import finished

SIDE = 64
FURTHER = ("--ld-around", "0.25", "--ld-classes", "10")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("taught") / "scenes"
    draw_boxes_dataset(folder, 8, seed=3, size=SIDE, workers=1, shown=False)
    return folder


@pytest.fixture(scope="module")
def further(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos whose labels nobody reads."""
    folder = tmp_path_factory.mktemp("taught") / "further"
    draw_boxes_dataset(folder, 4, seed=9, size=SIDE, workers=1, shown=False)
    return folder / "images"


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory, scenes: Path) -> Path:
    return sure_detector(tmp_path_factory.mktemp("taught") / "big", scenes, 1.0)


def given(scenes: Path, tmp_path: Path, **changes: Any) -> dict[str, Any]:
    shared: dict[str, Any] = {"data": str(scenes), "split": "", "val": "none", "out": tmp_path / "run"}
    shared |= {"steps": 2, "batch": 2, "workers": 0, "save_every": 2, "log_every": 1, "track": ("none",)}
    small = {"backbone": "test_resnet", "size": SIDE, "device": "cpu", "cache": str(tmp_path / "cache")}
    return shared | small | changes


def test_a_student_learns_from_a_teacher_and_is_kept_alone(scenes: Path, big: Path, tmp_path: Path) -> None:
    line = ["train", "ld", "--data", str(scenes), "--split", "", "--val", "none", "--teacher", str(big), "--out"]
    small = ["--backbone", "test_resnet", "--size", str(SIDE), "--steps", "2", "--batch", "2", "--workers", "0"]
    main([*line, str(tmp_path / "run"), *small, "--log-every", "1", "--device", "cpu", "--track", "none", *FURTHER])
    record = [each for each in read_metrics(tmp_path / "run") if "loss" in each][-1]
    assert {"ld_main", "ld_around", "ld_classes"} <= set(record)
    assert "ld_features" not in record
    student = load_file(tmp_path / "run" / "student" / "model.safetensors")
    assert {name.partition(".")[0] for name in student} == set(dict(read_any_detector(big)[0].named_children())) | {
        "scales"
    }
    assert read_detector_card(tmp_path / "run").provenance["teacher"] == str(big)
    limbeck.load(tmp_path / "run")


def test_the_run_goes_on_with_its_teacher_to_the_same_weights(
    scenes: Path, big: Path, further: Path, tmp_path: Path
) -> None:
    options = given(scenes, tmp_path, teacher=str(big), steps=4, unlabeled=str(further), unlabeled_score=0.5)
    limbeck.train("ld", **options)
    whole = load_file(tmp_path / "run" / "latest" / "model.safetensors")
    real, saved = loop.save_state, list[int]()

    def cut(*parts: Any) -> None:
        real(*parts)
        saved.append(1)
        raise OSError("the machine goes down")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "save_state", cut)
        with pytest.raises((OSError, LimbeckError)):
            limbeck.train("ld", **options | {"out": tmp_path / "cut"})
    assert saved == [1]
    limbeck.train(out=tmp_path / "cut", resume=True)
    again = load_file(tmp_path / "cut" / "latest" / "model.safetensors")
    assert all(torch.equal(again[name], value) for name, value in whole.items())


def test_parts_of_a_batch_add_up(scenes: Path, big: Path, tmp_path: Path) -> None:
    """The sums over a batch do not depend on the parts that it is taken in."""
    found = []
    for parts in (1, 2):
        options = given(scenes, tmp_path, teacher=str(big), steps=1, batch=4, accumulate=parts, precision="float32")
        limbeck.train("ld", **options | {"out": tmp_path / f"parts{parts}", "ld_around": 0.25})
        found.append(next(each for each in read_metrics(tmp_path / f"parts{parts}") if "loss" in each))
    whole, halves = found
    for name in ("ld_main", "ld_around"):
        assert halves[name] == pytest.approx(whole[name], rel=0.05), "but for the statistics of norms"


def test_a_run_does_not_go_on_with_another_teacher(scenes: Path, big: Path, tmp_path: Path) -> None:
    teacher = tmp_path / "teacher"
    shutil.copytree(big, teacher)
    limbeck.train("ld", **given(scenes, tmp_path, teacher=str(teacher)))
    limbeck.train(out=tmp_path / "run", resume=True)
    shutil.rmtree(teacher)
    sure_detector(teacher, scenes, 0.5)
    with pytest.raises(TeacherError, match="other weights than when the run began"):
        limbeck.train(out=tmp_path / "run", resume=True)


def test_the_report_tells_of_the_teacher(scenes: Path, big: Path, further: Path, tmp_path: Path) -> None:
    options = given(scenes, tmp_path, teacher=str(big), val=str(scenes), unlabeled=str(further), unlabeled_score=0.5)
    limbeck.train("ld", **options)
    page = (tmp_path / "run" / "report.html").read_text()
    assert f"taught by {big}, also on 4 photos without boxes" in page
    assert "Losses from the teacher" in page


def test_unlabeled_photos_are_counted(
    scenes: Path, big: Path, further: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = given(scenes, tmp_path, teacher=str(big), unlabeled=(str(further), str(scenes)), unlabeled_score=0.5)
    limbeck.train("ld", **options)
    said = " ".join(capsys.readouterr().out.split())
    assert (
        "4 unlabeled photos on which the teacher tells; 8 left out that are learned from or measured on already" in said
    )
    card = read_detector_card(tmp_path / "run")
    assert (card.provenance["images"], card.provenance["unlabeled"]) == (8, 4)


def test_what_cannot_teach_is_told(scenes: Path, big: Path, further: Path, tmp_path: Path) -> None:
    def fails(kind: type[LimbeckError], what: str, recipe: str = "ld", **changes: Any) -> str:
        with pytest.raises(kind, match=what) as error:
            limbeck.train(recipe, **given(scenes, tmp_path, **changes))
        assert not (tmp_path / "run").exists()
        return str(error.value)

    fails(OptionError, "recipe ld.* without a teacher", "ld_r18_gflv1_r101_fpn_coco_1x", scratch=True)
    fails(OptionError, "recipe ld without a teacher")
    fails(OptionError, "nothing to learn from it", "gfl", teacher=str(big))
    fails(OptionError, "--unlabeled without a teacher", "gfl", unlabeled=str(further))
    fails(OptionError, "several", teacher=f"{big},{big}")
    fails(OptionError, "expected: str", teacher=[str(big), str(big)])
    fails(OptionError, "ld_features|--ld-features", teacher=str(big), ld_features=-1.0)
    fails(OptionError, "--unlabeled-score 2", teacher=str(big), unlabeled=str(further), unlabeled_score=2.0)
    fails(CheckpointError, "no detector at", teacher=str(tmp_path / "nowhere"))
    (tmp_path / "note.txt").write_text("no weights")
    fails(CheckpointError, "note.txt", teacher=str(tmp_path / "note.txt"))
    blind = sure_detector(tmp_path / "blind", scenes, -9.0)
    assert "limbeck predict" in fails(TeacherError, "sees nothing on 8 photos", teacher=str(blind))
    other = sure_detector(tmp_path / "other", scenes, 1.0, classes=("cat", "dog"))
    assert "cat, dog" in fails(OptionError, "knows 2 classes", teacher=str(other))
    fails(OptionError, "the student is of the kind retinanet", teacher=str(big), detector="retinanet")
    fails(OptionError, "--frozen and --norm-eval with a backbone of random", teacher=str(big), frozen=2, norm_eval=True)
    fails(LimbeckError, "learned from or measured on already", teacher=str(big), unlabeled=str(scenes))
    said = fails(
        TeacherError, "sees nothing on 4 unlabeled", teacher=str(big), unlabeled=str(further), unlabeled_score=0.99
    )
    assert "--unlabeled-score" in said


def test_a_frozen_recipe_needs_weights_or_scratch(scenes: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="--frozen and --norm-eval with a backbone of random weights"):
        limbeck.train("gfl_r18_fpn_coco_1x", **given(scenes, tmp_path, pretrained=False))
    limbeck.train("gfl_r18_fpn_coco_1x", **given(scenes, tmp_path, scratch=True))
    assert (tmp_path / "run" / "student").is_dir()


def test_statistics_of_norms_that_rest_stay(scenes: Path, tmp_path: Path) -> None:
    limbeck.train("gfl", **given(scenes, tmp_path, out=tmp_path / "first"))
    limbeck.train(
        "gfl",
        **given(scenes, tmp_path, weights=str(tmp_path / "first"), norm_eval=True, frozen=2, out=tmp_path / "run"),
    )
    one, other = (load_file(tmp_path / name / "latest" / "model.safetensors") for name in ("first", "run"))
    statistics = [name for name in one if "running_" in name]
    assert statistics
    assert all(torch.equal(one[name], other[name]) for name in statistics)
    frozen = [name for name in one if name.startswith(("backbone.model.conv1", "backbone.model.layer1"))]
    assert frozen
    assert all(torch.equal(one[name], other[name]) for name in frozen)
    assert any(not torch.equal(one[name], other[name]) for name in one if "layer3" in name)


def test_the_rows_are_the_references() -> None:
    """Of facts: mini-batches of 6 and 16 at one linear rule, what is kept, and the sums of a device's images."""
    row, other = training("ld_r18_gflv1_r101_fpn_coco_1x"), training("ld_r18-gflv1-r101_fpn_1x_coco")
    assert (row.batch, row.lr * row.batch / row.lr_batch, row.ld_images) == (6, 0.00375, 3)
    assert (other.batch, other.lr * other.batch / other.lr_batch, other.ld_images) == (16, 0.01, 2)
    assert (row.frozen, row.norm_eval, row.pretrained, row.least_weight) == (2, True, True, 0.0)
    assert (row.epochs, row.weight_decay, row.momentum, row.warmup) == (12, 1e-4, 0.9, 500)
    assert vars(terms_of(row)) == vars(terms_of(Train(ld_main=0.25, batch=3)))
    assert training("gfl_r18_fpn_coco_1x").least_weight == 1.0
    twice = training("ld_r101_gflv1_r101dcn_fpn_coco_1x")
    assert (twice.recipe, twice.epochs, twice.views) == ("ld_r101_gflv1_r101dcn_fpn_coco_2x", 24, "flip_multiscale")
    around = terms_of(training("ld_r50_gflv1_r101_fpn_coco_1x_vlr"))
    assert (around.main, around.around, around.classes, around.features) == (0.25, 0.25, 10.0, 0.0)
    assert (around.region, around.temperature, around.class_temperature) == ("iof", 10.0, 2.0)
    assert all(training(alias).recipe == name for alias, name in ALIASES.items())
    with pytest.raises(OptionError, match="without a teacher"):
        validate_teacher(row)


@pytest.mark.slow
def test_two_processes_learn_as_one(scenes: Path, big: Path, further: Path, tmp_path: Path) -> None:
    """The divisors of all losses are those of the whole batch, photos without boxes among them."""
    limbeck.train("gfl", **given(scenes, tmp_path, out=tmp_path / "begun"))
    options = given(scenes, tmp_path, teacher=str(big), unlabeled=str(further), unlabeled_score=0.5, steps=4, batch=4)
    options |= {"weights": str(tmp_path / "begun"), "norm_eval": True, "precision": "float32", "ld_around": 0.25}
    limbeck.train("ld", **options | {"out": tmp_path / "one"})
    words = json.dumps(options | {"out": str(tmp_path / "two")})
    code = "import json, sys, limbeck\nlimbeck.train('ld', **json.loads(sys.argv[1]))\n"
    finished(launched(TORCHRUN, tmp_path / "job.py", code, words))
    one, two = ([each for each in read_metrics(tmp_path / name) if "loss" in each] for name in ("one", "two"))
    assert len(one) == len(two) == 4
    for mine, theirs in zip(one, two, strict=True):
        for name in ("loss", "quality", "boxes", "distributions", "ld_main", "ld_around"):
            assert theirs[name] == pytest.approx(mine[name], rel=1e-4)
    weights = [load_file(tmp_path / name / "student" / "model.safetensors") for name in ("one", "two")]
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=1e-4, atol=1e-6)
