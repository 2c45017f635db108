"""The feature pyramid where its coarsest maps are one place wide."""

import torch

from limbeck.layers.pyramid import Pyramid


def test_gradients_in_bfloat16_are_those_of_float32() -> None:
    torch.manual_seed(0)
    pyramid = Pyramid([8, 8, 8], width=64, coarser=2).to(memory_format=torch.channels_last)
    maps = [torch.randn(2, 8, side, side) for side in (8, 4, 2)]

    def gradients(narrow: bool) -> list[torch.Tensor]:
        pyramid.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=narrow):
            found = pyramid(maps)
        torch.stack([each.float().square().mean() for each in found]).sum().backward()
        return [parameter.grad.clone() for parameter in pyramid.parameters() if parameter.grad is not None]

    exact = gradients(False)
    noise = [torch.full((64, 64, 3, 3), 3e38) for _ in range(64)]  # what memory that nobody wrote then holds
    del noise
    for one, other in zip(exact, gradients(True), strict=True):
        assert (one - other).abs().max() <= 0.05 * one.abs().max()
