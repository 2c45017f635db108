"""limbeck select, cut off by kill -9 and by Ctrl-C: the same command goes on, and ends with the same selection."""

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from limbeck.images.imageset import ImageSet
from tests.commands.test_select import rows, same
from tests.commands.tiny import command, finished

# many small shards, and a tenth of a second more for each: time enough to be cut off
SLOWLY = """
import time
from limbeck.ssld import gallery, scoring
gallery._LEAST = 4
once = scoring._score_slice
def slowly(*given):
    time.sleep(0.1)
    return once(*given)
scoring._score_slice = slowly
"""


def words(gallery: Path, excluded: Path, teacher: Path, out: Path, cache: Path) -> list[str]:
    given = ["select", "--gallery", str(gallery), "--exclude", str(excluded), "--teacher", str(teacher)]
    given += ["--out", str(out), "--cache", str(cache), "--per-class", "5", "--signature", "embedding"]
    return [*given, "--workers", "0", "--device", "cpu", "--teacher-precision", "float32"]


def shards(cache: Path) -> set[Path]:
    return set((cache / "selection" / "scores").glob("*.arrow"))


def cut_after(process: subprocess.Popen[str], cache: Path, count: int) -> None:
    deadline = time.monotonic() + 120
    while len(shards(cache)) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "it does not get on"
        time.sleep(0.002)
    time.sleep(random.random() * 0.1)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(2))
def test_killed_at_drawn_instants(number: int, gallery: Path, excluded: Path, teacher: Path, tmp_path: Path) -> None:
    finished(command(words(gallery, excluded, teacher, tmp_path / "whole", tmp_path / "one"), before=SLOWLY))
    total = len(shards(tmp_path / "one"))
    assert total == 16
    line = words(gallery, excluded, teacher, tmp_path / "cut", tmp_path / "two")
    for count in sorted(random.Random(number).sample(range(1, total - 1), 3)):
        process = command(line, before=SLOWLY)
        cut_after(process, tmp_path / "two", count)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert not (tmp_path / "cut" / "manifest.arrow").exists()
    said = finished(command(line, before=SLOWLY))
    assert "of 16 shards are scored already" in said
    same(tmp_path / "whole", tmp_path / "cut")


# the process dies on the way into, or out of, a rename to a name that holds the word
AT_A_RENAME = """
import os
replace = os.replace
def deadly(source, target, *rest, **named):
    if {word!r} in str(target):
        {after} and replace(source, target, *rest, **named)
        os.kill(os.getpid(), 9)
    return replace(source, target, *rest, **named)
os.replace = deadly
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("word", "after"),
    [("selected.parquet", False), ("selected.parquet", True), ("cut/manifest.arrow", True), ("select.json", True)],
)
def test_killed_while_it_is_written_down(
    word: str,
    after: bool,
    gallery: Path,
    excluded: Path,
    teacher: Path,
    tmp_path: Path,
) -> None:
    line = words(gallery, excluded, teacher, tmp_path / "cut", tmp_path / "one")
    killed = command(line, before=AT_A_RENAME.format(word=word, after=after))
    finished(killed, expect=-signal.SIGKILL)
    finished(command(line))
    finished(command(words(gallery, excluded, teacher, tmp_path / "whole", tmp_path / "two")))
    same(tmp_path / "whole", tmp_path / "cut")
    assert not [file for file in (tmp_path / "cut").iterdir() if file.name.endswith(".tmp")]


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on(gallery: Path, excluded: Path, teacher: Path, tmp_path: Path) -> None:
    line = words(gallery, excluded, teacher, tmp_path / "cut", tmp_path / "cache")
    process = command(line, before=SLOWLY, start_new_session=True)
    cut_after(process, tmp_path / "cache", 3)
    os.killpg(process.pid, signal.SIGINT)
    said = finished(process, expect=130)
    assert "stopped; the shards that are finished are kept" in said
    assert "try:      the same command again goes on from there" in said
    assert "Traceback" not in said
    assert not (tmp_path / "cut").exists() or not (tmp_path / "cut" / "manifest.arrow").exists()
    finished(command(line, before=SLOWLY))
    assert len(ImageSet(tmp_path / "cut" / "manifest.arrow")) == sum(row["kept"] for row in rows(tmp_path / "cut"))


@pytest.mark.slow
def test_a_disk_that_is_really_full(gallery: Path, excluded: Path, teacher: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        line = words(gallery, excluded, teacher, disk / "set", tmp_path / "cache")
        said = finished(command(line), expect=2)
        assert "no space left to write" in said
        assert "free some space, then the same command again" in said
        assert "Traceback" not in said
        said = finished(command([*line, "--copy"]), expect=2)
        assert not list((disk / "set").glob("*.tmp"))
    finally:
        subprocess.run(["umount", str(disk)], check=True)
