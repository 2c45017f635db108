"""What the training loop trains."""

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn


class Step(nn.Module, ABC):
    """One training step of one method: a batch in, losses by name out.

    `student` is the only trained module and the only thing that a checkpoint keeps. A teacher is held outside the
    module tree (no EMA, `train()`, `to()` or checkpoint touches it). `watched` holds detached numbers worth showing.

    `weight` is what the losses of the last forward pass were divided by, where it is not the number of images: parts
    and processes that share a batch are weighed by it, so that the sum is that of the whole batch.
    """

    student: nn.Module
    watched: dict[str, Tensor]
    weight: Tensor | None = None

    @abstractmethod
    def forward(self, batch: Any) -> dict[str, Tensor]: ...
