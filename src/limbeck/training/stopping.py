"""Ctrl-C and SIGTERM: the step in hand is finished and saved first."""

import signal
import threading
from types import FrameType
from typing import Any


class Stopping:
    """True once the user, or the system, asked the run to stop; a second Ctrl-C stops at once.

    >>> with Stopping() as stopping:
    ...     bool(stopping)
    False
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self._asked = False
        self._before: dict[int, Any] = {}

    def __bool__(self) -> bool:
        return self._asked

    def __enter__(self) -> "Stopping":
        if threading.current_thread() is threading.main_thread():  # signals can be set nowhere else
            self._before = {number: signal.signal(number, self._ask) for number in self.SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._asked = True
