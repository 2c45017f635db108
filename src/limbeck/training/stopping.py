"""Ctrl-C and SIGTERM: the step in hand is finished and saved first."""

import signal
import threading
import time
from types import FrameType
from typing import Any


class Stopping:
    """True once the user, or the system, asked the run to stop; a later Ctrl-C stops at once.

    Within two seconds it is the same one: a launcher passes on what the terminal has sent already.

    >>> with Stopping() as stopping:
    ...     bool(stopping)
    False
    """

    SAME_SECONDS = 2.0
    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self, *, launched: bool = False) -> None:
        self._launched = launched
        self._asked: float | None = None
        self._before: dict[int, Any] = {}

    def __bool__(self) -> bool:
        return self._asked is not None

    def __enter__(self) -> "Stopping":
        if threading.current_thread() is threading.main_thread():  # signals can be set nowhere else
            self._before = {number: signal.signal(number, self._ask) for number in self.SIGNALS}
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        for number, before in self._before.items():
            # where one process dies, its launcher ends the others: they tell why first
            if not (kind and self._launched and number == signal.SIGTERM):
                signal.signal(number, before)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._asked is None:
            self._asked = now
        elif number == signal.SIGINT and now - self._asked > self.SAME_SECONDS:
            raise KeyboardInterrupt
