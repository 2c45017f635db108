"""An exponential moving average of a model."""

import copy

import torch
from torch import nn


class Average:
    """The average of a model's parameters over the steps; buffers are the model's latest.

    >>> model = nn.Linear(1, 1, bias=False)
    >>> average = Average(model, decay=0.5)
    >>> _ = nn.init.constant_(model.weight, average.model.weight.item() + 2.0)
    >>> average.update(model)
    >>> round((model.weight - average.model.weight).item(), 3)
    1.0
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.model = copy.deepcopy(model).requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        torch._foreach_lerp_(list(self.model.parameters()), list(model.parameters()), 1.0 - self.decay)
        for mine, theirs in zip(self.model.buffers(), model.buffers(), strict=True):
            mine.copy_(theirs)
