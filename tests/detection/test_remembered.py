"""Tensors of sizes are kept, but not those that would harm who comes next."""

import torch
from torch import Tensor, nn

from limbeck.detection.remembered import remembered


@remembered
def steps(count: int, stride: int) -> Tensor:
    return torch.arange(count, dtype=torch.float32) * stride


class Moved(nn.Module):
    def forward(self, values: Tensor) -> Tensor:
        return values + steps(values.shape[0], 8)


def test_what_is_traced_is_not_kept() -> None:
    exported = torch.export.export(Moved(), (torch.zeros(5),))
    assert steps(5, 8).tolist() == [0, 8, 16, 24, 32]
    torch.testing.assert_close(exported.module()(torch.ones(5)), 1 + steps(5, 8))


def test_what_is_made_while_predicting_is_learned_with() -> None:
    with torch.inference_mode():
        made = steps(7, 4)
    assert made is steps(7, 4)
    weight = torch.ones(7, requires_grad=True)
    (weight * made).sum().backward()
    assert weight.grad is not None
    assert torch.equal(weight.grad, made)
