"""A classifier as a backbone: its maps at chosen strides, without what lies behind them."""

import copy
from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor, nn

from limbeck.errors import OptionError


class Features(nn.Module):
    """The maps of a network at the strides asked for, the finest first; all that it has where none are named.

    The network stays as it is: what is kept of it is a copy. Where several of its blocks have the same stride, as in a
    ViT, the map is that of the last.

    >>> import timm, torch
    >>> backbone = Features(timm.create_model("test_resnet"), strides=(8, 16))
    >>> backbone.channels, [tuple(map_.shape) for map_ in backbone(torch.zeros(1, 3, 64, 64))]
    ((48, 192), [(1, 48, 8, 8), (1, 192, 4, 4)])
    """

    channels: tuple[int, ...]
    strides: tuple[int, ...]

    def __init__(self, model: nn.Module, strides: Sequence[int] | None = None) -> None:
        super().__init__()
        last = _last_at_each_stride(model)
        chosen = sorted(set(strides if strides is not None else last))
        lacking = [stride for stride in chosen if stride not in last]
        if lacking or not chosen:
            raise OptionError(
                f"this {type(model).__name__} has no map at stride {_listed(lacking) or 'of none'}",
                expected=f"one or more of {_listed(last)}",
                hint=f"strides=({_listed(list(last)[-3:])},)",
            )
        self.strides = tuple(chosen)
        self.channels = tuple(last[stride]["num_chs"] for stride in chosen)
        self._indices = [last[stride]["index"] for stride in chosen]
        kept: Any = copy.deepcopy(model)
        kept.prune_intermediate_layers(self._indices, prune_norm=True, prune_head=True)
        self.model = kept
        self.norms_rest = False  # norms take no statistics in training: those that they came with stay

    def train(self, mode: bool = True) -> "Features":
        super().train(mode)
        if self.norms_rest:
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def forward(self, images: Tensor) -> list[Tensor]:
        network: Any = self.model
        maps: list[Tensor] = network.forward_intermediates(
            images, indices=self._indices, output_fmt="NCHW", intermediates_only=True
        )
        return maps


def _last_at_each_stride(model: nn.Module) -> dict[int, dict[str, Any]]:
    needed = ("feature_info", "forward_intermediates", "prune_intermediate_layers")
    if not all(hasattr(model, name) for name in needed):
        raise OptionError(
            f"a {type(model).__name__} does not tell its maps",
            expected="a network of limbeck or of timm, in a timm that is not too old",
            hint="limbeck models, for their names; or pip install --upgrade timm",
        )
    info: Any = model.feature_info
    return {each["reduction"]: {**each, "index": index} for index, each in enumerate(info)}


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))
