"""Randomness that leaves no trace."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def random_scope(seed: int) -> Iterator[None]:
    """Inside, torch (CPU), numpy and random are seeded; after it they go on as if nothing had been drawn.

    >>> with random_scope(3):
    ...     first = torch.rand(()).item()
    >>> with random_scope(3):
    ...     torch.rand(()).item() == first
    True
    """
    before = torch.get_rng_state(), np.random.get_state(), random.getstate()
    try:
        # not torch.manual_seed, which would seed every accelerator for good
        torch.default_generator.manual_seed(seed)
        np.random.seed(seed % 2**32)
        random.seed(seed)
        yield
    finally:
        torch.set_rng_state(before[0])
        np.random.set_state(before[1])
        random.setstate(before[2])
