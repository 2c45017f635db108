"""HRNet-W18-C and SE-HRNet-W64-C as the reference defines them."""

from typing import Any

import timm
from timm.models.resnet import BasicBlock, Bottleneck
from torch import Tensor, nn

from limbeck.backbones.same import described, from_timm


class SqueezeExcite(nn.Module):
    """A gate for each channel, from the means of all.

    >>> import torch
    >>> SqueezeExcite(64)(torch.ones(1, 64, 2, 2)).shape
    torch.Size([1, 64, 2, 2])
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.fc_squeeze = nn.Linear(channels, channels // reduction)
        self.fc_excitation = nn.Linear(channels // reduction, channels)

    def forward(self, values: Tensor) -> Tensor:
        squeezed = self.fc_squeeze(values.mean((2, 3))).relu()
        gates: Tensor = self.fc_excitation(squeezed).sigmoid()
        return values * gates[:, :, None, None]


def hrnet_w18_c(num_classes: int = 1000, **args: Any) -> nn.Module:
    """HRNet-W18-C: the convolutions of its head have no biases, as those of timm's hrnet_w18 do."""
    return from_timm("hrnet_w18_c", num_classes, args)


def se_hrnet_w64_c(num_classes: int = 1000, **args: Any) -> nn.Module:
    """SE-HRNet-W64-C: every residual block, those of the head too, is gated after its last norm."""
    network = timm.create_model("hrnet_w64", num_classes=num_classes, **{"head_conv_bias": False, **args})
    for block in network.modules():
        if isinstance(block, BasicBlock | Bottleneck):
            last = block.conv3 if isinstance(block, Bottleneck) else block.conv2
            block.se = SqueezeExcite(last.out_channels)
    return described(network, "se_hrnet_w64_c")
