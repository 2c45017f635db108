"""Adaptive training sample selection: each true box sets its own threshold (arXiv 1912.02424)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from limbeck.detection.matching import NOBODY
from limbeck.layers.boxes import overlaps, reach

_INSIDE = 0.01  # pixels


class Matched(NamedTuple):
    """Which true box each prior answers for, and what that was decided by."""

    owner: Tensor  # int64 [B, N]: a row of the targets, or NOBODY
    overlap: Tensor  # float32 [B, G, N]
    threshold: Tensor  # float32 [B, G]
    valid: Tensor  # bool [B, N]: the priors that take part

    def of_images(self, rows: Tensor) -> "Matched":
        """Some of the images."""
        return Matched(*(each.index_select(0, rows) for each in self))


def adaptive(priors: Sequence[Tensor], boxes: Tensor, there: Tensor, valid: Tensor, candidates: int = 9) -> Matched:
    """For each true box the nearest `candidates` of each level; those that overlap it more than usual are its own.

    `priors` [n, 4] are squares, one a place and level; `boxes` [B, G, 4] of which `there` are real; places that are
    not `valid` [B, N] take no part.
    """
    every = torch.cat(list(priors))
    batch, count = there.shape
    if count == 0:
        nothing = boxes.new_zeros(batch, 0, len(every))
        return Matched(torch.full_like(valid, NOBODY, dtype=torch.int64), nothing, boxes.new_zeros(batch, 0), valid)
    overlap = overlaps(boxes, every)  # [B, G, N]
    points = (every[:, :2] + every[:, 2:]) / 2
    middle = (boxes[..., :2] + boxes[..., 2:]) / 2
    distance = (middle[:, :, None] - points).square().sum(-1).sqrt()
    distance = distance.masked_fill(~valid[:, None], torch.inf)
    rows, start = [], 0
    for level in priors:
        near = distance[..., start : start + len(level)].topk(min(candidates, len(level)), dim=2, largest=False)
        rows.append(near.indices + start)
        start += len(level)
    row = torch.cat(rows, 2)  # [B, G, K]
    able = valid[:, None].expand(-1, count, -1).gather(2, row)
    of_candidates = overlap.gather(2, row)
    threshold = _usual(of_candidates, able)
    side = reach(points[row], boxes[:, :, None]).amin(3)
    own = able & there[..., None] & (of_candidates >= threshold[..., None]) & (side > _INSIDE)
    chosen = torch.zeros_like(overlap, dtype=torch.bool).scatter(2, row, own)
    most, owner = overlap.masked_fill(~chosen, -torch.inf).max(1)
    return Matched(torch.where(most > -torch.inf, owner, NOBODY), overlap, threshold, valid)


def _usual(overlap: Tensor, able: Tensor) -> Tensor:
    """Mean plus standard deviation over the candidates that are able."""
    count = able.sum(2)
    mean = (overlap * able).sum(2) / count
    spread = ((overlap - mean[..., None]).square() * able).sum(2) / (count - 1)
    return mean + spread.sqrt()
