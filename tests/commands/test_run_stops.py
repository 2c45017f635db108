"""Whatever trains through the one loop, stopped twice, and stopped or killed as one of several processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from limbeck.training.state import read_progress
from tests.commands.test_run_kills import SLOWLY, reached
from tests.commands.test_run_ranks import TORCHRUN
from tests.commands.tiny import command, finished, records
from tests.commands.verbs import STEPS, Verb, weights

# a save takes long enough to press Ctrl-C again
SLOW_SAVES = f"""{SLOWLY}
from limbeck.training import state
write = state.write_atomically
def slowly_written(path, content):
    def late(stream):
        stream.write(content[:1000]); stream.flush()
        (path.parent / "saving").touch()
        time.sleep(4)
        stream.write(content[1000:])
    write(path, late)
state.write_atomically = slowly_written
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, verb: Verb) -> Path:
    """A run that nobody stopped."""
    out = tmp_path_factory.mktemp("whole") / "run"
    verb.call(**verb.job(out))
    return out


@pytest.mark.slow
def test_ctrl_c_again_while_it_saves(verb: Verb, tmp_path: Path, whole: Path) -> None:
    out = tmp_path / "cut"
    process = command(verb.line(verb.job(out) | {"save_every": 100}), before=SLOW_SAVES)
    assert reached(process, out, 2)
    process.send_signal(signal.SIGINT)
    while not (out / "last" / "saving").exists():
        assert process.poll() is None
        time.sleep(0.01)
    time.sleep(2.2)  # sooner it would be the same Ctrl-C
    process.send_signal(signal.SIGINT)
    said = finished(process, expect=130)
    assert "stopped at once; no step is saved yet" in said
    assert f"try:      limbeck {verb.name} --out {out} --resume" in said
    assert "Traceback" not in said
    (out / "last" / "saving").unlink()
    assert [path.name for path in (out / "last").glob("*state*")] == []
    assert not (out / "lock").exists()
    verb.go_on(out)
    assert weights(out) == weights(whole)


@pytest.mark.slow
def test_ctrl_c_many_times(verb: Verb, tmp_path: Path, whole: Path) -> None:
    out = tmp_path / "cut"
    process = command(verb.line(verb.job(out, workers=2) | {"save_every": 100}), before=SLOWLY)
    assert reached(process, out, 6)
    for _ in range(10):
        process.send_signal(signal.SIGINT)
        time.sleep(0.02)
    said = finished(process, expect=130)
    assert f"stopped after step {read_progress(out).done} of {STEPS}; everything is saved" in said
    assert f"try:      limbeck {verb.name} --out {out} --resume" in said
    assert "Traceback" not in said
    verb.go_on(out)
    assert weights(out) == weights(whole)


@pytest.mark.slow
def test_ctrl_c_before_the_first_step(verb: Verb, tmp_path: Path) -> None:
    slow = (
        f"import time\nimport limbeck.commands.{verb.name} as module\n"
        "module.prepare = lambda *given: (print('now', flush=True), time.sleep(60))\n"
    )
    process = command(verb.line(verb.job(tmp_path / "cut")), before=slow)
    assert process.stdout is not None
    while process.stdout.readline() != "now\n":
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    said = finished(process, expect=130)
    assert "stopped before the run began" in said
    assert "the same command again" in said
    assert "Traceback" not in said
    assert not (tmp_path / "cut").exists()


def together(words: list[str], root: Path) -> subprocess.Popen[str]:
    """`limbeck WORDS` in two slow processes, in a process group of their own."""
    script = root / "slowly.py"
    script.write_text(f"{SLOWLY}\nfrom limbeck.cli import main\nmain()\n")
    return subprocess.Popen(
        [sys.executable, *TORCHRUN, str(script), *words],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def processes(launcher: subprocess.Popen[str]) -> dict[int, Any]:
    """The processes of a run by their rank."""
    psutil = pytest.importorskip("psutil")
    return {int(child.environ()["RANK"]): child for child in psutil.Process(launcher.pid).children()}


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, verb: Verb) -> Path:
    root = tmp_path_factory.mktemp("two")
    finished(together(verb.line(verb.job(root / "run")), root))
    return root / "run"


@pytest.mark.slow
@pytest.mark.parametrize("whom", ["the group", "the launcher", "the processes"])
def test_ctrl_c_stops_two_processes_after_the_same_step(whom: str, verb: Verb, tmp_path: Path, two: Path) -> None:
    out = tmp_path / "cut"
    launcher = together(verb.line(verb.job(out) | {"save_every": 100}), tmp_path)
    assert reached(launcher, out, 6)
    both = processes(launcher)
    assert set(both) == {0, 1}
    if whom != "the processes":
        (os.killpg if whom == "the group" else os.kill)(launcher.pid, signal.SIGINT)
    if whom != "the launcher":
        for process in both.values():
            process.send_signal(signal.SIGINT)
    said = "".join(launcher.communicate(timeout=120))
    assert launcher.returncode != 0
    done = read_progress(out).done
    assert 6 <= done < STEPS
    assert said.count(f"stopped after step {done} of {STEPS}; everything is saved") == 1, said
    assert f"limbeck {verb.name} --out {out} --resume" in said
    finished(together(verb.resume(out), tmp_path))
    assert weights(out) == weights(two)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_the_others_and_the_run_goes_on(rank: int, verb: Verb, tmp_path: Path, two: Path) -> None:
    out = tmp_path / "cut"
    launcher = together(verb.line(verb.job(out)), tmp_path)
    assert reached(launcher, out, 6)
    both = processes(launcher)
    both[rank].kill()
    both[1 - rank].wait(timeout=30)
    said = "".join(launcher.communicate(timeout=60))
    assert "this process lost the others of its run" in said
    assert "the same launcher, with --out RUN --resume" in said
    assert "limbeck/training" not in said, "a traceback"
    assert read_progress(out).done >= 4
    finished(together(verb.resume(out), tmp_path))
    assert weights(out) == weights(two)
    assert [each["step"] for each in records(out)] == list(range(1, STEPS + 1))
