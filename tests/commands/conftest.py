"""What the runs of the command tests share, made once."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from limbeck.commands import finish, report
from tests.commands.tiny import draw, run


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
