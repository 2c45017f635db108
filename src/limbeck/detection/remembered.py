"""Tensors that depend on sizes alone, made once."""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import ParamSpec

import torch
from torch import Tensor

Given = ParamSpec("Given")


def remembered(make: Callable[Given, Tensor]) -> Callable[Given, Tensor]:
    """`make`, asked once for the same sizes and device.

    What is traced has no values, and must not be kept for those who want some; what is made while predicting must do
    for training too.

    >>> steps = remembered(lambda count, stride: torch.arange(count) * stride)
    >>> steps(3, 8) is steps(3, 8)
    True
    """
    kept: Callable[..., Tensor] = lru_cache(64)(make)

    @wraps(make)
    def made(*given: Given.args, **named: Given.kwargs) -> Tensor:
        if torch.compiler.is_compiling():
            return make(*given, **named)
        with torch.inference_mode(False):
            return kept(*given, **named)

    return made
