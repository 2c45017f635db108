"""limbeck doctor, as it is typed"""

import errno
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

import limbeck
from limbeck import files
from limbeck.checkup import survey
from limbeck.cli import main
from limbeck.errors import ImagesError, OptionError
from limbeck.images.imageset import ImageSet
from tests.checkup.sets import class_folders, coco, masks, photo, voc, voc_xml

Digests = dict[Path, tuple[int, bytes]]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Commands are typed beside the data."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def doctor(*words: str) -> int:
    """The exit status."""
    try:
        main(["doctor", *words, "--workers", "0"])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_a_sound_set(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class_folders(elsewhere / "set")
    assert doctor("set", "--no-near") == 0
    told = capsys.readouterr().out
    assert "set: class folders: 2 classes\n22 images: 20 train, 2 val\n" in told
    assert "nothing is wrong; edited copies were not looked for (--no-near)\n" in told
    assert "the pictures: doctor/doctor.html" in told
    found = json.loads((elsewhere / "doctor" / "doctor.json").read_text())
    assert (found["breaks_training"], found["findings"], found["splits"]) == (False, [], {"train": 20, "val": 2})


def test_what_would_break_training_is_an_exit_status_of_1(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = voc(elsewhere / "set")
    for number in 3, 5, 7:
        (root / "Annotations" / f"{number}.xml").write_text(voc_xml(number, "dog", (20, 20, 20, 30)))
    shutil.copy(root / "JPEGImages" / "1.jpg", root / "JPEGImages" / "0.jpg")
    assert doctor("set", "--no-near", "--out", "told") == 1
    lines = capsys.readouterr().out.splitlines()
    at = lines.index("error   3 boxes have no extent")
    assert lines[at + 1 : at + 6] == [
        "          set/Annotations/3.xml: dog corners 20,20,20,30 (object 1)",
        "          set/Annotations/5.xml: dog corners 20,20,20,30 (object 1)",
        "          and 1 more",
        "        Training stops on them (torchvision), or a loss divides by zero.",
        "        do: draw them anew, or take them out",
    ]
    assert at < lines.index("warning 1 photo is a copy of another, byte for byte")
    assert "1 error, 1 warning; edited copies were not looked for (--no-near)" in lines
    found = json.loads((elsewhere / "told" / "doctor.json").read_text())
    assert found["breaks_training"] is True
    assert found["findings"][0]["places"][0] == {
        "where": "set/Annotations/3.xml",
        "what": "dog corners 20,20,20,30 (object 1)",
        "images": ["set/JPEGImages/3.jpg"],
    }


def test_nothing_of_the_user_is_touched(elsewhere: Path) -> None:
    root = coco(elsewhere / "set")
    (root / "images" / "0.jpg").write_bytes(b"")

    def state() -> Digests:
        return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in root.rglob("*") if path.is_file()}

    before = state()
    doctor("set", "--no-near", "--write-manifest", "clean.arrow")
    assert state() == before


@pytest.mark.parametrize("words", [("--out", "set/doctor"), ("--write-manifest", "set/clean.arrow")])
def test_the_data_is_no_place_for_what_is_written(
    words: tuple[str, str], elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class_folders(elsewhere / "set")
    assert doctor("set", *words) == 2
    told = capsys.readouterr().err
    assert f"{words[0]} {words[1]} lies inside set, which is never written to" in told
    assert not (elsewhere / words[1]).exists()


def test_a_manifest_is_not_written_over_itself(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class_folders(elsewhere / "set")
    doctor("set", "--no-near", "--write-manifest", "clean.arrow")
    before = (elsewhere / "clean.arrow").stat()
    assert doctor("clean.arrow", "--no-near", "--write-manifest", "clean.arrow") == 2
    told = capsys.readouterr().err
    assert "--write-manifest clean.arrow is clean.arrow, which is never written to" in told
    assert "clean-clean.arrow" in told
    assert (elsewhere / "clean.arrow").stat() == before


def test_a_file_is_no_folder_for_what_is_written(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class_folders(elsewhere / "set")
    (elsewhere / "notes").write_text("mine")
    assert doctor("set", "--no-near", "--out", "notes") == 2
    assert "--out notes is a file" in capsys.readouterr().err


def test_the_folder_one_stands_in(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(class_folders(elsewhere / "set"))
    with pytest.raises(OptionError) as told:
        limbeck.doctor(".")
    assert told.value.hint == f"--out {elsewhere / 'doctor'}"


def test_a_manifest_of_the_sound_images(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = class_folders(elsewhere / "set")
    held = photo(elsewhere / "held" / "a.jpg", 4).parent
    shutil.copy(root / "train" / "cat" / "0.jpg", root / "train" / "cat" / "again.jpg")
    shutil.copy(root / "train" / "dog" / "1.jpg", root / "val" / "dog" / "leak.jpg")
    (root / "train" / "cat" / "empty.jpg").write_bytes(b"")
    Image.new("RGB", (80, 64)).save(root / "train" / "dog" / "blank.png")
    assert doctor("set", "--no-near", "--against", str(held), "--write-manifest", "clean.arrow") == 1
    told = capsys.readouterr().out
    assert "clean.arrow: 18 images; left out: 3 of val or test, 2 exact leaks, " in told
    images = ImageSet.open("clean.arrow", workers=0, shown=False)
    names = {Path(images.path(row)).name for row in range(len(images))}
    assert names == {f"{number}.jpg" for number in range(20)} - {"1.jpg", "4.jpg"}
    assert "next: limbeck distill --images clean.arrow --teacher TEACHER --student STUDENT --out run" in told


def test_masks_are_no_photos_to_train_on(elsewhere: Path) -> None:
    masks(elsewhere / "set")
    assert doctor("set", "--no-near", "--write-manifest", "clean.arrow") == 0
    images = ImageSet.open("clean.arrow", workers=0, shown=False)
    assert {images.folder(row) for row in range(len(images))} == {"images"}


def test_distill_takes_the_manifest(elsewhere: Path) -> None:
    class_folders(elsewhere / "set")
    doctor("set", "--no-near", "--write-manifest", "clean.arrow")
    words = [
        "--images",
        "clean.arrow",
        "--loss",
        "cross-entropy",
        "--student",
        "test_resnet",
        "--out",
        "run",
        "--epochs",
        "1",
        "--batch",
        "8",
    ]
    main(["distill", *words, "--student-size", "32", "--workers", "0"])
    assert (elsewhere / "run" / "student" / "card.json").exists()


def test_everything_left_out_is_told(elsewhere: Path) -> None:
    (elsewhere / "set").mkdir()
    for number in range(2):
        Image.new("RGB", (80, 64), (number * 90,) * 3).save(elsewhere / "set" / f"{number}.png")
    with pytest.raises(ImagesError, match="no image is left for a clean manifest: 2 blank images"):
        limbeck.doctor("set", near=False, write_manifest="clean.arrow", workers=0)


@pytest.mark.parametrize("content", [None, b""])
def test_an_empty_or_unreadable_folder(
    content: bytes | None, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (elsewhere / "set").mkdir()
    if content is not None:
        (elsewhere / "set" / "a.jpg").write_bytes(content)
    assert doctor("set") == 2
    told = capsys.readouterr().err
    assert "no usable image in" in told
    assert "limbeck doctor FOLDER_OF_PHOTOS" in told


def test_an_unknown_place_and_no_place(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class_folders(elsewhere / "photos")
    assert doctor("photo") == 2
    assert "photo does not exist" in capsys.readouterr().err


def test_from_python(elsewhere: Path) -> None:
    class_folders(elsewhere / "set")
    diagnosis = limbeck.doctor(elsewhere / "set", near=False, workers=0)
    assert (diagnosis.breaks, list(diagnosis.findings)) == (False, [])
    assert callable(limbeck.doctor)  # no module of that name hides it


def test_an_unknown_option(elsewhere: Path) -> None:
    with pytest.raises(OptionError, match="unknown option 'aginst'") as told:
        limbeck.doctor("set", aginst="held")
    assert told.value.expected == "against"


def test_an_interrupted_look_goes_on(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was seen before the interruption is not looked at again."""
    class_folders(elsewhere / "set")
    monkeypatch.setattr(survey, "_SHARD", 8)
    look = survey.look_at
    looked: list[str] = []

    def interrupted(shard: survey.Shard) -> Path:
        looked.append(str(shard))
        if len(looked) == 2:
            raise KeyboardInterrupt
        return look(shard)

    monkeypatch.setattr(survey, "look_at", interrupted)
    with pytest.raises(KeyboardInterrupt):
        limbeck.doctor("set", near=False, workers=0)
    limbeck.doctor("set", near=False, workers=0)
    assert len(looked) == 4
    assert len(set(looked)) == 3


def test_ctrl_c_is_told_with_how_to_go_on(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(shard: survey.Shard) -> Path:
        raise KeyboardInterrupt

    class_folders(elsewhere / "set")
    monkeypatch.setattr(survey, "look_at", interrupted)
    assert doctor("set", "--no-near") == 130
    assert "the same command again: it goes on" in capsys.readouterr().err


def test_a_manifest_is_known_by_its_name(elsewhere: Path) -> None:
    class_folders(elsewhere / "set")
    with pytest.raises(OptionError) as told:
        limbeck.doctor("set", write_manifest="clean")
    assert told.value.hint == "--write-manifest clean.arrow"


def test_a_full_disk_is_told(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(path: Path) -> None:
        if ".doctor.html." in path.name:
            raise OSError(errno.ENOSPC, "No space left on device")

    class_folders(elsewhere / "set")
    monkeypatch.setattr(files, "_sync", full)
    assert doctor("set", "--no-near") == 2
    assert "no space left to write doctor/doctor.html" in capsys.readouterr().err
    assert not (elsewhere / "doctor" / "doctor.html").exists()
