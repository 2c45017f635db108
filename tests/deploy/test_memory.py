"""The peak of work, not what it leaves behind."""

import time

import pytest
import torch

from limbeck.deploy.memory import peak, settled

MB = 2**20


def test_what_is_given_back_before_the_end_counts() -> None:
    with peak(torch.device("cpu"), since=settled()) as found:
        large = torch.ones(32 * MB)  # 128 MB
        time.sleep(0.1)
        del large
    assert 120 * MB < found.bytes < 400 * MB
    assert found.gb == found.bytes / 2**30


def test_a_failure_is_not_hidden() -> None:
    with pytest.raises(ValueError, match="of the work"), peak(torch.device("cpu"), since=settled()):
        raise ValueError("of the work")
