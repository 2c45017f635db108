"""From candidates to final detections: the surest of each level, and of those that overlap the surest."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torchvision.ops import nms

from limbeck.detection.batch import Found
from limbeck.layers.boxes import clipped


def surest_pairs(scores: Tensor, above: float, most: int) -> tuple[Tensor, Tensor, Tensor]:
    """The best pairs of place and class of `scores` [B, N, C]: their scores, places and classes, [B, K] each.

    At most `most` of them; where a score is not above the threshold it is 0.

    >>> surest_pairs(torch.tensor([[[0.1, 0.9], [0.4, 0.2]]]), 0.3, 2)
    (tensor([[0.9000, 0.4000]]), tensor([[0, 1]]), tensor([[1, 0]]))
    """
    classes = scores.shape[2]
    flat = scores.flatten(1)
    best, pair = flat.topk(min(most, flat.shape[1]))
    return torch.where(best > above, best, 0.0), pair // classes, pair % classes


def in_original_pixels(boxes: Tensor, frames: Tensor) -> Tensor:
    """Boxes [B, K, 4] of the network's input, clipped to the images and brought to their own sizes."""
    height, width, own_height, own_width = frames[:, :, None].unbind(1)
    scale = torch.stack([width / own_width, height / own_height], -1).repeat(1, 1, 2)
    return clipped(boxes, height, width) / scale


def suppressed(boxes: Tensor, scores: Tensor, labels: Tensor, *, overlap: float, most: int) -> Found:
    """Of boxes of one class that overlap by more than `overlap` only the surest.

    Candidates of score 0, or of no extent, are none.

    >>> two = torch.tensor([[[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 4.0]]])
    >>> suppressed(two, torch.tensor([[0.9, 0.8]]), torch.tensor([[1, 1]]), overlap=0.5, most=9).counts
    tensor([1])
    """
    kept = [_kept(*each, overlap, most) for each in zip(boxes, scores, labels, strict=True)]
    columns = zip(boxes, scores, labels, kept, strict=True)
    parts = [(box[rows], score[rows], label[rows]) for box, score, label, rows in columns]
    box, score, label = (pad_sequence(list(column), batch_first=True) for column in zip(*parts, strict=True))
    return Found(box, score, label, torch.tensor([len(rows) for rows in kept], device=boxes.device))


def _kept(boxes: Tensor, scores: Tensor, labels: Tensor, overlap: float, most: int) -> Tensor:
    (real,) = torch.where((scores > 0) & (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]))
    boxes, scores, labels = boxes[real], scores[real], labels[real]
    if not len(real):
        return real
    # far apart, boxes of two classes never meet: one pass serves all classes
    apart = boxes + (labels.to(boxes) * (boxes.max() + 1))[:, None]
    return real[nms(apart, scores, overlap)[:most]]


def joined(parts: Sequence[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """The candidates of all levels, side by side."""
    return tuple(torch.cat(column, 1) for column in zip(*parts, strict=True))
