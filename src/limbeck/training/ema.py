"""An exponential moving average of a model."""

import copy

import torch
from torch import nn


class Average:
    """The average of a model's parameters over the steps; buffers are the model's latest.

    It follows quickly at first, so that a short run does not ship its first weights: after t steps the decay is at
    most (1 + t) / (10 + t).

    >>> model = nn.Linear(1, 1, bias=False)
    >>> average = Average(model, decay=0.5)
    >>> _ = nn.init.constant_(model.weight, average.model.weight.item() + 2.0)
    >>> average.update(model, done=100)
    >>> round((model.weight - average.model.weight).item(), 3)
    1.0
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.model = copy.deepcopy(model).requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module, done: int) -> None:
        decay = min(self.decay, (1 + done) / (10 + done))
        torch._foreach_lerp_(list(self.model.parameters()), list(model.parameters()), 1.0 - decay)
        for mine, theirs in zip(self.model.buffers(), model.buffers(), strict=True):
            mine.copy_(theirs)
