"""One forward and backward pass over a batch, in as many parts as fit into memory."""

import gc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from limbeck.console import console
from limbeck.errors import LimbeckError
from limbeck.step import Step
from limbeck.training.ranks import Ranks


class Batch(Protocol):
    """What the loop asks of a batch; everything else is between the batch and its Step."""

    @property
    def replaced(self) -> dict[int, int]: ...
    def __len__(self) -> int: ...
    def split(self, parts: int) -> "Sequence[Batch]": ...
    def to(self, device: torch.device) -> "Batch": ...
    def names(self) -> list[str]: ...


@dataclass
class Pass:
    """The mean losses and watched numbers of one pass, on the device, and the number of parts that it took.

    Where the step weighs by other than images, gradients are sums, to be divided by the `weight` of all processes.
    """

    losses: dict[str, Tensor]
    watched: dict[str, Tensor]
    parts: int
    weight: Tensor | None = None


def forward_backward(step: Step, batch: Batch, parts: int, ranks: Ranks, seed: int) -> Pass:
    """Gradients of a whole batch. Out of memory on any process: all go back, and take twice as many parts."""
    buffers = [buffer.clone() for buffer in step.student.buffers()]
    while True:
        torch.manual_seed(seed)
        trial: Pass | None = None
        try:
            trial = _try(step, batch, parts, ranks.device)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        (failed,) = ranks.any(trial is None)
        if trial is not None and not failed:
            return trial
        with torch.no_grad():
            for buffer, kept in zip(step.student.buffers(), buffers, strict=True):
                buffer.copy_(kept)
        step.student.zero_grad(set_to_none=True)
        free_memory()
        parts = _halved(parts, len(batch), ranks)


def _try(step: Step, batch: Batch, parts: int, device: torch.device) -> Pass:
    losses: dict[str, Tensor] = {}
    watched: dict[str, Tensor] = {}
    weights: Tensor | None = None
    for part in batch.split(parts):
        named = step(part.to(device))
        share: float | Tensor = len(part) / len(batch)
        if step.weight is not None:
            share = step.weight.detach()
            weights = share if weights is None else weights + share
        torch.stack(list(named.values())).sum().mul(share).backward()  # type: ignore[no-untyped-call]
        for total, values in ((losses, named), (watched, step.watched)):
            for name, value in values.items():
                total[name] = total.get(name, torch.zeros((), device=device)) + value.detach() * share
    if weights is None:
        return Pass(losses, watched, parts)
    losses, watched = ({name: value / weights for name, value in values.items()} for values in (losses, watched))
    return Pass(losses, watched, parts, weights)


def _halved(parts: int, batch: int, ranks: Ranks) -> int:
    more = min(2 * parts, batch)
    if more == parts:
        raise LimbeckError(
            f"out of memory on {ranks.device} even with one image at a time",
            expected="a device that holds one image's activations",
            hint="a smaller input size, a smaller model, or --device cpu",
        )
    if ranks.first:
        fewer, before = -(-batch // more), -(-batch // parts)
        console.print(
            f"out of memory: from here on {fewer} image{'s' * (fewer > 1)} at a time instead of {before}; "
            f"the batch stays {batch} on each process. Batch norm now takes its statistics from the smaller number."
        )
    return more


def free_memory() -> None:
    """Give back what an attempt left behind that ran out of memory."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device, or the host, ran out of memory.

    >>> is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory")), is_out_of_memory(RuntimeError("shape"))
    (True, False)
    """
    told: Any = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in told or "can't allocate memory" in told
