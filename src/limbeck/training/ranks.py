"""What the processes of a run say to one another."""

import atexit
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from accelerate import Accelerator
from torch import Tensor, nn

from limbeck.errors import LimbeckError, RunError

T = TypeVar("T")


class Ranks:
    """The processes of a run: one, or several started by torchrun or accelerate launch.

    Gradients are averaged by one reduction after every process has told that its backward pass is whole, so that a
    process that runs out of memory in the middle of a step cannot leave the others waiting.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        self.device: torch.device = accelerator.device
        self.rank: int = accelerator.process_index
        self.world: int = accelerator.num_processes
        if self.world > 1:
            atexit.register(_part)

    @property
    def first(self) -> bool:
        return self.rank == 0

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """Each flag, raised when any process raised it."""
        if self.world == 1:
            return flags
        raised = torch.tensor(flags, dtype=torch.float32, device=self.device)
        _together(dist.all_reduce, raised, dist.ReduceOp.MAX)
        return tuple(bool(flag) for flag in raised.tolist())

    def sum(self, values: Iterable[float]) -> list[float]:
        total = torch.tensor(list(values), dtype=torch.float32 if self.device.type == "mps" else torch.float64)
        if self.world > 1:
            total = total.to(self.device)
            _together(dist.all_reduce, total)
        return [float(value) for value in total.tolist()]

    def once(self, work: Callable[[], T]) -> T:
        """What `work` gives on the first process, on every process; where it fails there, it fails on all."""
        if self.world == 1:
            return work()
        told: list[Any] = [None, None]
        failure: Exception | None = None
        if self.first:
            try:
                told[0] = work()
            except Exception as error:
                failure = error
                told[1] = error if isinstance(error, LimbeckError) else _elsewhere(error)
        _together(dist.broadcast_object_list, told, 0)
        if failure or told[1]:
            raise failure or told[1]
        result: T = told[0]
        return result

    def union(self, known: dict[int, int]) -> dict[int, int]:
        """What any process knows."""
        if self.world == 1:
            return known
        told: list[dict[int, int]] = [{} for _ in range(self.world)]
        _together(dist.all_gather_object, told, known)
        return {key: value for each in told for key, value in each.items()}

    def gather(self, value: T) -> list[T]:
        """What each process has, on every process."""
        if self.world == 1:
            return [value]
        told: list[Any] = [None] * self.world
        _together(dist.all_gather_object, told, value)
        return told

    def mean(self, values: Tensor) -> Tensor:
        """The mean over the processes; the host does not wait for it."""
        if self.world == 1:
            return values
        total = values.detach().clone()
        _together(dist.all_reduce, total)
        return total / self.world

    def average(self, tensors: list[Tensor]) -> None:
        """Replace each tensor by its mean over the processes."""
        if self.world == 1 or not tensors:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        _together(dist.all_reduce, flat)
        flat /= self.world
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))

    def share(self, model: nn.Module) -> None:
        """Give every process the first one's parameters and buffers."""
        if self.world > 1:
            for tensor in (*model.parameters(), *model.buffers()):
                _together(dist.broadcast, tensor.detach(), 0)

    def share_buffers(self, model: nn.Module) -> None:
        """Give every process the first one's buffers (the statistics of norms)."""
        if self.world > 1:
            for buffer in model.buffers():
                _together(dist.broadcast, buffer, 0)

    def wait(self) -> None:
        if self.world > 1:
            _together(dist.barrier)


def _elsewhere(error: Exception) -> RunError:
    return RunError(
        f"the first process failed: {type(error).__name__}: {error}",
        expected="all processes to go on together",
        hint="see what the first process told",
    )


def _together(talk: Callable[..., Any], *given: Any) -> None:
    try:
        talk(*given)
    except RuntimeError as error:
        raise RunError(
            f"this process lost the others of its run ({str(error).splitlines()[0]})",
            expected="all of them until the end; one was killed, failed or cannot be reached",
            hint="see what it told, then the same launcher, with --out RUN --resume",
        ) from error


def _part() -> None:
    """Gloo's threads, left running when a process ends, now and then take it down with an abort."""
    if dist.is_initialized() and dist.get_backend() == "gloo":
        dist.destroy_process_group()
