import random

import numpy as np
import pytest
import torch

from limbeck.images.scope import random_scope


def draws() -> tuple[float, float, float]:
    return torch.rand(()).item(), float(np.random.rand()), random.random()


def test_draws_depend_on_the_seed_alone() -> None:
    with random_scope(5):
        first = draws()
    draws()
    with random_scope(5):
        again = draws()
    with random_scope(6):
        other = draws()
    assert first == again
    assert all(one != two for one, two in zip(first, other, strict=True))


def test_everything_goes_on_as_if_nothing_had_been_drawn() -> None:
    with random_scope(1):
        undisturbed = [draws(), draws()]
    with random_scope(1):
        before = draws()
        with random_scope(2**62):
            draws()
        assert [before, draws()] == undisturbed


def test_restored_after_an_error() -> None:
    torch.manual_seed(0)
    state = torch.get_rng_state()
    with pytest.raises(ZeroDivisionError), random_scope(3):
        1 / int(torch.rand(()).item())
    assert torch.equal(torch.get_rng_state(), state)
