"""How long a model takes over one image, as the references measure it."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

View = TypeVar("View")

SKIPPED = 5  # images first that warm up, and are not counted


@dataclass(frozen=True)
class Latency:
    """Seconds of each image.

    >>> Latency((0.01, 0.03)).fps
    50.0
    """

    seconds: tuple[float, ...]

    @property
    def fps(self) -> float:
        """Images a second, by the sum."""
        return len(self.seconds) / sum(self.seconds)

    def milliseconds(self, share: float) -> float:
        """What this share of the images stays below.

        >>> Latency((0.01, 0.03, 0.02)).milliseconds(0.5)
        20.0
        """
        return 1000 * float(np.quantile(self.seconds, share))


def latency(answer: Callable[[View], object], views: Iterable[View], device: torch.device) -> Latency:
    """Of the answer to each view; how views are made is not counted.

    >>> len(latency(lambda view: view + 1, range(7), torch.device("cpu")).seconds)
    2
    """
    seconds = []
    for view in views:
        synchronise(device)
        started = time.perf_counter()
        answer(view)
        synchronise(device)
        seconds.append(time.perf_counter() - started)
    assert len(seconds) > SKIPPED
    return Latency(tuple(seconds[SKIPPED:]))


def synchronise(device: torch.device) -> None:
    """Wait until a device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
