"""Streaming accuracy against the whole at once."""

import torch

from limbeck.classification.metrics import Accuracy, Agreement


def test_batches_give_what_the_whole_gives() -> None:
    scores, labels = torch.randn(100, 20), torch.randint(20, (100,))
    accuracy = Accuracy()
    for part, truth in zip(scores.split(33), labels.split(33), strict=True):
        accuracy.update(part, truth)
    rank = (scores > scores.gather(1, labels[:, None])).sum(1)
    assert accuracy.count == 100
    assert accuracy.top1 == int((rank == 0).sum()) / 100
    assert accuracy.top5 == int((rank < 5).sum()) / 100


def test_fewer_than_five_classes() -> None:
    accuracy = Accuracy()
    accuracy.update(torch.eye(3), torch.tensor([0, 1, 0]))
    assert (accuracy.top1, accuracy.top5) == (2 / 3, 1.0)


def test_agreement() -> None:
    agreement = Agreement()
    agreement.update(torch.eye(4), torch.eye(4)[[0, 1, 3, 2]])
    agreement.update(torch.eye(4), torch.eye(4))
    assert agreement.share == 6 / 8
    assert Agreement().share == Accuracy().top1 == 0
