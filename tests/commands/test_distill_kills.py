"""limbeck distill, cut off: by kill -9, by Ctrl-C, by a full disk. What is resumed ends with the same bits."""

import contextlib
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

import limbeck
from limbeck.training.state import read_progress, state_file
from tests.commands.tiny import command, draw, finished, line, options, records, run, weights

DROPOUT = '{"drop_rate": 0.3}'
STEPS = 24
CONFIGURATIONS = [{"views": views, "workers": workers} for views in (0, 2) for workers in (0, 2)]
# ten kills, at steps drawn once; the instant within the step is drawn by the clock
KILLS = [sorted(random.Random(number).sample(range(1, STEPS - 3), count)) for number, count in enumerate((3, 2, 2, 3))]


def job(photos: Path, teacher: Path, out: Path, **changes: Any) -> dict[str, Any]:
    return options(photos, teacher, out, student_args=DROPOUT, save_every=4, **changes)


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
    deadline = time.monotonic() + 120
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


def resume(out: Path) -> list[str]:
    return ["distill", "--out", str(out), "--resume"]


def test_killed_and_resumed_is_never_killed(
    photos: Path, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(photos, teacher, tmp_path / "whole", **changed(job, photos, teacher, tmp_path / "whole", views=2))
    killed(line(job(photos, teacher, tmp_path / "cut", views=2)), tmp_path / "cut", 9)
    done = read_progress(tmp_path / "cut").done
    assert done >= 8
    limbeck.distill(out=tmp_path / "cut", resume=True)
    assert f"going on after step {done}" in capsys.readouterr().out
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")
    assert [each["step"] for each in records(tmp_path / "cut")] == list(range(1, STEPS + 1))


def changed(make: Any, photos: Path, teacher: Path, out: Path, **changes: Any) -> dict[str, Any]:
    given = make(photos, teacher, out, **changes)
    return {name: value for name, value in given.items() if name not in ("images", "teacher", "out")}


@pytest.mark.slow
@pytest.mark.parametrize(("configuration", "kills"), list(zip(CONFIGURATIONS, KILLS, strict=True)))
def test_ten_kills(
    configuration: dict[str, int], kills: list[int], photos: Path, teacher: Path, tmp_path: Path
) -> None:
    assert sum(map(len, KILLS)) == 10
    run(photos, teacher, tmp_path / "whole", **changed(job, photos, teacher, tmp_path / "whole", **configuration))
    words = line(job(photos, teacher, tmp_path / "cut", **configuration))
    for step in kills:
        killed(words, tmp_path / "cut", step)
        words = resume(tmp_path / "cut")
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("word", "which", "after"),
    [
        ("state.safetensors", 3, False),
        ("state.safetensors", 3, True),
        (".labels", 2, False),
        (".labels", 3, True),
        ("manifests", 1, False),
        ("last/manifest.arrow", 1, False),
        ("model.safetensors", 2, False),
        ("config.json", 1, True),
    ],
)
def test_killed_inside_a_rename(
    word: str, which: int, after: bool, photos: Path, teacher: Path, tmp_path: Path, views_run: Path
) -> None:
    words = line(job(photos, teacher, tmp_path / "cut", views=2, cache=str(tmp_path / "cache")))
    before = AT_A_RENAME.format(word=word, which=which, after=after)
    finished(command(words, before=before), expect=-signal.SIGKILL)
    begun = (tmp_path / "cut" / "config.json").exists()
    assert begun == (word != "manifests" and (word != "config.json" or after))
    if begun:
        limbeck.distill(out=tmp_path / "cut", resume=True)
    else:
        limbeck.distill(**job(photos, teacher, tmp_path / "cut", views=2, cache=str(tmp_path / "cache")))
    assert weights(tmp_path / "cut") == weights(views_run)


@pytest.fixture(scope="module")
def views_run(tmp_path_factory: pytest.TempPathFactory, photos: Path, teacher: Path) -> Path:
    out = tmp_path_factory.mktemp("views") / "run"
    run(photos, teacher, out, **changed(job, photos, teacher, out, views=2))
    return out


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_ctrl_c_saves_and_says_how_to_go_on(
    workers: int, photos: Path, teacher: Path, tmp_path: Path, views_run: Path
) -> None:
    words = line(job(photos, teacher, tmp_path / "cut", views=2, workers=workers) | {"save_every": 100})
    process = command(words, before=SLOWLY, start_new_session=True)
    assert reached(process, tmp_path / "cut", 8)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the workers get it too
    said = finished(process, expect=130)
    done = read_progress(tmp_path / "cut").done
    assert done >= 8
    assert f"stopped after step {done} of {STEPS}; everything is saved" in said
    assert f"try:      limbeck distill --out {tmp_path / 'cut'} --resume" in said
    assert "Traceback" not in said
    limbeck.distill(out=tmp_path / "cut", resume=True)
    assert weights(tmp_path / "cut") == weights(views_run)


@pytest.mark.slow
def test_workers_end_with_the_run(photos: Path, teacher: Path, tmp_path: Path) -> None:
    psutil = pytest.importorskip("psutil")
    out = tmp_path / "cut"
    process = command(line(job(photos, teacher, out, workers=2)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
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
def test_a_disk_that_is_really_full(photos: Path, teacher: Path, tmp_path: Path, views_run: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=9m", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        out = disk / "run"
        process = command(line(job(photos, teacher, out, views=2) | {"save_every": 2}), before=SLOWLY)
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
        limbeck.distill(out=out, resume=True)
        assert weights(out) == weights(views_run)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_photos_that_vanish_while_it_runs(workers: int, teacher: Path, tmp_path: Path) -> None:
    photos, out = draw(tmp_path / "photos", 24, seed=1), tmp_path / "run"
    given = job(photos, teacher, out, workers=workers) | {"epochs": 8, "probe": 0.1}
    process = command(line(given), before=SLOWLY)
    assert reached(process, out, 5)
    for name in ("disc_1", "bars_2", "rows_3", "plain_4", "disc_5"):
        (photos / f"{name}.jpg").unlink()
    (photos / "disc_2.jpg").write_text("no photo")
    assert reached(process, out, 25)
    process.kill()
    process.communicate()
    kept = read_progress(out).replaced
    assert kept
    said = finished(command(resume(out)))
    replaced = read_progress(out).replaced
    assert kept.items() <= replaced.items()
    assert len(records(out)) == 8 * 6
    assert f"{len(replaced)} photos could not be read any more" in said


@pytest.mark.slow
def test_a_second_run_in_the_same_folder_is_refused(
    photos: Path, teacher: Path, tmp_path: Path, views_run: Path
) -> None:
    out = tmp_path / "run"
    words = line(job(photos, teacher, out, views=2))
    first = command(words, before=SLOWLY)
    assert reached(first, out, 3)
    first.send_signal(signal.SIGSTOP)
    for again in (words, resume(out)):
        said = finished(command(again), expect=2)
        assert f"another process (pid {first.pid}) is running in {out}" in said
        assert f"limbeck distill --out {out} --resume" in said
    first.send_signal(signal.SIGCONT)
    finished(first)
    assert weights(out) == weights(views_run)
    assert not (out / "lock").exists()
