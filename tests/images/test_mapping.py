"""map_shards: order, bounds, deaths, errors, interruption."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from limbeck.errors import ImagesError, UnknownName
from limbeck.images.mapping import map_shards


def double(number: int) -> int:
    return 2 * number


def first_is_slow(place: tuple[Path, int]) -> int:
    folder, number = place
    if number == 0:
        time.sleep(1.0)
    (folder / str(number)).touch()
    return number


def dies_at_three(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def fails_at_two(number: int) -> int:
    if number == 2:
        raise ImagesError("two", expected="not two")
    return number


class Odd(Exception):
    """Unpickling calls it with one argument."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first)


def fails_oddly(number: int) -> int:
    raise Odd("left", "right")


@pytest.mark.parametrize("workers", [0, 2])
def test_results_come_in_order(workers: int) -> None:
    assert list(map_shards(double, range(9), workers=workers, shown=False)) == [2 * number for number in range(9)]


def test_a_slow_shard_bounds_how_far_the_others_run_ahead(tmp_path: Path) -> None:
    results = map_shards(first_is_slow, [(tmp_path, number) for number in range(40)], workers=2, shown=False)
    assert next(results) == 0
    assert len(list(tmp_path.iterdir())) <= 9
    assert list(results) == list(range(1, 40))


def test_a_dead_worker_names_its_shard() -> None:
    with pytest.raises(ImagesError, match=r"killed by signal 9 \(SIGKILL\) on shard 3"):
        list(map_shards(dies_at_three, range(6), workers=2, shown=False))


@pytest.mark.parametrize("workers", [0, 2])
def test_an_exception_is_raised_again_as_it_was(workers: int) -> None:
    with pytest.raises(ImagesError) as caught:
        list(map_shards(fails_at_two, range(4), workers=workers, shown=False))
    assert caught.value.expected == "not two"


def test_an_exception_that_cannot_travel_is_told_in_words() -> None:
    with pytest.raises(ImagesError, match=r"Odd: left[\s\S]*expected: .*\n  try: "):
        list(map_shards(fails_oddly, range(2), workers=2, shown=False))


def test_unknown_engine() -> None:
    with pytest.raises(UnknownName, match="unknown engine 'plane'"):
        list(map_shards(double, [1], "plane", shown=False))


SCRIPT = """
import sys
from limbeck.images.mapping import map_shards
import time
print("started", flush=True)
print(list(map_shards(time.sleep, [float(sys.argv[1])] * 4, workers=2, shown=False)), flush=True)
"""


def test_a_script_needs_no_main_guard(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run([sys.executable, script, "0"], capture_output=True, text=True, timeout=60)
    assert done.stdout == "started\n[None, None, None, None]\n", done.stderr


def test_ctrl_c_stops_at_once(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, script, "600"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "started\n"
        time.sleep(1.0)
        os.killpg(run.pid, signal.SIGINT)
        _, errors = run.communicate(timeout=60)
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert run.returncode != 0
