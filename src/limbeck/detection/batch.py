"""What detectors are told and what they answer, for a whole batch in one tensor each."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from limbeck.records import Detections, Frame, Target


class Targets(NamedTuple):
    """The true boxes of a batch, padded to the largest count; `there` says which rows are real."""

    boxes: Tensor  # float32 [B, G, 4]
    labels: Tensor  # int64 [B, G]
    there: Tensor  # bool [B, G]

    @classmethod
    def of(cls, targets: Sequence[Target]) -> "Targets":
        """Boxes of crowds are left out: none of the detectors here learns from them.

        >>> Targets.of([Target(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))]).there.shape
        torch.Size([1, 0])
        """
        kept = [slice(None) if each.crowd is None else ~each.crowd for each in targets]
        boxes = [each.boxes[rows] for each, rows in zip(targets, kept)]
        labels = [each.labels[rows] for each, rows in zip(targets, kept)]
        there = [torch.ones(len(each), dtype=torch.bool, device=each.device) for each in boxes]
        return cls(*(pad_sequence(parts, batch_first=True) for parts in (boxes, labels, there)))

    def of_images(self, rows: Tensor) -> "Targets":
        """Some of the images."""
        return Targets(*(each.index_select(0, rows) for each in self))


class Found(NamedTuple):
    """Final detections of a batch in the original images' pixels, padded: `counts` rows of each image are real."""

    boxes: Tensor  # float32 [B, K, 4]
    scores: Tensor  # float32 [B, K], falling
    labels: Tensor  # int64 [B, K]
    counts: Tensor  # int64 [B]

    def detections(self) -> list[Detections]:
        counts = self.counts.tolist()
        rows = zip(self.boxes, self.scores, self.labels, counts, strict=True)
        return [Detections(boxes[:n], scores[:n], labels[:n]) for boxes, scores, labels, n in rows]


def stacked(frames: Sequence[Frame], device: torch.device | str = "cpu") -> Tensor:
    """Frames as one tensor [B, 4]: height, width, original height, original width.

    >>> stacked([Frame(300, 300, 480, 640)])
    tensor([[300., 300., 480., 640.]])
    """
    rows = [(each.height, each.width, each.original_height, each.original_width) for each in frames]
    return torch.tensor(rows, dtype=torch.float32, device=device)
