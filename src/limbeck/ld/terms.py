"""What localization distillation adds to a detector's losses, term by term, over all places of a batch at once."""

import torch
from torch import Tensor

_EPS = torch.finfo(torch.float32).eps
_ON, _AROUND = 4, 16  # what the reference divides by


def softened(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Kullback-Leibler divergence of softened distributions, the mean over their bins, times the temperature squared.

    >>> softened(torch.zeros(3), torch.zeros(3), 10.0)
    tensor(0.)
    """
    target = (teacher.detach() / temperature).softmax(-1)
    logs = (student / temperature).log_softmax(-1)
    apart: Tensor = torch.special.xlogy(target, target) - target * logs
    return apart.mean(-1) * temperature**2


def on_objects(distance: Tensor, weight: Tensor) -> Tensor:
    """The `distance` of the sides, summed over them, at the places that own a box, by their weight: both [B, N]."""
    return (distance * weight).sum() / (_ON + _EPS)


def around_objects(distance: Tensor, weight: Tensor) -> Tensor:
    """The same of the places around the objects."""
    return (distance * weight).sum() / (_AROUND + _EPS)


def of_classes(student: Tensor, teacher: Tensor, owned: Tensor, temperature: float) -> Tensor:
    """The class scores [B, N, classes] of one level's places that own a box: the mean over them."""
    distance = softened(student, teacher, temperature)
    return (distance * owned).sum() / (owned.sum() + _EPS)


def of_features(student: Tensor, teacher: Tensor, chosen: Tensor) -> Tensor:
    """The squared distance of one level's features [B, N, C], the mean over the chosen places' channels."""
    distance = (student - teacher.detach()).square().mean(2)
    return (distance * chosen).sum() / chosen.sum().clamp(min=1)
