"""Learning rates by name: multipliers, and what a rate of 0 leaves as it is."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from limbeck.training.frozen import freeze, rest
from limbeck.training.loop import fit
from limbeck.training.optimizer import set_rate, sgd
from tests.training.test_loop import Stops
from tests.training.toy import PLAN, Toy, ranks, same, stream, train, vectors

HEAD_ALONE = {"0.weight": 0.0, "0.bias": 0.0, "1.weight": 0.0, "1.bias": 0.0}


def test_what_is_frozen_keeps_every_bit_through_evaluations(tmp_path: Path) -> None:
    step = Toy(norm=True)
    before = {name: value.clone() for name, value in step.student.state_dict().items()}
    norm: nn.Module = step.student[1]  # type: ignore[index]

    def toggled(model: nn.Module, done: int) -> dict[str, float]:
        model.eval()
        model.train()
        assert norm.training
        return {}

    fit(step, stream, replace(PLAN, rates=HEAD_ALONE), toggled, tmp_path, ranks())
    after = step.student.state_dict()
    assert [name for name in before if not torch.equal(before[name], after[name])] == ["4.weight", "4.bias"]
    assert same(train(tmp_path / "again", replace(PLAN, rates=HEAD_ALONE), Toy(norm=True)), after)


def test_dropout_rests_with_what_it_lies_in_alone() -> None:
    body = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
    model = nn.Sequential(body, nn.Dropout(), nn.Linear(2, 2))
    frozen = freeze(model, {"0.0.weight": 0.0, "0.0.bias": 0.0})
    rest(frozen)
    assert frozen == [body]
    assert [each.training for each in (model, body, body[1], model[1], model[2])] == [True, False, False, True, True]


def test_a_multiplier_scales_the_step() -> None:
    moved = {}
    for times in (1.0, 0.25):
        model = nn.Linear(1, 1)
        with torch.no_grad():
            model.weight.fill_(0)
        optimizer = sgd(model, replace(PLAN, rates={"weight": times}, weight_decay=0.0))
        set_rate(optimizer, 0.5)
        model.weight.grad = torch.ones(1, 1)
        optimizer.step()
        moved[times] = model.weight.item()
    assert moved == {1.0: -0.5, 0.25: -0.125}


@pytest.mark.parametrize("stop", [3, 6])
def test_a_run_with_multipliers_resumes_to_the_same_bits(tmp_path: Path, stop: int) -> None:
    plan = replace(PLAN, ema=0.9, rates={"0.weight": 0.1, "0.bias": 0.1, "1.weight": 0.0, "1.bias": 0.0})
    whole = train(tmp_path / "whole", plan, Toy(norm=True))

    def cut(done: int, replaced: dict[int, int]):
        yield from (vectors(step) for step in range(done, stop))
        raise Stops

    with pytest.raises(Stops):
        train(tmp_path / "cut", plan, Toy(norm=True), cut)
    assert same(whole, train(tmp_path / "cut", plan, Toy(norm=True)))
    assert not same(whole, train(tmp_path / "plain", replace(plan, rates={}), Toy(norm=True)))
