"""limbeck predict"""

import json
import shutil
import tarfile
from pathlib import Path

import pytest

from limbeck import cli
from limbeck.commands.predict import Predict, predict, run
from limbeck.errors import CheckpointError, ImagesError
from tests.commands.runs import COLOURS, draw_photos, make_run


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    photos = draw_photos(tmp_path / "photos", each=12, folders=False)
    return sorted(str(file) for file in photos.iterdir())


def test_one_line_a_file_and_the_next_command(
    trained: Path, files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    answers = predict(trained, files, top=2)
    lines = capsys.readouterr().out.splitlines()
    assert [Path(answer.name).name.split("_")[0] for answer in answers] == [answer.classes[0] for answer in answers]
    assert len(lines) == len(files) + 1
    for line, file, answer in zip(lines, files, answers, strict=False):
        assert line.startswith(f"{file}: {answer.classes[0]} {answer.probabilities[0]:.1%}, {answer.classes[1]} ")
    assert lines[-1] == f"next: limbeck evaluate {trained} --images FOLDER"


def test_json_is_all_that_goes_to_the_output(
    trained: Path, files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.jpg").write_text("no photo")
    run(Predict(str(trained), (*files, str(tmp_path / "text.jpg")), json=True, top=3))
    out, err = capsys.readouterr()
    *told, torn = json.loads(out)
    assert [each["file"] for each in told] == files
    assert torn["path"] == str(tmp_path / "text.jpg")
    assert torn["error"]
    assert {answer["class"] for answer in told[0]["answers"]} == set(COLOURS)
    assert sum(answer["probability"] for answer in told[0]["answers"]) == pytest.approx(1, abs=1e-5)
    assert f"skipped {tmp_path / 'text.jpg'}" in err
    assert "next: limbeck" in err


def test_class_and_file_names_are_printed_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd = make_run(tmp_path / "run", ("[red]", ":smile:", "[/b] it's"))
    photos = draw_photos(tmp_path / "[bold] :cat:", each=1, folders=False)
    files = sorted(str(file) for file in photos.iterdir())
    predict(odd, files)
    out = capsys.readouterr().out
    assert f"{files[-1]}: [red] " in out
    assert ":smile:" in out
    assert "[/b] it's" in out


def test_it_fails_only_when_nothing_could_be_read(trained: Path, files: list[str], tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no photo")
    assert len(predict(trained, [tmp_path / "text.jpg", files[0]])) == 1
    with pytest.raises(ImagesError, match="none of the 2 files"):
        predict(trained, [tmp_path / "text.jpg", tmp_path / "none.jpg"])
    with pytest.raises(ImagesError, match="no photos are named"):
        predict(trained, [])


def test_the_exit_status_is_one_when_nothing_could_be_read(
    trained: Path, files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.jpg").write_text("no photo")
    cli.main(["predict", str(trained), str(tmp_path / "none.jpg"), files[0], "--json"])
    capsys.readouterr()
    with pytest.raises(SystemExit) as left:
        cli.main(["predict", str(trained), str(tmp_path / "text.jpg"), str(tmp_path / "none"), "--json"])
    out, err = capsys.readouterr()
    assert left.value.code == 1
    assert {Path(each["path"]).name for each in json.loads(out)} == {"text.jpg", "none"}
    assert "none of the 2 files can be read" in err


def test_everything_that_holds_photos_can_be_named(
    trained: Path, files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    zipped = Path(shutil.make_archive("zipped", "zip", "photos")).name
    with tarfile.open("packed.tar", "w") as tar:
        tar.add("photos/red_0.jpg")
    Path("list.txt").write_text("photos/green_1.jpg\nphotos/none.jpg\nphotos/blue_2.jpg\n")
    named = [Path(file).name for file in files]
    red = [name for name in named if name.startswith("red")]
    answers = predict(
        trained,
        ["photos/re*.jpg", zipped, "list.txt", "packed.tar", f"file://{files[0]}", "no/such", "photos/red_1.jpg"],
    )
    assert [answer.name for answer in answers] == [
        *(f"photos/{name}" for name in red),
        *(f"{zipped}/{name}" for name in named),
        "photos/green_1.jpg",
        "photos/blue_2.jpg",
        "packed.tar/photos/red_0.jpg",
        files[0],
        "photos/red_1.jpg",
    ]
    assert all(Path(answer.name).name.startswith(answer.classes[0]) for answer in answers)


def test_each_name_that_gives_nothing_is_told(
    trained: Path, files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.csv").write_text("a,b")
    lost = [str(tmp_path / name) for name in ("empty", "notes.csv", "phots", "*.png")]
    assert len(predict(trained, [*lost, files[0]])) == 1
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 4
    for name in lost:
        assert any(line.startswith(f"skipped {name}: ") for line in told)
    assert f"skipped {tmp_path / 'phots'}: does not exist; the nearest is {tmp_path / 'photos'}" in told


def test_a_photo_that_is_not_there_is_told_once(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = tmp_path / "none.jpg"
    with pytest.raises(SystemExit):
        run(Predict(str(trained), (str(lost),)))
    said = capsys.readouterr().err
    assert said.startswith(f"error: {lost}: does not exist\n")
    assert said.count("none.jpg") == 1
    assert "ls " not in said


def test_many_photos_are_read_by_workers_and_keep_their_order(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("limbeck.commands.predict._FEW", 20)
    photos = draw_photos(tmp_path / "many", each=20, folders=False)
    assert [answer.name for answer in predict(trained, photos)] == sorted(map(str, photos.iterdir()))


def test_a_folder_stands_for_the_photos_in_it(trained: Path, files: list[str], tmp_path: Path) -> None:
    assert [answer.name for answer in predict(trained, tmp_path / "photos")] == files


def test_a_missing_run_names_the_command_that_makes_it(tmp_path: Path, files: list[str]) -> None:
    with pytest.raises(CheckpointError, match="limbeck distill"):
        predict(tmp_path / "none", files)
