"""Functions that workers of other engines find by name."""

import os
import signal
import time
from pathlib import Path

from limbeck.errors import ImagesError


def leaves_a_file(place: tuple[Path, int]) -> int:
    folder, number = place
    (folder / str(number)).write_text(str(number))
    return number


def dies_once(place: tuple[Path, int]) -> int:
    """The first worker that gets to shard 3 is killed."""
    folder, number = place
    killed = folder / "killed"
    if number == 3 and not killed.exists():
        killed.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return leaves_a_file(place)


def naps(place: tuple[Path, int]) -> int:
    time.sleep(0.5)
    return leaves_a_file(place)


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
