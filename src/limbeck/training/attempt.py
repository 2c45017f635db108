"""One forward and backward pass over a batch, in as many parts as fit into memory."""

import gc
from collections.abc import Callable, Sequence
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
    """The mean losses and watched numbers of one pass, on the device, and the number of parts that it took."""

    losses: dict[str, Tensor]
    watched: dict[str, Tensor]
    parts: int


class Agreement:
    """What the losses of a whole batch are divided by, all processes counted: they speak of it once in a pass."""

    def __init__(self, ranks: Ranks, divided: int) -> None:
        self.ranks, self.divided, self.open = ranks, divided, divided > 0

    def __call__(self, own: Tensor) -> Tensor:
        self.open = False
        return self.ranks.mean(own)

    def leave(self) -> None:
        """Out of memory on this process: the others, who do not know it yet, must not wait for its word."""
        if self.open:
            self(torch.zeros(self.divided, device=self.ranks.device))


def forward_backward(step: Step, batch: Batch, parts: int, ranks: Ranks, seed: int) -> Pass:
    """Gradients of a whole batch. Out of memory on any process: all go back, and take twice as many parts."""
    before = [buffer.clone() for buffer in step.student.buffers()]
    while True:
        torch.manual_seed(seed)
        agreement = Agreement(ranks, step.divided)
        trial: Pass | None = None
        try:
            step.agree = _agreed_ahead(step, batch, parts, agreement)
            if parts > 1 and step.divided:
                _restore(step, before)
                torch.manual_seed(seed)
            trial = _try(step, batch, parts, ranks.device)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            agreement.leave()
        (failed,) = ranks.any(trial is None)
        if trial is not None and not failed:
            return trial
        _restore(step, before)
        step.student.zero_grad(set_to_none=True)
        free_memory()
        parts = _halved(parts, len(batch), ranks)


def _try(step: Step, batch: Batch, parts: int, device: torch.device) -> Pass:
    losses: dict[str, Tensor] = {}
    watched: dict[str, Tensor] = {}
    for part in batch.split(parts):
        step.share = share = len(part) / len(batch)
        named = step(part.to(device))
        torch.stack(list(named.values())).sum().mul(share).backward()  # type: ignore[no-untyped-call]
        for total, values in ((losses, named), (watched, step.watched)):
            for name, value in values.items():
                total[name] = total.get(name, torch.zeros((), device=device)) + value.detach() * share
    return Pass(losses, watched, parts)


def _agreed_ahead(step: Step, batch: Batch, parts: int, agreement: Agreement) -> Callable[[Tensor], Tensor] | None:
    """How a part learns what the whole batch is divided by: of several, all are looked at before the first counts."""
    if not step.divided or (parts == 1 and agreement.ranks.world == 1):
        return None
    if parts == 1:
        return agreement
    with torch.no_grad():
        every = [step.divisors(part.to(agreement.ranks.device)) for part in batch.split(parts)]
        whole = agreement(torch.stack(every).sum(0))
    return lambda own: whole


def _restore(step: Step, before: Sequence[Tensor]) -> None:
    """What norms saw in a pass that does not count."""
    with torch.no_grad():
        for buffer, kept in zip(step.student.buffers(), before, strict=True):
            buffer.copy_(kept)


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
