"""What the training loop trains."""

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn


class Step(nn.Module, ABC):
    """One training step of one method: a batch in, losses by name out.

    `student` is the only trained module and the only thing that a checkpoint keeps. A teacher is held outside the
    module tree (no EMA, `train()`, `to()` or checkpoint touches it). `watched` holds detached numbers worth showing.
    """

    student: nn.Module
    watched: dict[str, Tensor]

    @abstractmethod
    def forward(self, batch: Any) -> dict[str, Tensor]: ...
