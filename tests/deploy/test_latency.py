"""What is timed, and what is not."""

import time
from collections.abc import Iterator

import torch

from limbeck.deploy.latency import SKIPPED, latency


def test_making_views_is_not_counted_and_the_first_images_are_not_either() -> None:
    def views() -> Iterator[float]:
        for number in range(SKIPPED + 3):
            time.sleep(0.05)
            yield 0.2 if number < SKIPPED else 0.001

    found = latency(time.sleep, views(), torch.device("cpu"))
    assert len(found.seconds) == 3
    assert all(seconds >= 0.001 for seconds in found.seconds)
    assert min(found.seconds) < 0.05  # a view takes as much, a first image more


def test_fps_is_by_the_sum() -> None:
    seconds = iter([0.0] * SKIPPED + [0.01, 0.03])
    found = latency(lambda view: time.sleep(next(seconds)), range(SKIPPED + 2), torch.device("cpu"))
    assert found.fps == 2 / sum(found.seconds)
    assert found.milliseconds(0.99) > found.milliseconds(0.5)
