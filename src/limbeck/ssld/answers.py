"""How often a model is right on labelled photos, and where it is not."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from limbeck.ssld.labels import Labels
from limbeck.ssld.probe import TOP, answers_of
from limbeck.ssld.step import StudentInput
from limbeck.training.ranks import Ranks

_FIVE = 5


@dataclass(frozen=True)
class Answers:
    """What a model answers to labelled photos, row by row."""

    rows: Tensor  # int64 [n]: which of the photos
    truth: Tensor  # int64 [n]
    best: Tensor  # int64 [n, k]: the first classes
    probability: Tensor  # float32 [n, k]
    among_five: Tensor  # bool [n]

    def right(self) -> Tensor:
        return self.best[:, 0] == self.truth

    def confusion(self, classes: int) -> Tensor:
        """How many photos of each class (row) were taken for each class (column)."""
        pairs = self.truth * classes + self.best[:, 0]
        return torch.bincount(pairs, minlength=classes * classes).view(classes, classes)


def look(
    model: nn.Module,
    inputs: StudentInput,
    labels: Labels,
    device: torch.device,
    workers: int,
    rank: int = 0,
    world: int = 1,
) -> Answers:
    """The model's answers to this process's share of labelled photos, on its evaluation crop."""
    mine = np.arange(rank, len(labels.photos), world)
    keep = min(TOP, len(labels.classes))
    parts = [_answers(torch.zeros(0, len(labels.classes)), torch.zeros(0).long(), torch.zeros(0).long(), keep)]
    for logits, places in answers_of(model, inputs, labels.photos.take(mine), device, workers):
        rows = torch.from_numpy(mine)[places]
        parts.append(_answers(logits.cpu(), rows, labels.truth[rows], keep))
    return Answers(*(torch.cat(values) for values in zip(*(vars(part).values() for part in parts), strict=True)))


def numbers(answers: Answers, ranks: Ranks) -> dict[str, float]:
    """Top-1 and top-5, over what all processes have seen."""
    counts = int(answers.right().sum()), int(answers.among_five.sum()), len(answers.rows)
    first, five, total = ranks.sum(counts)
    return {"top1": first / max(1.0, total), "top5": five / max(1.0, total)}


def _answers(logits: Tensor, rows: Tensor, truth: Tensor, keep: int) -> Answers:
    probability, best = logits.softmax(1).topk(keep)
    five = logits.topk(min(_FIVE, logits.shape[1])).indices
    return Answers(rows, truth, best, probability, (five == truth[:, None]).any(1))
