"""Whatever trains through the one loop, cut off: by kill -9, by Ctrl-C, by a full disk. What is resumed ends with the
same bits."""

import contextlib
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from limbeck.training.state import read_progress, state_file
from tests.commands.tiny import command, finished, records
from tests.commands.verbs import STEPS, Verb, weights

# fifteen kills, at steps drawn once; the instant within the step is drawn by the clock
CUTS = [
    *(
        ("distill", {"views": views, "workers": workers}, count)
        for views, workers, count in ((0, 0, 3), (0, 2, 2), (2, 0, 2), (2, 2, 3))
    ),
    ("train", {"workers": 0}, 3),
    ("train", {"workers": 2}, 2),
]


# a twentieth of a second more a step: time enough for what a test does meanwhile
SLOWLY = """
import time
from limbeck.training import loop
forward_backward = loop.forward_backward
def slowly(*given, **named):
    time.sleep(0.05)
    return forward_backward(*given, **named)
loop.forward_backward = slowly
"""


def reached(process: subprocess.Popen[str], out: Path, step: int) -> bool:
    """Wait until a run has done some steps; False when it ended before."""
    deadline = time.monotonic() + 300
    while process.poll() is None:
        assert time.monotonic() < deadline, "the run does not get on"
        if (out / "metrics.jsonl").exists() and (out / "metrics.jsonl").read_text().count('"loss"') >= step:
            return True
        time.sleep(0.002)
    return False


def killed(words: list[str], out: Path, step: int) -> None:
    process = command(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert reached(process, out, step), "it ended before it was killed"
    time.sleep(random.random() * 0.05)
    process.kill()
    assert process.wait() == -signal.SIGKILL


def test_killed_and_resumed_is_never_killed(verb: Verb, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    verb.call(**verb.job(tmp_path / "whole"))
    killed(verb.line(verb.job(tmp_path / "cut")), tmp_path / "cut", 9)
    done = read_progress(tmp_path / "cut").done
    assert done >= 8
    verb.go_on(tmp_path / "cut")
    assert f"going on after step {done}" in capsys.readouterr().out
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")
    assert [each["step"] for each in records(tmp_path / "cut")] == list(range(1, STEPS + 1))


@pytest.mark.slow
@pytest.mark.parametrize(("verb", "configuration", "count"), CUTS, indirect=["verb"])
def test_kills_at_drawn_instants(verb: Verb, configuration: dict[str, int], count: int, tmp_path: Path) -> None:
    verb.call(**verb.job(tmp_path / "whole", **configuration))
    words = verb.line(verb.job(tmp_path / "cut", **configuration))
    for step in sorted(random.Random(f"{verb.name} {configuration}").sample(range(1, STEPS - 3), count)):
        killed(words, tmp_path / "cut", step)
        words = verb.resume(tmp_path / "cut")
    finished(command(words))
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")
    steps = [(each["step"], each["loss"]) for each in records(tmp_path / "cut")]
    assert steps == [(each["step"], each["loss"]) for each in records(tmp_path / "whole")]


# the process dies on the way into, or out of, the second rename to a name that holds the word
AT_A_RENAME = """
import os, pathlib
replace, times = os.replace, 0
def deadly(source, target, *rest, **named):
    global times
    if {word!r} in str(target):
        times += 1
        if times == {which}:
            {after} and replace(source, target, *rest, **named)
            os.kill(os.getpid(), 9)
    return replace(source, target, *rest, **named)
os.replace = deadly
pathlib.Path.replace = lambda self, target: deadly(self, target)
"""


RENAMES = [
    ("state.safetensors", 3, False),
    ("state.safetensors", 3, True),
    ("manifests", 1, False),
    ("last/manifest.arrow", 1, False),
    ("model.safetensors", 2, False),
    ("config.json", 1, True),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("verb", "word", "which", "after"),
    [
        *(("distill", *rename) for rename in [*RENAMES, (".labels", 2, False), (".labels", 3, True)]),
        *(("train", *rename) for rename in [*RENAMES, ("manifest.safetensors", 1, False)]),
    ],
    indirect=["verb"],
)
def test_killed_inside_a_rename(verb: Verb, word: str, which: int, after: bool, tmp_path: Path, whole: Path) -> None:
    given = verb.job(tmp_path / "cut", cache=str(tmp_path / "cache"))
    before = AT_A_RENAME.format(word=word, which=which, after=after)
    finished(command(verb.line(given), before=before), expect=-signal.SIGKILL)
    begun = (tmp_path / "cut" / "config.json").exists()
    assert begun == (word != "manifests")
    if begun:
        verb.go_on(tmp_path / "cut")
    else:
        verb.call(**given)
    assert weights(tmp_path / "cut") == weights(whole)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, verb: Verb) -> Path:
    """A run that nobody stopped."""
    out = tmp_path_factory.mktemp("whole") / "run"
    verb.call(**verb.job(out))
    return out


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_ctrl_c_saves_and_says_how_to_go_on(workers: int, verb: Verb, tmp_path: Path, whole: Path) -> None:
    words = verb.line(verb.job(tmp_path / "cut", workers=workers) | {"save_every": 100})
    process = command(words, before=SLOWLY, start_new_session=True)
    assert reached(process, tmp_path / "cut", 8)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the workers get it too
    said = finished(process, expect=130)
    done = read_progress(tmp_path / "cut").done
    assert done >= 8
    assert f"stopped after step {done} of {STEPS}; everything is saved" in said
    assert f"try:      limbeck {verb.name} --out {tmp_path / 'cut'} --resume" in said
    assert "Traceback" not in said
    verb.go_on(tmp_path / "cut")
    assert weights(tmp_path / "cut") == weights(whole)


@pytest.mark.slow
def test_workers_end_with_the_run(verb: Verb, tmp_path: Path) -> None:
    psutil = pytest.importorskip("psutil")
    out = tmp_path / "cut"
    process = command(verb.line(verb.job(out, workers=2)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert reached(process, out, 4)
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) >= 3, "the fork server and two workers"
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(family, timeout=20)
    assert alive == []


def fill(ballast: Path) -> None:
    """Take all the space that is left."""
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


@pytest.mark.slow
def test_a_disk_that_is_really_full(verb: Verb, tmp_path: Path, whole: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        out = disk / "run"
        process = command(verb.line(verb.job(out) | {"save_every": 2}), before=SLOWLY)
        assert reached(process, out, 5)
        process.send_signal(signal.SIGSTOP)
        done = read_progress(out).done
        assert done >= 2
        ballast = disk / "ballast"
        fill(ballast)
        process.send_signal(signal.SIGCONT)
        said = finished(process, expect=2)
        assert "no space left" in said
        assert "--resume" in said
        assert "Traceback" not in said
        assert read_progress(out).done >= done
        assert list(state_file(out).parent.glob("*.tmp")) == []
        ballast.unlink()
        verb.go_on(out)
        assert weights(out) == weights(whole)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_photos_that_vanish_while_it_runs(workers: int, verb: Verb, tmp_path: Path) -> None:
    own, out = verb.elsewhere(tmp_path / "photos"), tmp_path / "run"
    process = command(own.line(own.job(out, workers=workers, epochs=8)), before=SLOWLY)
    assert reached(process, out, 5)
    *gone, torn = own.files[::4]
    for photo in gone:
        photo.unlink()
    torn.write_text("no photo")
    assert reached(process, out, 25)
    process.kill()
    process.communicate()
    kept = read_progress(out).replaced
    assert kept
    said = finished(command(own.resume(out)))
    replaced = read_progress(out).replaced
    assert kept.items() <= replaced.items()
    assert len(records(out)) == 8 * 6
    assert f"{len(replaced)} photos could not be read any more" in said


@pytest.mark.slow
def test_a_second_run_in_the_same_folder_is_refused(verb: Verb, tmp_path: Path, whole: Path) -> None:
    out = tmp_path / "run"
    words = verb.line(verb.job(out))
    first = command(words, before=SLOWLY)
    assert reached(first, out, 3)
    first.send_signal(signal.SIGSTOP)
    for again in (words, verb.resume(out)):
        said = finished(command(again), expect=2)
        assert f"another process (pid {first.pid}) is running in {out}" in said
        assert f"limbeck {verb.name} --out {out} --resume" in said
    first.send_signal(signal.SIGCONT)
    finished(first)
    assert weights(out) == weights(whole)
    assert not (out / "lock").exists()
