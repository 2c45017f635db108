"""What the running references told of losses, assignments and priors, and their maps as rows."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from limbeck.detection.dense import Raw
from limbeck.detection.gfl import STRIDES, grid
from limbeck.detection.rows import rows

SEEDS = (0, 1, 2)


def fixture(shared: Path, name: str) -> dict[str, Tensor]:
    with np.load(shared / "fixtures" / "ld_ssd" / f"{name}.npz") as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays}


def gfl_raw(told: dict[str, Tensor]) -> tuple[Raw, list[Tensor], list[Tensor]]:
    """GFL's raw outputs from its maps, and the maps, which take gradients."""
    logits = [told[f"cls_score{level}"].requires_grad_() for level in range(5)]
    sides = [told[f"bbox_pred{level}"].requires_grad_() for level in range(5)]
    points = [grid((x.shape[2], x.shape[3]), stride, torch.device("cpu")) for x, stride in zip(logits, STRIDES)]
    return Raw([rows(x, x.shape[1]) for x in logits], [sides_of(x) for x in sides], points), logits, sides


def sides_of(maps: Tensor) -> Tensor:
    return rows(maps, 68).unflatten(2, (4, 17))
