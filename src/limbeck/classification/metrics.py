"""How often a classifier is right, and how often two agree, batch by batch."""

from dataclasses import dataclass

from torch import Tensor


@dataclass
class Accuracy:
    """Top-1 and top-5 over all batches so far, as fractions.

    >>> import torch
    >>> accuracy = Accuracy()
    >>> accuracy.update(torch.eye(10)[[3, 4]], torch.tensor([3, 9]))
    >>> accuracy.top1
    0.5
    """

    count: int = 0
    first: int = 0
    first_five: int = 0

    def update(self, scores: Tensor, labels: Tensor) -> None:
        best = scores.topk(min(5, scores.shape[1]), dim=1).indices
        right = best == labels.to(best.device)[:, None]
        self.count += len(labels)
        self.first += int(right[:, 0].sum())
        self.first_five += int(right.sum())

    @property
    def top1(self) -> float:
        return self.first / max(self.count, 1)

    @property
    def top5(self) -> float:
        return self.first_five / max(self.count, 1)


@dataclass
class Agreement:
    """How often two models give the same first answer.

    >>> import torch
    >>> agreement = Agreement()
    >>> agreement.update(torch.eye(3), torch.eye(3)[[0, 2, 1]])
    >>> round(agreement.share, 2)
    0.33
    """

    count: int = 0
    same: int = 0

    def update(self, scores: Tensor, others: Tensor) -> None:
        self.count += len(scores)
        self.same += int((scores.argmax(dim=1) == others.to(scores.device).argmax(dim=1)).sum())

    @property
    def share(self) -> float:
        return self.same / max(self.count, 1)
