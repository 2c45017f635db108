"""Learning rates."""

import math

from limbeck.training.plan import Plan


def learning_rate(plan: Plan, step: int) -> float:
    """Linear warm-up, then a cosine to zero, or a tenth from each milestone on.

    A cosine in stairs goes by the epochs of the whole schedule, as the references' does: it falls from the first one
    on, and the warm-up is a factor of it.

    >>> plan = Plan(steps=10, steps_per_epoch=5, batch=8, lr=1.0, warmup=2)
    >>> [round(learning_rate(plan, step), 3) for step in (0, 1, 2, 6, 9)]
    [0.5, 1.0, 1.0, 0.5, 0.038]
    >>> plan = Plan(steps=10, steps_per_epoch=5, batch=8, lr=1.0, milestones=(4, 8))
    >>> [round(learning_rate(plan, step), 3) for step in (0, 4, 9)]
    [1.0, 0.1, 0.01]
    """
    if plan.milestones:
        return plan.lr * _warm(plan, step) * 0.1 ** sum(step >= each for each in plan.milestones)
    if plan.stairs:
        return plan.lr * _warm(plan, step) * _cosine(plan.epoch_of(step) * plan.steps_per_epoch / plan.steps)
    if step < plan.warmup:
        return plan.lr * _warm(plan, step)
    return plan.lr * _cosine((step - plan.warmup) / max(1, plan.steps - plan.warmup))


def _cosine(done: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * done))


def _warm(plan: Plan, step: int) -> float:
    if step >= plan.warmup:
        return 1.0
    if plan.warmup_from:
        return plan.warmup_from + (1 - plan.warmup_from) * step / max(1, plan.warmup - 1)
    return (step + 1) / plan.warmup


def warmup_steps(epochs: float, warmup_epochs: float, steps_per_epoch: int) -> int:
    """The warm-up of a schedule, at most a tenth of it: short schedules warm up shortly.

    >>> warmup_steps(360, 5, 100), warmup_steps(10, 5, 100)
    (500, 100)
    """
    return int(min(warmup_epochs, epochs / 10) * steps_per_epoch)
