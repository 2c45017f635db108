"""Learning rates."""

import math

from limbeck.training.plan import Plan


def learning_rate(plan: Plan, step: int) -> float:
    """Linear warm-up from zero, then a cosine to zero, a step at a time.

    >>> plan = Plan(steps=10, steps_per_epoch=5, batch=8, lr=1.0, warmup=2)
    >>> [round(learning_rate(plan, step), 3) for step in (0, 1, 2, 6, 9)]
    [0.5, 1.0, 1.0, 0.5, 0.038]
    """
    if step < plan.warmup:
        return plan.lr * (step + 1) / plan.warmup
    done = (step - plan.warmup) / max(1, plan.steps - plan.warmup)
    return plan.lr * 0.5 * (1 + math.cos(math.pi * done))


def warmup_steps(epochs: float, warmup_epochs: float, steps_per_epoch: int) -> int:
    """The warm-up of a schedule, at most a tenth of it: short schedules warm up shortly.

    >>> warmup_steps(360, 5, 100), warmup_steps(10, 5, 100)
    (500, 100)
    """
    return int(min(warmup_epochs, epochs / 10) * steps_per_epoch)
