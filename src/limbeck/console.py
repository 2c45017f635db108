"""The one console, and the progress bar of everything that takes over two seconds."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

console = Console(soft_wrap=True, highlight=False)
errors = Console(stderr=True, soft_wrap=True, highlight=False)

_PLAIN_SECONDS = 15.0


class Advance(Protocol):
    def __call__(self, amount: int = 1) -> None: ...


@contextmanager
def progress(title: str, total: int, *, shown: bool = True) -> Iterator[Advance]:
    """A bar with an ETA on a terminal; a line now and then elsewhere.

    >>> with progress("reading", 3, shown=False) as advance:
    ...     advance()
    """
    if not shown:
        yield lambda amount=1: None
    elif console.is_terminal:
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        with Progress(*columns, TextColumn("eta"), TimeRemainingColumn(), console=console) as bar:
            task = bar.add_task(title, total=total)
            yield lambda amount=1: bar.advance(task, amount)
    else:
        yield _plain(title, total)


def _plain(title: str, total: int) -> Advance:
    start = last = time.monotonic()
    done = 0

    def advance(amount: int = 1) -> None:
        nonlocal done, last
        done += amount
        now = time.monotonic()
        if now - last >= _PLAIN_SECONDS:
            last = now
            left = (now - start) / done * (total - done)
            console.print(f"{title}: {done:,} of {total:,}, {duration(left)} left")

    return advance


def duration(seconds: float) -> str:
    """Seconds as a person says them.

    >>> duration(75), duration(3700)
    ('1m15s', '1h01m')
    """
    whole = int(seconds + 0.5)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
