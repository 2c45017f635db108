"""What a training run is, in numbers."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Plan:
    """The whole schedule of a run; `batch` counts the images of one step over all processes.

    >>> Plan(steps=100, steps_per_epoch=10, batch=8, lr=0.1, warmup=5).epoch_of(step=10)
    1
    """

    steps: int
    steps_per_epoch: int
    batch: int
    lr: float
    warmup: int = 0
    momentum: float = 0.9
    weight_decay: float = 0.0
    decay_norm: bool = False
    ema: float = 0.0
    accumulate: int = 1
    seed: int = 0
    log_every: int = 20
    save_every: int = 1000
    evaluate_every: int = 1
    milestones: tuple[int, ...] = ()  # steps at which the rate falls to a tenth; empty: it falls by a cosine
    stairs: bool = False  # the cosine falls from epoch to epoch, not from step to step
    warmup_from: float = 0.0  # the share of the rate that the warm-up begins at; 0: one step's share
    clip: float = 0.0  # the largest norm of a step's gradient (0: any)
    # multipliers of the learning rate by parameter name, 1 where there is none; what has 0 stays as it is
    rates: Mapping[str, float] = field(default_factory=dict)

    def epoch_of(self, step: int) -> int:
        return step // self.steps_per_epoch

    def ends_epoch(self, done: int) -> bool:
        """Whether `done` steps are a whole number of epochs, or the whole run."""
        return done % self.steps_per_epoch == 0 or done == self.steps
