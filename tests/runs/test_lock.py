"""One process in a run folder, and a lock that no killed process leaves behind."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from limbeck.errors import OptionError, RunError
from limbeck.runs.lock import LOCK, only_here, refuse_if_running

HOLD = """
import sys, time
from pathlib import Path
from limbeck.runs.lock import only_here

with only_here(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "run"


def test_a_second_process_is_told_of_the_first_until_that_is_killed(run: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, run], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        for enter in (lambda: refuse_if_running(run), lambda: only_here(run).__enter__()):
            with pytest.raises(RunError) as caught:
                enter()
            assert caught.value.found == f"another process (pid {other.pid}) is running in {run}"
            assert f"kill -INT {other.pid}; then limbeck distill --out {run} --resume" in caught.value.hint
        os.kill(other.pid, signal.SIGKILL)
    assert (run / LOCK).exists(), "its file is still there, its lock is not"
    refuse_if_running(run)
    with only_here(run):
        assert (run / LOCK).read_text().startswith(f"{os.getpid()} ")


def test_what_was_made_for_nothing_is_taken_away(run: Path) -> None:
    refuse_if_running(run)
    assert not run.exists()
    with only_here(run):
        pass
    assert not run.exists()
    run.mkdir(parents=True)
    with only_here(run):
        (run / "kept").touch()
    assert [path.name for path in run.iterdir()] == ["kept"]


def test_an_empty_folder_of_the_user_stays(run: Path) -> None:
    run.mkdir(parents=True)
    with only_here(run):
        pass
    assert list(run.iterdir()) == []


def test_a_file_system_without_locks_is_no_hindrance(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(handle: int, kind: int) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", none)
    with only_here(run):
        refuse_if_running(run)


def test_a_holder_on_another_machine_is_named(run: Path) -> None:
    with only_here(run):
        (run / LOCK).write_text("77 elsewhere")
        with pytest.raises(RunError, match=r"\(pid 77 on elsewhere\)"):
            refuse_if_running(run)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OptionError, match=r"cannot be written: Not a directory"), only_here(tmp_path / "file" / "run"):
        pass
