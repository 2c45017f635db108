"""What a teacher sees of a photo: the input of its last layer, caught while it answers."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from limbeck.ssld.members import Network, TorchNetwork
from limbeck.ssld.teacher import Teacher


class Sight:
    """A teacher with its features: those of all members whose last layer is a linear one, side by side.

    >>> from limbeck.ssld.teacher import TeacherSpec
    >>> sight = Sight(TeacherSpec.parse("test_resnet", pretrained=False).load())
    >>> answers, features = sight.evaluate([torch.zeros(2, 3, 160, 160, dtype=torch.uint8)])
    >>> answers.shape, features.shape
    (torch.Size([2, 1000]), torch.Size([2, 96]))
    """

    def __init__(self, teacher: Teacher) -> None:
        self.teacher = teacher
        self._seen: list[Tensor] = []
        for layer in map(last_layer, teacher.members):
            if layer is not None:
                layer.register_forward_pre_hook(self._catch)
        blank = [torch.zeros(1, 3, *preprocess.size, dtype=torch.uint8) for preprocess in teacher.preprocesses]
        teacher.evaluate(blank)
        self.has_features = bool(self._seen) and all(seen.ndim == 2 for seen in self._seen)

    def evaluate(self, views: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
        """The answers to evaluation views, and the features, float32 [B, d]; None where no member has any."""
        self._seen.clear()
        answers = self.teacher.evaluate(views)
        return answers, torch.cat(self._seen, dim=1) if self.has_features else None

    def _catch(self, layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        self._seen.append(given[0].detach().float().cpu())


def last_layer(network: Network) -> nn.Linear | None:
    """The linear layer that makes a network's answers out of its features, where it ends with one."""
    if not isinstance(network, TorchNetwork):
        return None
    layers = [layer for layer in network.model.modules() if isinstance(layer, nn.Linear)]
    return layers[-1] if layers and layers[-1].out_features == network.classes else None
