"""What the training loop trains."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


class Step(nn.Module, ABC):
    """One training step of one method: a batch in, losses by name out.

    `student` is the only trained module and the only thing that a checkpoint keeps. A teacher is held outside the
    module tree (no EMA, `train()`, `to()` or checkpoint touches it). `watched` holds detached numbers worth showing.

    Where losses are divided by something else than the number of images, `divided` says by how many numbers, and
    `divisors` which those of a batch are. The loop then tells each part of a batch its `share` of what the process has,
    and through `agree` what the whole batch's are, all processes counted: their losses add up to those of one batch.
    """

    student: nn.Module
    watched: dict[str, Tensor]
    divided: int = 0
    share: float = 1.0
    agree: Callable[[Tensor], Tensor] | None = None

    @abstractmethod
    def forward(self, batch: Any) -> dict[str, Tensor]: ...

    def divisors(self, batch: Any) -> Tensor:
        """[divided], without a gradient; asked where a batch comes in several parts."""
        raise NotImplementedError
