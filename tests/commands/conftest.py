"""What the runs of the command tests share, made once."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageOps

from limbeck.commands import finish, report
from limbeck.detection import DETECTORS
from limbeck.scenes.dataset import draw_boxes_dataset
from limbeck.scenes.scene import draw_scene
from tests.commands import verbs
from tests.commands.tiny import draw, run
from tests.commands.verbs import Verb


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """As the processes that tests start: the bits of a run depend on the number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def quick_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run ends with is looked at once, in the run of test_distill.py that is whole."""
    monkeypatch.setattr(finish, "_TIMED_SECONDS", 0.0)
    monkeypatch.setattr(report, "write_report", lambda run, page: run / "report.html")


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ninety-six photos without labels."""
    return draw(tmp_path_factory.mktemp("tiny") / "photos", 24, seed=1)


@pytest.fixture(scope="session")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("tiny") / "labelled", 24, folders=True)


@pytest.fixture(scope="session")
def teacher(tmp_path_factory: pytest.TempPathFactory, labelled: Path, one_thread: None) -> Path:
    """A run that learned the four patterns from class folders."""
    root = tmp_path_factory.mktemp("tiny")
    run(
        labelled,
        "",
        root / "teacher",
        loss="cross-entropy",
        epochs=12,
        lr=1.6,
        save_every=99,
        cache=str(root / "cache"),
    )
    return root / "teacher"


@pytest.fixture(scope="session")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A messy folder: 80 photos of four patterns, three drawn scenes, an exact copy, an unreadable file."""
    root = draw(tmp_path_factory.mktemp("select") / "gallery", 20, seed=5)
    for number in range(3):
        Image.fromarray(draw_scene(number, size=200).image).save(root / f"scene_{number}.png")
    shutil.copy(root / "disc_3.jpg", root / "z_copy.jpg")
    (root / "broken.jpg").write_bytes((root / "disc_4.jpg").read_bytes()[:300])
    return root


@pytest.fixture(scope="session")
def excluded(tmp_path_factory: pytest.TempPathFactory, gallery: Path) -> Path:
    """A photo of the gallery, and a part of another, mirrored."""
    root = tmp_path_factory.mktemp("select") / "val"
    root.mkdir()
    shutil.copy(gallery / "bars_7.jpg", root / "a.jpg")
    with Image.open(gallery / "scene_1.png") as photo:
        ImageOps.mirror(photo.crop((15, 5, 190, 185))).save(root / "b.jpg", quality=70)
    return root


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-four drawn scenes with boxes."""
    folder = tmp_path_factory.mktemp("detect") / "scenes"
    draw_boxes_dataset(folder, 24, seed=3, size=64, workers=1, shown=False)
    return folder


@pytest.fixture(scope="session", params=["distill", "train"])
def verb(request: pytest.FixtureRequest) -> Verb:
    """The verbs that go through the one loop."""
    if request.param == "train":
        return verbs.train(request.getfixturevalue("scenes"))
    return verbs.distill(request.getfixturevalue("photos"), request.getfixturevalue("teacher"))


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that it takes to add a detector."""
    monkeypatch.setitem(DETECTORS, "toy", "tests.detection.toy_detector:TOY")
