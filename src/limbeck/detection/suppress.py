"""From candidates to final detections: the surest of each level, and of those that overlap the surest."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import nms

from limbeck.detection.batch import Found
from limbeck.layers.boxes import clipped

_ENOUGH, _MORE = 2, 3  # candidates looked at first for each that is kept; how many times more after that


@dataclass(frozen=True)
class Limits:
    """Which detections are kept: scores above, pairs of a level, overlap within a class, detections of an image."""

    score: float
    pairs: int
    overlap: float
    detections: int


def surest_pairs(scores: Tensor, above: float, most: int) -> tuple[Tensor, Tensor, Tensor]:
    """The best pairs of place and class of `scores` [B, N, C]: their scores, places and classes, [B, K] each.

    At most `most` of them; where a score is not above the threshold it is 0.

    >>> surest_pairs(torch.tensor([[[0.1, 0.9], [0.4, 0.2]]]), 0.3, 2)
    (tensor([[0.9000, 0.4000]]), tensor([[0, 1]]), tensor([[1, 0]]))
    """
    classes, whole = scores.shape[2], None
    if scores.shape[1] > most:  # the best pairs are at the best places: far fewer scores to sort
        whole = scores.amax(2).topk(most).indices
        scores = scores.gather(1, whole[..., None].expand(-1, -1, classes))
    best, pair = scores.flatten(1).topk(min(most, scores.shape[1] * classes))
    place = pair // classes
    place = place if whole is None else whole.gather(1, place)
    return torch.where(best > above, best, 0.0), place, pair % classes


def in_original_pixels(boxes: Tensor, frames: Tensor, *, clip: bool = True) -> Tensor:
    """Boxes [B, K, 4] of the network's input, clipped to the images and brought to their own sizes."""
    height, width, own_height, own_width = frames[:, :, None].unbind(1)
    scale = torch.stack([width / own_width, height / own_height], -1).repeat(1, 1, 2)
    return (clipped(boxes, height, width) if clip else boxes) / scale


def suppressed(boxes: Tensor, scores: Tensor, labels: Tensor, *, overlap: float, most: int) -> Found:
    """Of boxes of one class that overlap by more than `overlap` only the surest.

    Candidates of score 0, or of no extent, are none.

    >>> two = torch.tensor([[[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 4.0]]])
    >>> suppressed(two, torch.tensor([[0.9, 0.8]]), torch.tensor([[1, 1]]), overlap=0.5, most=9).counts
    tensor([1])
    """
    real = (scores > 0) & (boxes[..., 2] > boxes[..., 0]) & (boxes[..., 3] > boxes[..., 1])
    scores, order = (scores * real).sort(1, descending=True)
    boxes, labels = boxes.gather(1, order[..., None].expand(-1, -1, 4)), labels.gather(1, order)
    apart = _apart(boxes, labels, scores > 0)
    rows, there = _surest(apart, scores, overlap, most)
    return Found(
        boxes.gather(1, rows[..., None].expand(-1, -1, 4)) * there[..., None],
        scores.gather(1, rows) * there,
        labels.gather(1, rows) * there,
        there.sum(1),
    )


def _surest(apart: Tensor, scores: Tensor, overlap: float, most: int) -> tuple[Tensor, Tensor]:
    """Rows of the candidates that are kept, padded with row 0 to `most`, and which of them are no padding.

    What the surest suppress does not depend on the rest: of many candidates the first few are often enough.
    """
    count = scores.shape[1]
    looked = count if torch.compiler.is_exporting() else min(count, _ENOUGH * most)
    while True:
        each = [_kept(*candidates, overlap, most) for candidates in zip(apart[:, :looked], scores[:, :looked])]
        rows, there = (torch.stack(column) for column in zip(*each, strict=True))
        if looked == count or bool((there.all(1) | (scores[:, looked] == 0)).all()):
            return rows, there
        looked = min(count, _MORE * looked)


def _kept(apart: Tensor, scores: Tensor, overlap: float, most: int) -> tuple[Tensor, Tensor]:
    rows = nms(apart, scores, overlap)
    places = torch.arange(most, device=rows.device)
    padded = torch.cat([rows, rows.new_zeros(most)])[places]  # not a slice: its length would depend on values
    return padded, places < (scores[rows] > 0).sum()


def _apart(boxes: Tensor, labels: Tensor, real: Tensor) -> Tensor:
    """Boxes so far apart that those of two classes never meet; what is not real lies in one place of its own."""
    largest = boxes.masked_fill(~real[..., None], 0).flatten(1).amax(1)
    moved = boxes + (labels * (largest[:, None] + 1))[..., None]
    return torch.where(real[..., None], moved, moved.new_tensor([-2.0, -2.0, -1.0, -1.0]))


def joined(parts: Sequence[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """The candidates of all levels, side by side."""
    return tuple(torch.cat(column, 1) for column in zip(*parts, strict=True))
