"""Photos with their classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from limbeck.classification.names import find_classes, match_folders
from limbeck.errors import counted
from limbeck.images.imageset import ImageSet

_UNEVEN = 10


@dataclass(frozen=True)
class Labels:
    """Labelled photos: row i of `truth` is the class of photo i."""

    photos: ImageSet
    truth: Tensor
    classes: tuple[str, ...]

    def take(self, rows: NDArray[np.int64]) -> "Labels":
        return Labels(self.photos.take(rows), self.truth[torch.from_numpy(rows)], self.classes)

    def counts(self) -> list[int]:
        """How many photos each class has."""
        return torch.bincount(self.truth, minlength=len(self.classes)).tolist()


@dataclass(frozen=True)
class Named:
    """Labelled photos, each with the name of its class; `held` says which are for measuring, where somebody said so."""

    photos: ImageSet
    names: Sequence[str]
    held: NDArray[np.bool_] | None = None

    @cached_property
    def kinds(self) -> frozenset[str]:
        return frozenset(self.names)

    def labels(self, classes: tuple[str, ...]) -> Labels:
        place = find_classes(self.kinds, classes)
        return Labels(self.photos, torch.tensor([place[name] for name in self.names]), classes)


def labels_of(photos: ImageSet, classes: tuple[str, ...]) -> Labels:
    """The classes of photos whose folders are called after a model's own."""
    folders = [photos.folder(index) for index in range(len(photos))]
    position = match_folders(folders, classes)
    return Labels(photos, torch.tensor([position[folder] for folder in folders]), classes)


def tell_balance(labels: Labels) -> str:
    """The largest and the smallest class in one line, and what that may ask for."""
    counts = labels.counts()
    most, least = max(counts), min(counts)
    large, small = labels.classes[counts.index(most)], labels.classes[counts.index(least)]
    if most == least:
        return f"{counted(len(counts), 'class', 'classes')} of {counted(most, 'photo')} each"
    told = f"{counted(len(counts), 'class', 'classes')}: '{large}' has {counted(most, 'photo')}, '{small}' {least:,}"
    if least == 0 or most / least < _UNEVEN:
        return told
    return (
        f"{told}, {most / least:,.0f} times fewer: what is rare is learned last; look at its recall in report.html, "
        "and label more of it"
    )
