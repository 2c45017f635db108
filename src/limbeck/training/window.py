"""The numbers of the steps since the last record."""

import time

import torch
from torch import Tensor

from limbeck.training.attempt import Pass
from limbeck.training.ranks import Ranks


class Window:
    """Sums on the device, read only when a record is due."""

    def __init__(self) -> None:
        self._open()

    def _open(self) -> None:
        self.totals: dict[str, Tensor] = {}
        self.steps = self.images = 0
        self.waited = 0.0
        self.start = time.monotonic()

    def add(self, trial: Pass, images: int, waited: float) -> None:
        named = trial.losses if len(trial.losses) > 1 else {}
        whole = torch.stack(list(trial.losses.values())).sum()
        for name, value in ({"loss": whole} | named | trial.watched).items():
            self.totals[name] = self.totals[name] + value if name in self.totals else value.clone()
        self.steps += 1
        self.images += images
        self.waited += waited

    def close(self, ranks: Ranks) -> dict[str, float]:
        """Means over the steps and the processes, and the speed; a new window begins."""
        count = max(1, self.steps)
        means = ranks.sum(float(value) / count / ranks.world for value in self.totals.values())
        spent = max(1e-9, time.monotonic() - self.start)
        values = dict(zip(self.totals, means, strict=True))
        values |= {"images_per_second": self.images / spent, "data_wait": min(1.0, self.waited / spent)}
        self._open()
        return values
