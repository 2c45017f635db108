"""Schedule values against the formula written out by hand."""

import math

import pytest
import torch
from torch import nn

from limbeck.training.ema import Average
from limbeck.training.optimizer import sgd
from limbeck.training.plan import Plan
from limbeck.training.schedule import learning_rate, warmup_steps

PLAN = Plan(steps=3600, steps_per_epoch=10, batch=256, lr=0.1, warmup=50)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, 0.1 / 50),
        (24, 0.05),
        (49, 0.1),
        (50, 0.1),
        (50 + 1775, 0.05),
        (3599, 0.05 * (1 + math.cos(math.pi * 3549 / 3550))),
    ],
)
def test_values(step: int, expected: float) -> None:
    assert learning_rate(PLAN, step) == pytest.approx(expected, rel=1e-12)


def test_it_only_falls_after_the_warmup() -> None:
    rates = [learning_rate(PLAN, step) for step in range(PLAN.steps)]
    assert rates[:50] == sorted(rates[:50])
    assert rates[49:] == sorted(rates[49:], reverse=True)


@pytest.mark.parametrize(("epochs", "steps"), [(360, 500), (50, 500), (20, 200), (1, 10), (0.5, 5)])
def test_the_warmup_scales_down(epochs: float, steps: int) -> None:
    assert warmup_steps(epochs, 5, 100) == steps


def test_no_warmup_at_all() -> None:
    plan = Plan(steps=4, steps_per_epoch=4, batch=1, lr=1.0)
    assert learning_rate(plan, 0) == 1.0


@pytest.mark.parametrize("decay_norm", [False, True])
def test_decay_of_norms(decay_norm: bool) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    plan = Plan(steps=1, steps_per_epoch=1, batch=1, lr=1.0, momentum=0.0, weight_decay=0.5, decay_norm=decay_norm)
    before = {name: value.clone() for name, value in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    sgd(model, plan).step()
    for name, value in model.named_parameters():
        kept = 0.5 if decay_norm or value.ndim > 1 else 1.0
        torch.testing.assert_close(value, before[name] * kept)


def test_the_average_follows_quickly_at_first() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    average = Average(model, decay=0.999)
    nn.init.ones_(model.weight)
    gaps = []
    for done in (0, 90, 10**6):
        before = float(average.model.weight)
        average.update(model, done)
        gaps.append((float(average.model.weight) - before) / (1 - before))
    assert gaps == pytest.approx([1 - 1 / 10, 1 - 91 / 100, 1 - 0.999], rel=1e-3)


def test_milestones_and_a_warmup_from_a_thousandth() -> None:
    plan = Plan(
        steps=2400, steps_per_epoch=100, batch=64, lr=2e-3, warmup=500, warmup_from=0.001, milestones=(1600, 2200)
    )
    assert learning_rate(plan, 0) == pytest.approx(2e-6)
    assert learning_rate(plan, 249) == pytest.approx(2e-3 * (0.001 + 0.999 * 249 / 499))
    assert learning_rate(plan, 499) == learning_rate(plan, 1599) == 2e-3
    assert learning_rate(plan, 1600) == learning_rate(plan, 2199) == pytest.approx(2e-4)
    assert learning_rate(plan, 2200) == pytest.approx(2e-5)


def test_a_cosine_in_stairs_stands_still_within_an_epoch() -> None:
    plan = Plan(steps=1200, steps_per_epoch=10, batch=8, lr=1.0, stairs=True)
    rates = [learning_rate(plan, step) for step in range(plan.steps)]
    assert all(len(set(rates[start : start + 10])) == 1 for start in range(0, plan.steps, 10))
    assert rates[600] == pytest.approx(0.5)
    assert rates[-1] == pytest.approx(0.5 * (1 + math.cos(math.pi * 119 / 120)))


def test_a_cosine_in_stairs_goes_by_the_epochs_of_the_whole_schedule_and_the_warmup_is_a_factor() -> None:
    plan = Plan(steps=1200, steps_per_epoch=10, batch=192, lr=1.0, warmup=100, warmup_from=0.001, stairs=True)
    assert learning_rate(plan, 0) == pytest.approx(0.001)
    assert learning_rate(plan, 25) == pytest.approx((0.001 + 0.999 * 25 / 99) * 0.5 * (1 + math.cos(math.pi * 2 / 120)))
    assert learning_rate(plan, 100) == pytest.approx(0.5 * (1 + math.cos(math.pi * 10 / 120)))
    assert learning_rate(plan, 600) == learning_rate(plan, 609) == pytest.approx(0.5)
