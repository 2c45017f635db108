"""Small stacks of layers that several networks share."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

Norm = Callable[[int], nn.Module]


class L2Norm(nn.Module):
    """Each place's channels brought to length one, then scaled by a learned number a channel.

    >>> L2Norm(2, 20.0)(torch.tensor([3.0, 4.0]).view(1, 2, 1, 1)).flatten().tolist()
    [12.0, 16.0]
    """

    def __init__(self, channels: int, start: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), start))

    def forward(self, x: Tensor) -> Tensor:
        length = x.float().square().sum(1, keepdim=True).sqrt() + 1e-10
        return (self.weight[:, None, None] * x / length).to(x.dtype)


def conv_relu(inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 0) -> nn.Sequential:
    """A convolution with a bias, then ReLU."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, padding), nn.ReLU(inplace=True))


def conv_norm_relu6(
    inputs: int, outputs: int, kernel: int, norm: Norm, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """A convolution without a bias, a norm, ReLU6."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, norm(outputs), nn.ReLU6(inplace=True))


def separable(inputs: int, outputs: int, norm: Norm, stride: int = 1) -> nn.Sequential:
    """A depthwise 3x3 and a pointwise convolution, each with its norm and ReLU6."""
    return nn.Sequential(
        conv_norm_relu6(inputs, inputs, 3, norm, stride, groups=inputs), conv_norm_relu6(inputs, outputs, 1, norm)
    )
