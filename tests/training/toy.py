"""A small job for the loop: vectors in, classes out, with dropout, with or without batch norm."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from limbeck.step import Step
from limbeck.training.attempt import Batch
from limbeck.training.loop import fit
from limbeck.training.plan import Plan
from limbeck.training.ranks import Ranks

PLAN = Plan(steps=8, steps_per_epoch=4, batch=8, lr=0.1, warmup=2, weight_decay=1e-3, log_every=1, save_every=3)


@dataclass(frozen=True)
class Vectors:
    x: Tensor
    y: Tensor
    replaced: dict[int, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.x)

    def split(self, parts: int) -> list[Batch]:
        size = -(-len(self) // parts)
        return [Vectors(x, y) for x, y in zip(self.x.split(size), self.y.split(size), strict=True)]

    def to(self, device: torch.device) -> "Vectors":
        return Vectors(self.x.to(device), self.y.to(device))

    def names(self) -> list[str]:
        return [f"vector {value:.3f}" for value in self.x[:, 0].tolist()]


class Toy(Step):
    """Cross-entropy of a small network; `watched` is its accuracy."""

    def __init__(self, *, norm: bool = False, dropout: float = 0.2) -> None:
        super().__init__()
        torch.manual_seed(0)
        middle = nn.BatchNorm1d(16) if norm else nn.LayerNorm(16)
        self.student = nn.Sequential(nn.Linear(6, 16), middle, nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 3))
        self.watched = {}

    def forward(self, batch: Vectors) -> dict[str, Tensor]:
        logits = self.student(batch.x)
        self.watched = {"accuracy": (logits.argmax(1) == batch.y).float().mean()}
        return {"cross_entropy": nn.functional.cross_entropy(logits, batch.y)}


def vectors(step: int, rank: int = 0, world: int = 1) -> Vectors:
    """The batch of a step: a pure function of it."""
    draws = torch.Generator().manual_seed(step)
    x = torch.randn(PLAN.batch, 6, generator=draws)
    rows = slice(rank * PLAN.batch // world, (rank + 1) * PLAN.batch // world)
    return Vectors(x[rows], (x[:, :3].argmax(1))[rows])


def stream(done: int, replaced: dict[int, int], rank: int = 0, world: int = 1) -> Iterator[Batch]:
    return (vectors(step, rank, world) for step in range(done, 1000))


def ranks() -> Ranks:
    return Ranks(Accelerator(cpu=True))


def train(out: Path, plan: Plan = PLAN, step: Step | None = None, batches=stream) -> dict[str, Tensor]:
    """Train the toy, or go on with it, and return its weights."""
    out.mkdir(exist_ok=True)
    chosen = step or Toy()
    model = fit(chosen, batches, plan, lambda model, done: {"done": float(done)}, out, ranks())
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
