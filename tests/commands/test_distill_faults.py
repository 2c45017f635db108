"""limbeck distill, when things go wrong: each message says what was found, what was expected, what to type."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

import limbeck
from limbeck import cli
from limbeck.errors import LimbeckError, NonFiniteLoss, OptionError, TeacherError
from limbeck.training.state import read_progress, state_file
from tests.commands.tiny import draw, line, options, records, run, weights


def told(words: list[str], capsys: pytest.CaptureFixture[str], *, status: int = 2) -> str:
    """What the command says before it ends with an error."""
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert ended.value.code == status
    return capsys.readouterr().err


def parts(error: str) -> tuple[str, str, str]:
    """(found, expected, what to type), none of them empty."""
    text = error.removeprefix("error: ")
    found, rest = text.split("\n  expected: ", 1)
    expected, hint = rest.split("\n  try:      ", 1)
    assert found
    assert expected
    assert hint.strip()
    return found, expected, hint.strip()


@pytest.mark.parametrize(
    ("changes", "found", "expected", "hint"),
    [
        ({"teacher": "resnt50d"}, "unknown model 'resnt50d'", "resnet50d", "limbeck models"),
        ({"student": "mobilenetv3_large_10"}, "'mobilenetv3_large_10'", "mobilenetv3_large_100", "limbeck models"),
        ({"loss": "jss"}, "unknown loss 'jss'", "js", "--loss js"),
        ({"loss": "JS"}, "unknown loss 'JS'", "js", "--loss js"),
        ({"student": "MobileNetV3_Large_100"}, "'MobileNetV3_Large_100'", "mobilenetv3_large_100", "limbeck models"),
        ({"teacher": "runs/gone"}, "no run or checkpoint at runs/gone", "`limbeck distill` run", "--teacher RUN"),
        ({"colour": "autoaugmet"}, "unknown colour 'autoaugmet'", "autoaugment", "--colour autoaugment"),
        ({"track": ("tensorbord",)}, "unknown track 'tensorbord'", "tensorboard", "--track tensorboard"),
        ({"recipe": "ssld_smal"}, "unknown recipe 'ssld_smal'", "ssld_small", "--recipe ssld_small"),
        ({"views": 2, "teacher_norm": "batch"}, "--teacher-norm batch with --views 2", "cannot be stored", "--views 0"),
        ({"store": "labels"}, "--store labels without --views", "views", "--views R"),
        ({"keep_top": 3}, "--keep-top 3 without --views", "labels to store", "--views R"),
        ({"loss": "cross-entropy"}, "--loss cross-entropy with --teacher", "one of them", "leave --teacher out"),
        ({"views": 3, "crops_per_read": 2}, "--views 3 with --crops-per-read 2", "a multiple", "--views 4"),
        ({"batch": 15, "crops_per_read": 2}, "--batch 15 with --crops-per-read 2", "a multiple", "--batch 16"),
        ({"track": ("none", "wandb")}, "--track none wandb", "none of them", "--track none"),
        ({"epochs": 0}, "--epochs is 0", "1 or more", "--epochs 360"),
        ({"batch": -4}, "--batch is -4", "1 or more", "--batch 256"),
        ({"lr": -0.1}, "--lr is -0.1", "0 or more", "--lr 0.1"),
        ({"lr": "nan"}, "--lr is nan", "0 or more", "--lr 0.1"),
        ({"views": -1}, "--views is -1", "0 or more", "--views 0"),
        ({"probe": 1.0}, "--probe is 1.0", "a share", "--probe 0.02"),
        ({"ema": 1.0}, "--ema is 1.0", "a decay", "--ema 0.0"),
        ({"flip": 2.0}, "--flip is 2.0", "a chance", "--flip 0.5"),
        ({"crop_scale": (0.5, 0.2)}, "--crop-scale is 0.5 0.2", "the smaller first", "--crop-scale 0.08 1"),
        ({"crop_ratio": (2.0, 0.5)}, "--crop-ratio is 2.0 0.5", "the smaller first", "--crop-ratio 0.75 1.33333"),
        ({"teacher_mean": (0.5,)}, "--teacher-mean is 0.5", "three numbers", "--teacher-mean"),
        ({"teacher_std": (0.5, 0.5, 0.0)}, "--teacher-std is 0.5 0.5 0.0", "above 0", "--teacher-std"),
        ({"student_args": "{drop}"}, "--student-args is '{drop}'", "a JSON object", "drop_rate"),
        ({"student_args": '{"dropp": 1}'}, "takes no such arguments", "dropp", "--student-args"),
        ({"images": "nowhere"}, "nowhere", "", ""),
        ({"config": "none.json"}, "none.json does not exist", "config.json", "--config RUN/config.json"),
        ({"config": "none.json", "recipe": "ssld_small"}, "--config none.json with --recipe", "one", "--recipe out"),
        ({"eval": "EMPTY"}, "no usable image", "images", "--images"),
        ({"sync_bn": True}, "--sync-bn on cpu", "CUDA", "--no-sync-bn"),
        ({"teacher_weights": "a.pth"}, "--teacher-weights a.pth", "given by name", "--teacher"),
        ({"student_weights": "a.pth"}, "no file of weights at a.pth", ".safetensors", "the path"),
    ],
)
def test_options_that_cannot_be(
    changes: dict[str, Any],
    found: str,
    expected: str,
    hint: str,
    photos: Path,
    teacher: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "EMPTY").mkdir()
    said = parts(told(line(options(photos, teacher, tmp_path / "run") | changes), capsys))
    for part, wanted in zip(said, (found, expected, hint), strict=True):
        assert wanted in part
    assert not (tmp_path / "run" / "config.json").exists(), "what never began is no run"


@pytest.mark.parametrize("missing", ["images", "teacher", "student", "out"])
def test_what_is_missing_is_named(
    missing: str, photos: Path, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = options(photos, teacher, tmp_path / "run")
    del given[missing]
    found, _, hint = parts(told(line(given), capsys))
    assert found == f"--{missing} is missing"
    assert hint.startswith("limbeck distill --images")


def test_an_option_that_nobody_knows(photos: Path, teacher: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([*line(options(photos, teacher, tmp_path / "run")), "--epocs", "3"])
    assert ended.value.code == 2
    with pytest.raises(OptionError, match=r"unknown option 'epocs'\n.*epochs"):
        run(photos, teacher, tmp_path / "run", epocs=3)
    with pytest.raises(OptionError, match=r"batch is 'many'\n.*int"):
        run(photos, teacher, tmp_path / "run", batch="many")


def test_a_config_with_a_key_that_nobody_knows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "config.json"
    for content, found, expected in (
        ('{"epocs": 3}', "unknown option 'epocs'", "epochs"),
        ('{"batch": "x"}', "batch is 'x'", "int"),
        ("[1]", "holds no options", "config.json"),
        ("{", "is not JSON", "config.json"),
    ):
        file.write_text(content)
        said = parts(told(["distill", "--config", str(file), "--out", str(tmp_path / "run")], capsys))
        assert found in said[0]
        assert str(file) in said[0]
        assert expected in said[1]


def test_fewer_photos_than_a_batch(teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = draw(tmp_path / "few", 3)
    (few / "torn.jpg").write_text("no photo")
    said = parts(told(line(options(few, teacher, tmp_path / "run")), capsys))
    assert "12 usable images, fewer than a batch of 16" in said[0]
    assert "at least 16" in said[1]
    assert "--batch 8" in said[2]


def test_a_teacher_that_cannot_teach_is_stopped_before_training(
    photos: Path, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    untrained = timm.create_model("test_efficientnet", num_classes=10)
    file = tmp_path / "untrained.pth"
    torch.save(untrained.state_dict(), file)
    given = options(photos, "test_efficientnet", tmp_path / "run", teacher_weights=str(file), teacher_size=32)
    said = parts(told(line(given), capsys))
    assert "near uniform" in said[0]
    assert "trained weights" in said[1]
    assert "--teacher-weights" in said[2]
    assert "--no-check-teacher" in said[2]
    assert not (tmp_path / "run").exists()

    constant = limbeck.load(teacher).model
    torch.nn.init.zeros_(constant.fc.weight)
    constant.fc.bias.data = torch.tensor([9.0, 0.0, 0.0, 0.0])
    with pytest.raises(TeacherError, match=r"constant|nearly the same"):
        run(photos, constant, tmp_path / "run", teacher_size=32)
    run(photos, constant, tmp_path / "run", teacher_size=32, check_teacher=False, steps=1)


def test_class_counts_that_differ(
    photos: Path, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    others = draw(tmp_path / "others", 8, folders=True)
    shutil.rmtree(others / "rows")
    run(others, "", tmp_path / "three", loss="cross-entropy", batch=8, steps=1)
    student = line(options(photos, teacher, tmp_path / "run", student=str(tmp_path / "three")))
    said = parts(told(student, capsys))
    assert "the student answers 3 classes and the teacher 4" in said[0]
    several = line(options(photos, f"{teacher},{tmp_path / 'three'}", tmp_path / "run"))
    said = parts(told(several, capsys))
    assert "differ in their class counts" in said[0]
    assert "3" in said[0]


def test_an_out_that_holds_something_else(
    photos: Path, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = line(options(photos, teacher, tmp_path / "run", steps=1))
    cli.main(words)
    before = weights(tmp_path / "run")
    capsys.readouterr()
    said = parts(told(words, capsys))
    assert "already holds a run" in said[0]
    assert f"limbeck distill --out {tmp_path / 'run'} --resume" in said[2]
    assert weights(tmp_path / "run") == before

    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("dear")
    said = parts(told(line(options(photos, teacher, tmp_path / "letters")), capsys))
    assert "files that are not a run's" in said[0]
    assert [path.name for path in (tmp_path / "letters").iterdir()] == ["dear.txt"]
    said = parts(told(line(options(photos, teacher, tmp_path / "letters" / "dear.txt")), capsys))
    assert "is a file" in said[0]


def test_what_cannot_be_resumed(
    photos: Path, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = parts(told(["distill", "--out", str(tmp_path / "none"), "--resume"], capsys))
    assert "holds no run to resume" in said[0]
    assert "leave --resume out" in said[2]
    said = parts(told(["distill", "--resume"], capsys))
    assert "--resume without --out" in said[0]
    assert "--out RUN" in said[2]

    run(photos, teacher, tmp_path / "run", steps=2, lr=0.5)
    for changed, found in (
        (["--lr", "0.1"], "--lr is 0.1 now, but the run in"),  # the default is a change too
        (["--views", "2"], "--views is 2 now"),
        (["--images", str(tmp_path)], "--images is"),
    ):
        said = parts(told(["distill", "--out", str(tmp_path / "run"), "--resume", *changed], capsys))
        assert found in said[0]
        assert "leave the option out" in said[2]
    with pytest.raises(OptionError, match="--epochs is 9 now"):
        limbeck.distill(out=tmp_path / "run", resume=True, epochs=9)


def test_a_finished_run_is_finished(photos: Path, teacher: Path, tmp_path: Path) -> None:
    run(photos, teacher, tmp_path / "run", steps=2)
    before = weights(tmp_path / "run")
    limbeck.distill(out=tmp_path / "run", resume=True, workers=2, save_every=7)
    assert weights(tmp_path / "run") == before
    assert len(records(tmp_path / "run")) == 2


def test_a_tracker_that_is_not_installed(
    photos: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("limbeck.runs.devices.find_spec", lambda name: None)
    said = parts(told(line(options(photos, teacher, tmp_path / "run", track=("mlflow",))), capsys))
    assert said == ("--track mlflow: it is not installed", "mlflow", "pip install mlflow")


def test_a_module_must_be_given_again(photos: Path, teacher: Path, tmp_path: Path) -> None:
    module = limbeck.load(teacher).model
    run(photos, module, tmp_path / "run", steps=1, teacher_size=32)
    with pytest.raises(OptionError, match="a module from Python"):
        limbeck.distill(out=tmp_path / "run", resume=True)
    limbeck.distill(teacher=module, out=tmp_path / "run", resume=True)


def test_numbers_that_are_not_finite(
    photos: Path, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = options(photos, teacher, tmp_path / "run", lr=1e22, epochs=40, save_every=1, warmup_epochs=0.0)
    found, expected, hint = parts(told(line(given), capsys))
    step = len(records(tmp_path / "run")) + 1
    assert found.startswith(f"step {step}: js")
    assert str(photos) in found
    assert "the last saved state is good" in expected
    assert "--lr" in hint
    assert read_progress(tmp_path / "run").done == step - 1
    listed = (tmp_path / "run" / "nonfinite-0.txt").read_text().split()
    assert len(listed) == 16
    assert all(Path(name).is_file() for name in listed)


def test_files_that_vanish_give_their_places_to_others(
    teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The photos go when three steps are done, in the same process: the reader knows nothing of it."""
    outs: dict[str, list[dict[str, Any]]] = {}
    for name in ("whole", "cut"):
        photos = draw(tmp_path / "photos", 12)
        given = options(photos, teacher, tmp_path / name, batch=8, save_every=1, epochs=3, views=2)
        vanishing(monkeypatch, photos, at=3, stop=5 if name == "cut" else 0)
        if name == "cut":
            with pytest.raises(Stop):
                limbeck.distill(**given)
            monkeypatch.undo()
            assert read_progress(tmp_path / "cut").replaced
            limbeck.distill(out=tmp_path / "cut", resume=True)
        else:
            limbeck.distill(**given)
        monkeypatch.undo()
        outs[name] = records(tmp_path / name)
    replaced = read_progress(tmp_path / "whole").replaced
    assert len(outs["whole"]) == len(outs["cut"]) == 18
    assert replaced
    assert read_progress(tmp_path / "cut").replaced == replaced
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")
    assert f"{len(replaced)} photos could not be read any more" in capsys.readouterr().out


class Stop(Exception):
    pass


def vanishing(monkeypatch: pytest.MonkeyPatch, photos: Path, *, at: int, stop: int) -> None:
    """Once `at` steps are saved, one photo is gone and one is no photo any more; after `stop` the run is cut off."""
    from limbeck.training import loop

    save = loop.save_state

    def saved(run: Path, step: Any, optimizer: Any, average: Any, progress: Any) -> None:
        save(run, step, optimizer, average, progress)
        if progress.done == at:
            (photos / "disc_1.jpg").unlink()
            (photos / "rows_2.jpg").write_text("no photo")
        if progress.done == stop:
            raise Stop

    monkeypatch.setattr(loop, "save_state", saved)


def test_a_full_disk_is_told_and_gone_on_from(
    photos: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    run(photos, teacher, tmp_path / "whole", epochs=1, save_every=1)
    real, states = os.fsync, 0

    def full(handle: int) -> None:
        nonlocal states
        name = Path(f"/proc/self/fd/{handle}").readlink().name if Path("/proc/self/fd").exists() else ""
        states += name.startswith(".state.safetensors")
        if states > 3:
            raise OSError(28, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LimbeckError, match=r"no space left to write .*state.safetensors\n.*\n.*--resume"):
        run(photos, teacher, tmp_path / "full", epochs=1, save_every=1)
    monkeypatch.undo()
    assert read_progress(tmp_path / "full").done == 3
    assert [path.name for path in state_file(tmp_path / "full").parent.glob("*.tmp")] == []
    limbeck.distill(out=tmp_path / "full", resume=True)
    assert weights(tmp_path / "full") == weights(tmp_path / "whole")


def test_an_interrupted_start_is_no_run(photos: Path, teacher: Path, tmp_path: Path) -> None:
    """What a teacher that cannot be loaded leaves behind does not stand in the way of the next try."""
    with pytest.raises(LimbeckError):
        run(photos, teacher, tmp_path / "run", views=2, student_weights="none.pth")
    run(photos, teacher, tmp_path / "run", views=2, steps=1)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["views"] == 2


def test_out_of_memory_halves_and_keeps_the_batch(
    photos: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shared: dict[str, Any] = {"student": "test_vit", "steps": 6}
    whole = run(photos, teacher, tmp_path / "whole", **shared).model.state_dict()
    kind = type(timm.create_model("test_vit"))
    forward, tries = kind.forward, []

    def small(self: Any, images: torch.Tensor) -> torch.Tensor:
        if self.training and len(images) > 4:
            tries.append(len(images))
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        answer: torch.Tensor = forward(self, images)
        return answer

    monkeypatch.setattr(kind, "forward", small)
    halved = run(photos, teacher, tmp_path / "halved", **shared).model.state_dict()
    assert tries == [16, 8], "the size that fits is kept"
    for name, value in whole.items():
        torch.testing.assert_close(halved[name], value, rtol=1e-5, atol=1e-6)
    for one, other in zip(records(tmp_path / "whole"), records(tmp_path / "halved"), strict=True):
        assert other["loss"] == pytest.approx(one["loss"], rel=1e-5)
    said = capsys.readouterr().out
    assert "8 images at a time instead of 16" in said
    assert "Batch norm now" in said
    assert read_progress(tmp_path / "halved").parts == 4


def test_a_loss_error_is_an_error_of_the_user() -> None:
    assert issubclass(NonFiniteLoss, LimbeckError)
