"""Every command of the README and the guides is typed as it stands, with small models and few photos in their place."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from limbeck.cli import main
from limbeck.images.imageset import ImageSet
from limbeck.scenes.dataset import draw_boxes_dataset, draw_dataset
from tests.commands.sure import sure_detector

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "guides").glob("*.md"))]
MAKE = {"make demo", "make test"}  # what continuous integration types itself
QUICK = ["--epochs", "1", "--batch", "16", "--student-size", "32", "--no-check-teacher", "--workers", "0"]
TRAIN = ["--size", "64", "--epochs", "1", "--batch", "8", "--workers", "0", "--device", "cpu"]
SELECT = ["--no-check-teacher", "--workers", "0"]


def commands(page: Path) -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL)
    return [line.split("#")[0].strip() for block in blocks for line in block.splitlines() if line.strip()]


EVERY = [(page, command) for page in PAGES for command in commands(page) if command not in MAKE]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a reader of the guides has it: PHOTOS, VAL, a FOLDER of class folders, a finished run, a SET."""
    root = tmp_path_factory.mktemp("reader")
    draw_dataset(root / "PHOTOS", 48, seed=0, size=48, labelled=False, workers=1, shown=False)
    draw_dataset(root / "FOLDER", 48, seed=1, size=48, labelled=True, workers=1, shown=False)
    draw_dataset(root / "VAL", 6, seed=2, size=48, labelled=False, workers=1, shown=False)
    before = Path.cwd()
    os.chdir(root)
    os.environ["LIMBECK_CACHE"] = str(root / "cache")
    try:
        learn = ["--images", "FOLDER", "--loss", "cross-entropy", "--student", "test_resnet", "--out", "teacher"]
        main(["distill", *learn, *QUICK])
        main(
            [
                "distill",
                "--images",
                "PHOTOS",
                "--teacher",
                "teacher",
                "--student",
                "test_resnet",
                "--out",
                "run",
                *QUICK,
            ]
        )
        draw_boxes_dataset(root / "LABELLED", 48, seed=4, size=64, workers=1, shown=False)
        main(["train", "ssdlite", "--data", "LABELLED", "--backbone", "test_resnet", "--out", "found", *TRAIN])
        for name in ("big", "middle", "small"):
            sure_detector(root / name, Path("LABELLED"), 1.0)
        ImageSet.open("PHOTOS", workers=0, shown=False).save("clean.arrow")
        main(["select", "--gallery", "PHOTOS", "--teacher", "teacher", "--out", "SET", *SELECT])
    finally:
        os.chdir(before)
    return root


def concrete(command: str) -> list[str]:
    """The words of a command, with what is large or far away replaced."""
    small = {"resnet50d": "teacher", "T": "teacher", "mobilenetv3_large_100": "test_resnet"}
    small |= {"S": "test_resnet", "A": "test_resnet", "B": "test_resnet", "PHOTO...": "PHOTOS/000001.jpg"}
    small |= dict.fromkeys(("resnet18", "resnet34", "resnet50"), "test_resnet")
    small |= {"TEST_PHOTOS": "VAL", "TEST": "FOLDER", "chosen": "SET"}
    words = [small.get(word, word) for word in shlex.split(command)]
    if {"distill", "study"} & set(words) and "--help" not in words and "--resume" not in words:
        words += QUICK
    if "train" in words and "--help" not in words and "--resume" not in words:
        words += [*TRAIN, *(() if "--backbone" in words else ("--backbone", "test_resnet"))]
    if "select" in words and "--help" not in words:
        words += SELECT
    return words


def test_there_are_commands() -> None:
    assert len(EVERY) > 10
    assert {"distill", "evaluate", "predict", "models"} <= {word for _, command in EVERY for word in command.split()}


@pytest.mark.parametrize(
    "command", [command for _, command in EVERY if command.startswith("limbeck")], ids=lambda command: command[:60]
)
def test_limbeck_commands(command: str, place: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setenv("LIMBECK_CACHE", str(place / "cache"))
    words = concrete(command)
    if "--out" in words and "--resume" not in words:
        out = words.index("--out") + 1
        words[out] = str(tmp_path / words[out])
    if "--help" in words:
        with pytest.raises(SystemExit, match="0"):
            main(words[1:])
    else:
        main(words[1:])


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", [command for _, command in EVERY if not command.startswith("limbeck")], ids=lambda command: command[:60]
)
def test_launchers(command: str, place: Path, tmp_path: Path) -> None:
    words = [word.replace("4", "2") if word == "4" else word for word in concrete(command)]
    launchers = {
        "torchrun": [sys.executable, "-m", "torch.distributed.run"],
        "accelerate": [sys.executable, "-m", "accelerate.commands.accelerate_cli"],
    }
    words[words.index("--out") + 1] = str(tmp_path / "run")
    environment = os.environ | {"LIMBECK_CACHE": str(place / "cache"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launchers[words[0]], *words[1:]], cwd=place, env=environment, capture_output=True, text=True, timeout=400
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "run" / "report.html").exists()


def test_the_readme_in_python(place: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(place)
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    code = code.replace("resnet50d", "teacher").replace("mobilenetv3_large_100", "test_resnet")
    code = code.replace('out="run"', f'out="{tmp_path}/run", epochs=1, batch=16, student_size=32, workers=0')
    code = code.replace('"photo.jpg"', '"PHOTOS/000001.jpg"')
    if "check_teacher" not in code:
        code = code.replace("workers=0", "workers=0, check_teacher=False")
    found: dict[str, object] = {}
    exec(code.replace("student.predict", "answers = student.predict"), found)
    (answer,) = found["answers"]  # type: ignore[misc]
    assert len(answer.classes) == 5


def test_every_link_leads_somewhere() -> None:
    for page in [*PAGES, *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} -> {target}"


def test_what_the_user_makes_is_the_users() -> None:
    assert "The models you make are yours." in (ROOT / "README.md").read_text()
