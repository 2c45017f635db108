"""Where a detector is told what its teacher thinks: the places beside the objects, and those on them."""

from collections.abc import Sequence

import torch
from torch import Tensor

from limbeck.detection.atss import Matched
from limbeck.layers.boxes import areas, centres

_NEARER = 0.25  # of a box's own threshold: how far below it its surroundings reach
_LEAST = 1e-6


def surroundings(priors: Sequence[Tensor], boxes: Tensor, there: Tensor, matched: Matched, form: str) -> Tensor:
    """The weight of each place in the valuable region, [B, N]: its best overlap with a box around which it lies.

    `form` measures how far a place is from a box: `diou` as the paper says (arXiv 2102.12252), `iof` as its authors'
    code computes it, with the prior's area in place of the union.
    """
    every = torch.cat(list(priors))
    if not there.shape[1]:
        return every.new_zeros(len(there), len(every))
    near = nearness(boxes, every, form)
    threshold = matched.threshold[..., None]
    region = (near >= _NEARER * threshold) & (near < threshold) & there[..., None] & matched.valid[:, None]
    return torch.where(region, matched.overlap, 0.0).amax(1)


def nearness(boxes: Tensor, priors: Tensor, form: str) -> Tensor:
    """What boxes and priors share, less the squared distance of their centres over that of their hull's corners.

    >>> nearness(torch.tensor([[0.0, 0.0, 4.0, 4.0]]), torch.tensor([[0.0, 0.0, 2.0, 4.0]]), "iof").item() > 0.9
    True
    """
    box, prior = boxes[..., :, None, :], priors
    low, high = torch.maximum(box[..., :2], prior[..., :2]), torch.minimum(box[..., 2:], prior[..., 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    against = areas(prior).expand_as(shared) if form == "iof" else areas(box) + areas(prior) - shared
    hull = torch.maximum(box[..., 2:], prior[..., 2:]) - torch.minimum(box[..., :2], prior[..., :2])
    diagonal = hull.clamp(min=0).square().sum(-1).clamp(min=_LEAST)
    apart = (centres(box)[..., :2] - centres(prior)[..., :2]).square().sum(-1)
    return shared / against.clamp(min=_LEAST) - apart / diagonal


def near_objects(there: Tensor, matched: Matched) -> Tensor:
    """Places that overlap an object by more than half of what its best place does, bool [B, N]."""
    if not there.shape[1]:
        return torch.zeros_like(matched.valid)
    overlap = matched.overlap.masked_fill(~matched.valid[:, None], -1.0)
    close = overlap > 0.5 * overlap.amax(2, keepdim=True)
    return (close & there[..., None]).any(1)
