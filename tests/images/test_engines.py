"""Daft on this machine: as the plain engine, but for who does it. Ray has a file of its own."""

import os
import pickle
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest
from errands import dies_once, fails_at_two, fails_oddly, leaves_a_file
from photos import folder_of

from limbeck.errors import ImagesError, OptionError
from limbeck.images import engines, mapping
from limbeck.images.imageset import ImageSet
from limbeck.images.mapping import map_shards

pytestmark = pytest.mark.skipif(find_spec("daft") is None, reason="needs limbeck[scale]")


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Daft's workers are started anew, and look for the functions of tests by name."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


def test_results_come_in_order_and_errors_as_they_were(tmp_path: Path) -> None:
    shards = [(tmp_path, number) for number in range(5)]
    assert list(map_shards(leaves_a_file, shards, "daft", workers=2, shown=False, home=tmp_path)) == list(range(5))
    assert sorted(path.name for path in tmp_path.iterdir()) == list("01234")
    with pytest.raises(ImagesError) as caught:
        list(map_shards(fails_at_two, range(3), "daft", workers=1, shown=False))
    assert (caught.value.found, caught.value.expected) == ("two", "not two")


def test_an_exception_that_cannot_travel_is_told_in_words() -> None:
    with pytest.raises(ImagesError, match=r"Odd: left[\s\S]*expected: .*\n  try: "):
        list(map_shards(fails_oddly, range(2), "daft", workers=1, shown=False))


def test_a_killed_worker_ends_the_run_in_words_and_the_next_one_goes_on(tmp_path: Path) -> None:
    shards = [(tmp_path, number) for number in range(6)]
    with pytest.raises(ImagesError, match=r"Daft was lost after \d of 6 shards: [\s\S]*only what is left"):
        list(map_shards(dies_once, shards, "daft", workers=1, shown=False))
    left = [shard for shard in shards if not (tmp_path / str(shard[1])).exists()]
    assert 0 < len(left) < 6
    assert list(map_shards(dies_once, left, "daft", workers=1, shown=False)) == [number for _, number in left]


def test_zero_workers_are_this_process() -> None:
    assert list(map_shards(lambda _: os.getpid(), [1], "daft", workers=0, shown=False)) == [os.getpid()]


def test_a_manifest_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_of(tmp_path / "photos", 320, 16, 16)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    made = [
        ImageSet.open(folder, cache=tmp_path / engine, engine=engine, workers=2, shown=False).manifest
        for engine in ("plain", "daft")
    ]
    assert made[0].read_bytes() == made[1].read_bytes()
    assert made[0].name == made[1].name


@pytest.mark.parametrize("engine", ["daft:here", "plain:6379"])
def test_an_address_is_for_ray(engine: str) -> None:
    with pytest.raises(OptionError, match="an address for ray alone"):
        list(map_shards(abs, [1], engine, shown=False))


def test_an_address_where_nobody_answers() -> None:
    with pytest.raises(OptionError, match=r"no Ray cluster answers at 127\.0\.0\.1:9: [\s\S]*ray start --head"):
        list(map_shards(abs, [1], "ray:127.0.0.1:9", shown=False))


def test_an_engine_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapping, "find_spec", lambda name: None)
    with pytest.raises(OptionError, match=r'daft is not installed[\s\S]*pip install "limbeck\[scale\]"'):
        list(map_shards(abs, [1], "daft", shown=False))


def test_a_worker_that_does_not_see_the_folder_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_GRACE", 0.5)
    told = engines._done(pickle.dumps((tmp_path, leaves_a_file, (tmp_path, 1), tmp_path / "not here")))
    with pytest.raises(ImagesError, match=r"does not see the folder[\s\S]*all machines[\s\S]*LIMBECK_CACHE="):
        mapping.opened(told, "1")
    assert not list(tmp_path.iterdir())


SCRIPT = """
import sys, time
from limbeck.images.mapping import map_shards
print("started", flush=True)
for _ in map_shards(time.sleep, [0.0, 600.0, 600.0], "daft", workers=2, shown=False):
    print("first", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_caller_that_is_stopped_leaves_no_process(tmp_path: Path, number: int) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = os.environ | {"MARK": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "started\n"
        assert run.stdout.readline() == "first\n"
        assert processes_of(tmp_path) > 1
        os.kill(run.pid, number)
        _, errors = run.communicate(timeout=60)
    if number == signal.SIGINT:
        assert errors.rstrip().endswith("KeyboardInterrupt")
    until = time.monotonic() + 20
    while processes_of(tmp_path) and time.monotonic() < until:
        time.sleep(0.1)
    assert processes_of(tmp_path) == 0


def processes_of(mark: Path) -> int:
    """How many processes have this mark in their environment."""
    count = 0
    for process in psutil.process_iter():
        try:
            count += process.environ().get("MARK") == str(mark)
        except psutil.Error:
            continue
    return count
