"""limbeck evaluate"""

from pathlib import Path

import pytest
import torch

from limbeck import cli
from limbeck.checkpoints.loaded import Prediction, load
from limbeck.commands.evaluate import Evaluate, evaluate, run
from limbeck.errors import ImagesError, OptionError
from tests.commands.runs import COLOURS, draw_photos, make_run


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    make_run(runs / "teacher", seed=1)
    return make_run(runs / "run", teacher=str(runs / "teacher"), images=["photos"])


def test_class_folders_give_top1(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = draw_photos(tmp_path / "photos", each=6)
    (photos / "red" / "broken.jpg").write_text("no photo")
    numbers = evaluate(trained, photos, workers=0, batch=4)
    assert numbers == {"images": 18, "skipped": 1, "top1": 1.0, "top5": 1.0}
    assert capsys.readouterr().out.splitlines()[-1] == f"next: limbeck predict {trained} PHOTO..."


def test_top1_follows_the_names(tmp_path: Path) -> None:
    swapped = make_run(tmp_path / "run", ("green", "red", "blue"))
    numbers = evaluate(swapped, draw_photos(tmp_path / "photos"), workers=0)
    assert numbers["top1"] == pytest.approx(1 / 3)


def test_without_labels_it_agrees_with_the_teacher_of_the_run(trained: Path, tmp_path: Path) -> None:
    photos = draw_photos(tmp_path / "photos", folders=False)
    numbers = evaluate(trained, photos, workers=0, batch=5)
    views = sorted(photos.iterdir())
    mine, its = (load(path).predict(views, top=3) for path in (trained, trained.parent / "teacher"))
    same = [a.classes[0] == b.classes[0] for a, b in zip(mine, its, strict=True)]
    assert numbers["agreement"] == sum(same) / len(same)
    assert "top1" not in numbers

    def shares(prediction: Prediction) -> torch.Tensor:
        named = dict(zip(prediction.classes, prediction.probabilities, strict=True))
        return torch.tensor([named[colour] for colour in COLOURS], dtype=torch.float64)

    distance = 0.0
    for a, b in zip(mine, its, strict=True):
        p, q = shares(a), shares(b)
        m = (p + q) / 2
        distance += float((p * (p / m).log() + q * (q / m).log()).sum() / 2)
    assert numbers["js"] == pytest.approx(distance / len(views), rel=1e-3, abs=1e-7)


def test_a_named_teacher_is_asked_beside_the_labels(trained: Path, tmp_path: Path) -> None:
    teacher = str(trained.parent / "teacher")
    options = Evaluate(str(trained), (str(draw_photos(tmp_path / "photos")),), workers=0, teacher=teacher)
    assert run(options).keys() == {"images", "skipped", "top1", "top5", "agreement", "js"}


def test_some_folders_without_a_class_are_listed(trained: Path, tmp_path: Path) -> None:
    photos = draw_photos(tmp_path / "photos")
    (photos / "blue").rename(photos / "blu")
    with pytest.raises(ImagesError, match="1 of 3 folders") as error:
        evaluate(trained, photos, workers=0)
    assert "blu" in str(error.value)


def test_class_folders_of_other_classes_are_told(trained: Path, tmp_path: Path) -> None:
    photos = draw_photos(tmp_path / "photos")
    for colour in COLOURS:
        (photos / colour).rename(photos / f"{colour[:2]}_photos")
    with pytest.raises(ImagesError, match=r"3 of 3 folders .*: bl_photos, gr_photos, re_photos") as error:
        evaluate(trained, photos, workers=0)
    assert "red, green, blue" in error.value.expected
    assert "rename the folders" in error.value.hint
    assert "--teacher TEACHER" in error.value.hint
    agreed = evaluate(trained, photos, workers=0, teacher=str(trained.parent / "teacher"))
    assert agreed.keys() == {"images", "skipped", "agreement", "js"}


def test_neither_labels_nor_teacher_is_told(trained: Path, tmp_path: Path) -> None:
    photos = draw_photos(tmp_path / "photos", folders=False)
    with pytest.raises(OptionError, match="--teacher TEACHER"):
        evaluate(trained.parent / "teacher", photos, workers=0)
    module = make_run(tmp_path / "run", teacher="python:Net")
    with pytest.raises(OptionError, match="a module from Python"):
        evaluate(module, photos, workers=0)


def test_a_teacher_of_other_classes_is_told(trained: Path, tmp_path: Path) -> None:
    other = make_run(tmp_path / "run", ("cyan", "magenta", "yellow"))
    with pytest.raises(OptionError, match="call 3 classes differently"):
        evaluate(trained, draw_photos(tmp_path / "photos", folders=False), workers=0, teacher=str(other))


@pytest.mark.parametrize("where", ["{tmp}/moved_away", "moved_away", "runs/moved_away"])
def test_a_teacher_that_is_not_where_it_was(
    where: str, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    teacher = where.format(tmp=tmp_path)
    run = make_run(tmp_path / "run", teacher=teacher, images=["photos"])
    photos = draw_photos(tmp_path / "photos", folders=False)
    with pytest.raises(OptionError) as error:
        evaluate(run, photos, workers=0)
    assert f"taught by, {teacher}, is not found from {tmp_path}" in error.value.found
    assert error.value.hint == f"limbeck evaluate {run} --images {photos} --teacher WHERE_IT_IS_NOW"
    found = evaluate(run, photos, workers=0, teacher=str(trained.parent / "teacher"))
    assert found.keys() == {"images", "skipped", "agreement", "js"}


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_device_that_is_not_there(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = draw_photos(tmp_path / "photos")
    with pytest.raises(SystemExit) as left:
        cli.main(["evaluate", str(trained), "--images", str(photos), "--device", "cuda"])
    assert left.value.code == 2
    told = capsys.readouterr().err
    assert "device 'cuda': there is none on this machine" in told
    assert "--device auto" in told
