"""A model where it is trained."""

from typing import TypeVar

import timm
import torch
from torch import nn

from limbeck.errors import OptionError

Model = TypeVar("Model", bound=nn.Module)


def placed(model: Model, device: torch.device, *, one_norm: bool) -> Model:
    """On its device, in the layout that convolutions like, in training; with `one_norm` over all processes.

    >>> placed(nn.Conv2d(3, 4, 3), torch.device("cpu"), one_norm=False).training
    True
    """
    if one_norm:
        if device.type != "cuda":
            raise OptionError(
                f"--sync-bn on {device}", expected="a CUDA device", hint="--no-sync-bn: one batch norm a process"
            )
        model = with_one_norm(model)
    return model.to(device).to(memory_format=torch.channels_last).train()


def with_one_norm(student: Model) -> Model:
    """Batch norms over all processes. timm's converter, since torch's drops the activations inside timm's norms.

    >>> from limbeck.classification.models import build
    >>> type(with_one_norm(build("test_efficientnet")).bn1).__name__
    'SyncBatchNormAct'
    """
    converted: Model = timm.layers.convert_sync_batchnorm(student)  # type: ignore[attr-defined, no-untyped-call]
    return converted
