"""limbeck finetune, when things go wrong: what was found, what was expected, what to type."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import limbeck
from limbeck import cli
from limbeck.errors import CheckpointError, ImagesError, LimbeckError, OptionError, RunError
from limbeck.ssld.finetune_options import Finetune, as_run, in_its_words, of_run
from tests.commands.test_finetune import QUICK
from tests.commands.tiny import draw


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight photos in one folder."""
    return draw(tmp_path_factory.mktemp("faults") / "photos", 2, seed=4)


def refused(model: Any, out: Path, **given: Any) -> LimbeckError:
    with pytest.raises(LimbeckError) as error:
        limbeck.finetune(model, out=out, **QUICK | {"batch": 2} | given)
    assert not (out / "config.json").exists()
    return error.value


def test_a_class_of_one_photo(labelled: Path, teacher: Path, tmp_path: Path) -> None:
    few = tmp_path / "few"
    for name, count in (("bars", 3), ("disc", 1)):
        (few / name).mkdir(parents=True)
        for number in range(count):
            shutil.copy(labelled / name / f"{name}_{number}.jpg", few / name)
    error = refused(teacher, tmp_path / "run", images=few)
    assert error.found == "the class 'disc' has 1 photo: it cannot be learned from and held out to measure on"
    assert "--eval FOLDER with other labelled photos; or --val 0 to measure nothing" in error.hint
    limbeck.finetune(teacher, images=few, out=tmp_path / "run", **QUICK | {"batch": 2, "epochs": 1}, val=0.0)


def test_one_class_alone(photos: Path, teacher: Path, tmp_path: Path) -> None:
    error = refused(teacher, tmp_path / "run", images=photos)
    assert "8 photos in one folder, of one class, 'photos'" in error.found
    assert "--labels FILE.csv" in error.hint


@pytest.mark.parametrize(
    ("text", "columns", "found", "hint"),
    [
        ("a,b\nbars_0.jpg,x", (), "has the columns a, b; none is known to hold the file or the class", "a b"),
        ("file,b\nbars_0.jpg,x", (), "none is known to hold the class", "--label-columns file b"),
        ("a,b\nbars_0.jpg,x", ("a", "c"), "has no column c", "--label-columns a b"),
        ("file,class\nbars_0.jpg,x\nno.jpg,y\nat/all.jpg,y", (), "2 of the 3 rows of", "--images with the folder"),
        ("file,class\nbars_0.jpg,x\nbars_0.jpg,y", (), "it is 'x', and in another row 'y'", "limbeck doctor"),
        (
            "file,class,split\nbars_0.jpg,x,val\nbars_0.jpg,x,train",
            (),
            "it is 'val', and in another row 'train'",
            "take",
        ),
        ("file,class,split\nbars_0.jpg,x,train\nrows_0.jpg,y,fold 2", (), "has fold 2 in its column split", "another"),
        (
            "file,class,split\nbars_0.jpg,x,train\nrows_0.jpg,y,val",
            (),
            "nothing of the class 'y' is to be learned from",
            "another split",
        ),
        ("file,class\nbars_0.jpg,x", (), "1 photo in", "--labels FILE.csv"),
        ("file,class\nbars_0.jpg,", (), "says the class of no photo", "--label-columns FILE_COLUMN CLASS_COLUMN"),
        ("", (), "is empty", "file,class"),
    ],
)
def test_a_csv_that_does_not_fit(
    text: str, columns: tuple[str, ...], found: str, hint: str, photos: Path, teacher: Path, tmp_path: Path
) -> None:
    (tmp_path / "labels.csv").write_text(text)
    given = {"labels": str(tmp_path / "labels.csv"), "label_columns": columns}
    error = refused(teacher, tmp_path / "run", images=photos, **given)
    assert isinstance(error, ImagesError | OptionError)
    assert found in error.found
    assert hint in error.hint


def test_a_csv_that_is_not_there(photos: Path, teacher: Path, tmp_path: Path) -> None:
    error = refused(teacher, tmp_path / "run", images=photos, labels=str(tmp_path / "no.csv"))
    assert error.found.endswith("no.csv cannot be read: No such file or directory")


def test_classes_that_the_model_has_not(labelled: Path, teacher: Path, tmp_path: Path) -> None:
    other = draw(tmp_path / "other", 1, folders=True)
    (other / "bars").rename(other / "barss")
    error = refused(teacher, tmp_path / "run", images=labelled, eval=str(other))
    assert "1 of 4 folders called after no class: barss" in error.found
    assert "bars" in error.expected


@pytest.mark.parametrize(("model", "size", "cure"), [("test_vit", 100, 96), ("vgg11", 20, 32)])
def test_a_size_that_the_backbone_cannot_take(model: str, size: int, cure: int, labelled: Path, tmp_path: Path) -> None:
    error = refused(model, tmp_path / "run", images=labelled, weights="none", fix_size=size)
    assert f"{model} cannot take images of {size} x {size}" in error.found
    assert error.hint == f"--fix-size {cure}"


def test_weights_that_nobody_can_fetch(labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    error = refused("resnet50_vd", tmp_path / "run", images=labelled)
    assert "limbeck convert FILE" in error.hint
    told = in_its_words(CheckpointError("away", hint="give the weights by path: --teacher-weights FILE, or "
                                        "--student-weights FILE"))  # fmt: skip
    assert told.hint == (
        "give the weights by path: --weights FILE, a checkpoint that `limbeck convert FILE --out CHECKPOINT` made, "
        "or --weights none"
    )


def test_weights_of_another_model(labelled: Path, tmp_path: Path) -> None:
    torch.save({"fc.weight": torch.zeros(4, 4)}, tmp_path / "odd.pth")
    error = refused("test_resnet", tmp_path / "run", images=labelled, weights=str(tmp_path / "odd.pth"))
    assert "do not fit" in error.found


@pytest.mark.parametrize(
    ("given", "found", "hint"),
    [
        ({"layer_rates": (1, 1, 1, 1, 1, 1)}, "--layer-rates has 6 rates, and this backbone 5 parts", "--layer-rates"),
        ({"size": 32, "fix_size": 48}, "--size 32 with --fix-size 48", "leave --size out"),
        ({"mixup": -0.5}, "--mixup is -0.5", "leave --mixup out"),
        ({"val": 1.5}, "--val is 1.5", "--val 0.1"),
        ({"epochs": 0}, "--epochs is 0", "--epochs 30"),
        ({"label_columns": ("a",)}, "--label-columns is a", "leave --label-columns out"),
        ({"fix_size": 48, "colour": "jitter"}, "--fix-size 48 with --colour jitter", "--colour none"),
        ({"label_columns": ("a", "b")}, "--label-columns a b", "--labels FILE.csv"),
    ],
    ids=str,
)
def test_options_that_make_no_sense(
    given: dict[str, Any], found: str, hint: str, labelled: Path, teacher: Path, tmp_path: Path
) -> None:
    error = refused(teacher, tmp_path / "run", images=labelled, **given)
    assert found in error.found
    assert hint in error.hint


@pytest.mark.parametrize("missing", ["model", "images", "out"])
def test_what_is_missing_is_told(missing: str, capsys: pytest.CaptureFixture[str]) -> None:
    given = {"model": ["run"], "images": ["--images", "photos"], "out": ["--out", "x"]}
    words = [word for name, words in given.items() if name != missing for word in words]
    with pytest.raises(SystemExit, match="2"):
        cli.main(["finetune", *words])
    told = capsys.readouterr().err
    assert f"{'MODEL' if missing == 'model' else f'--{missing}'} is missing" in told
    assert "limbeck finetune resnet50d --images PHOTOS --out RUN" in told


def test_runs_of_the_two_commands_are_told_apart(labelled: Path, teacher: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is a run of `limbeck distill`") as error:
        limbeck.finetune(out=teacher, resume=True)
    assert error.value.hint == f"limbeck distill --out {teacher} --resume"
    given = QUICK | {"epochs": 1}
    limbeck.finetune(teacher, images=labelled, out=tmp_path / "run", **given)
    with pytest.raises(RunError) as error:
        limbeck.finetune(teacher, images=labelled, out=tmp_path / "run", **given)
    assert f"limbeck finetune --out {tmp_path / 'run'} --resume" in error.value.hint
    with pytest.raises(OptionError) as other:
        limbeck.finetune(out=tmp_path / "run", resume=True, lr=3.0)
    assert "--lr is 3.0 now" in other.value.found


@pytest.mark.parametrize(
    "options",
    [
        Finetune("resnet50d", ("photos",), out="run"),
        Finetune("resnet50d", ("photos",), weights="none", fix_size=320, tune="norms", layer_rates=(0.1, 0.2)),
        Finetune("resnet50d", ("photos",), weights="file.pth", size=128, val=0.2, mixup=0.2, colour="jitter"),
    ],
    ids=str,
)
def test_the_options_come_back_from_the_run(options: Finetune) -> None:
    assert as_run(of_run(as_run(options))) == as_run(options)
