"""Boxes as x1, y1, x2, y2 in pixels: overlaps, deltas, clipping. Any leading dimensions are a batch."""

import math

import torch
from torch import Tensor

LARGEST_SCALE = abs(math.log(16 / 1000))  # of width and height, either way
_LEAST_UNION = 1e-6


def areas(boxes: Tensor) -> Tensor:
    """Width times height.

    >>> areas(torch.tensor([[0.0, 0.0, 2.0, 3.0]]))
    tensor([6.])
    """
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def overlaps(one: Tensor, other: Tensor) -> Tensor:
    """Intersection over union of each of `one` [..., N, 4] with each of `other` [..., M, 4]: [..., N, M].

    >>> overlaps(torch.tensor([[0.0, 0.0, 2.0, 2.0]]), torch.tensor([[1.0, 0.0, 3.0, 2.0]]))
    tensor([[0.3333]])
    """
    first, second = one[..., :, None, :], other[..., None, :, :]
    width = torch.minimum(first[..., 2], second[..., 2]) - torch.maximum(first[..., 0], second[..., 0])
    height = torch.minimum(first[..., 3], second[..., 3]) - torch.maximum(first[..., 1], second[..., 1])
    shared = width.clamp_(min=0) * height.clamp_(min=0)
    union = areas(first) + areas(second) - shared
    return shared / union.clamp_(min=_LEAST_UNION)


def centres(boxes: Tensor) -> Tensor:
    """Centre x, centre y, width, height.

    >>> centres(torch.tensor([0.0, 0.0, 2.0, 4.0]))
    tensor([1., 2., 2., 4.])
    """
    low, high = boxes[..., :2], boxes[..., 2:]
    return torch.cat([(low + high) * 0.5, high - low], -1)


def encode(boxes: Tensor, priors: Tensor, deviations: tuple[float, float, float, float]) -> Tensor:
    """The deltas that lead from priors to boxes, in units of `deviations`.

    >>> encode(torch.tensor([1.0, 0.0, 3.0, 2.0]), torch.tensor([0.0, 0.0, 2.0, 2.0]), (0.1, 0.1, 0.2, 0.2))
    tensor([5., 0., 0., 0.])
    """
    box, prior = centres(boxes), centres(priors)
    shift = (box[..., :2] - prior[..., :2]) / prior[..., 2:]
    scale = (box[..., 2:] / prior[..., 2:]).log()
    return torch.cat([shift, scale], -1) / box.new_tensor(deviations)


def decode(deltas: Tensor, priors: Tensor, deviations: tuple[float, float, float, float]) -> Tensor:
    """The boxes that deltas lead to; no side becomes more than 62.5 times longer or shorter than its prior's.

    >>> decode(torch.tensor([5.0, 0.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, 2.0, 2.0]), (0.1, 0.1, 0.2, 0.2))
    tensor([1., 0., 3., 2.])
    """
    scaled, prior = deltas * deltas.new_tensor(deviations), centres(priors)
    middle = prior[..., :2] + prior[..., 2:] * scaled[..., :2]
    half = prior[..., 2:] * scaled[..., 2:].clamp(-LARGEST_SCALE, LARGEST_SCALE).exp() * 0.5
    return torch.cat([middle - half, middle + half], -1)


def clipped(boxes: Tensor, height: Tensor, width: Tensor) -> Tensor:
    """Boxes within images of these sizes, which broadcast against [..., N].

    >>> clipped(torch.tensor([[-1.0, 0.0, 9.0, 5.0]]), torch.tensor(4.0), torch.tensor(8.0))
    tensor([[0., 0., 8., 4.]])
    """
    zero = boxes.new_zeros(())
    limits = (width, height, width, height)
    return torch.stack([side.clamp(zero, most) for side, most in zip(boxes.unbind(-1), limits)], -1)


def pairwise_quality(boxes: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Overlap and generalised overlap (arXiv 1902.09630) of each box with the one beside it, [...] each.

    >>> pairwise_quality(torch.tensor([0.0, 0.0, 2.0, 2.0]), torch.tensor([4.0, 0.0, 6.0, 2.0]))
    (tensor(0.), tensor(-0.3333))
    """
    low = torch.maximum(boxes[..., :2], truth[..., :2])
    high = torch.minimum(boxes[..., 2:], truth[..., 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    union = (areas(boxes) + areas(truth) - shared).clamp(min=_LEAST_UNION)
    outer_low = torch.minimum(boxes[..., :2], truth[..., :2])
    outer_high = torch.maximum(boxes[..., 2:], truth[..., 2:])
    hull = (outer_high - outer_low).clamp(min=0).prod(-1).clamp(min=_LEAST_UNION)
    overlap = shared / union
    return overlap, overlap - (hull - union) / hull


def around(points: Tensor, distances: Tensor) -> Tensor:
    """Boxes that reach this far to the left, top, right and bottom of points [..., 2].

    >>> around(torch.tensor([4.0, 4.0]), torch.tensor([1.0, 2.0, 3.0, 4.0]))
    tensor([3., 2., 7., 8.])
    """
    return torch.cat([points - distances[..., :2], points + distances[..., 2:]], -1)


def reach(points: Tensor, boxes: Tensor) -> Tensor:
    """How far boxes reach to the left, top, right and bottom of points.

    >>> reach(torch.tensor([4.0, 4.0]), torch.tensor([3.0, 2.0, 7.0, 8.0]))
    tensor([1., 2., 3., 4.])
    """
    return torch.cat([points - boxes[..., :2], boxes[..., 2:] - points], -1)
