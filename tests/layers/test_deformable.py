"""A deformable convolution begins as the one that it is made of, and learns where to look."""

import timm
import torch
from torch import nn

from limbeck.layers.deformable import Deformable, deformed


def test_it_begins_as_the_convolution_that_it_is_made_of() -> None:
    torch.manual_seed(0)
    conv, x = nn.Conv2d(4, 6, 3, stride=2, padding=1, bias=False), torch.randn(2, 4, 9, 11)
    torch.testing.assert_close(Deformable(conv)(x), conv(x), rtol=1e-5, atol=1e-5)


def test_its_places_learn() -> None:
    torch.manual_seed(0)
    layer = Deformable(nn.Conv2d(2, 2, 3, padding=1, bias=False))
    layer(torch.randn(1, 2, 6, 6)).square().sum().backward()
    assert layer.conv_offset.bias is not None
    assert layer.conv_offset.bias.grad is not None
    assert layer.conv_offset.bias.grad.abs().sum() > 0


def test_a_resnet_keeps_its_own_tensors() -> None:
    plain = timm.create_model("test_resnet").state_dict()
    changed = deformed(timm.create_model("test_resnet"), ("layer3",)).state_dict()
    added = set(changed) - set(plain)
    assert set(plain) <= set(changed)
    assert added
    assert all(name.startswith("layer3.") and ".conv2.conv_offset." in name for name in added)


def test_it_computes_in_float32_where_others_do_not() -> None:
    torch.manual_seed(0)
    layer = Deformable(nn.Conv2d(8, 8, 3, padding=1, bias=False))
    x = torch.randn(2, 8, 6, 6)
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(x.bfloat16())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, layer(x), atol=0.05, rtol=0.05)
    found.sum().backward()
    assert layer.weight.grad is not None
