"""What a foreign file of weights turned out to be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.checkpoints.card import Card, save
from limbeck.checkpoints.weights import fit_weights
from limbeck.classification.models import Architecture
from limbeck.classification.names import imagenet_names, numbered
from limbeck.errors import CheckpointError, counted
from limbeck.records import Preprocess


@dataclass(frozen=True)
class Conversion:
    """A recognised file: which network, whose definition of it, and its tensors under limbeck's names."""

    family: str  # Paddle, timm or torchvision: whose file it is
    definition: str  # whose definition of the network
    architecture: Architecture
    weights: Mapping[str, Tensor]
    preprocess: Preprocess
    dropped: Mapping[str, str] = field(default_factory=dict)  # what in the file was not used, and what it is
    drawn: Sequence[str] = ()  # tensors that the file has not, and that begin anew
    notes: Sequence[str] = ()

    @property
    def classes(self) -> int:
        return int(self.architecture.args["num_classes"])

    @property
    def full_name(self) -> str:
        return self.architecture.full_name

    @property
    def own_names(self) -> tuple[str, ...]:
        """The classes' names where nobody gives any: ImageNet's where there are as many."""
        return imagenet_names(self.classes) or numbered(self.classes)

    def build(self, source: str) -> nn.Module:
        """The network with these weights."""
        model = self.architecture.build()
        anew = {name: value for name, value in model.state_dict().items() if name in self.drawn}
        fit_weights(model, {**self.weights, **anew}, source)
        check_finite(model, source)
        return model

    def save(self, out: Path, model: nn.Module, names: Sequence[str], provenance: Mapping[str, Any]) -> None:
        save(out, model, Card(vars(self.architecture), names, self.preprocess, provenance))


def check_finite(model: nn.Module, source: str) -> None:
    """Weights that are nan or infinite are an error; norms' counters are not looked at."""
    learnt = dict(model.named_parameters())
    told = {name: value for name, value in model.named_buffers() if ".running_" in f".{name}"}
    broken = [name for name, value in (learnt | told).items() if not torch.isfinite(value).all()]
    if broken:
        raise CheckpointError(
            f"{source} has nan or infinite values in {counted(len(broken), 'tensor')}: {', '.join(broken[:3])}",
            expected="finite weights, within float32",
            hint="the file of an earlier epoch",
        )


def grouped(names: Sequence[str], prefix: str = "") -> dict[str, int]:
    """How many names begin alike; below a prefix, by the word that follows.

    >>> grouped(["neck.a.weight", "neck.b.weight", "backbone.extra.c"], "backbone.")
    {'neck': 2, 'backbone.extra': 1}
    """
    counts: dict[str, int] = {}
    for name in names:
        above = prefix if name.startswith(prefix) else ""
        first = above + name.removeprefix(above).partition(".")[0]
        counts[first] = counts.get(first, 0) + 1
    return counts


def differences(missing: Sequence[str], unexpected: Sequence[str], odd: Sequence[str], most: int = 3) -> str:
    """What keeps two lists of tensors apart.

    >>> differences(["fc.bias"], [], [])
    '1 tensor missing (fc.bias)'
    """

    def some(what: str, names: Sequence[str]) -> str:
        if not names:
            return ""
        more = ", ..." if len(names) > most else ""
        return f"{counted(len(names), 'tensor')} {what} ({', '.join(names[:most])}{more})"

    told = some("missing", missing), some("unexpected", unexpected), some("of another shape", odd)
    return "; ".join(filter(None, told))
