"""Classes of photos from the names of the folders that they lie in."""

from dataclasses import dataclass

import torch
from torch import Tensor

from limbeck.classification.names import match_folders
from limbeck.errors import ImagesError, counted
from limbeck.images.imageset import ImageSet


@dataclass(frozen=True)
class Labels:
    """Labelled photos: row i of `truth` is the class of photo i."""

    photos: ImageSet
    truth: Tensor
    classes: tuple[str, ...]


def labels_of(photos: ImageSet, classes: tuple[str, ...] | None = None) -> Labels:
    """The classes of photos in class folders; `classes` are a model's own, when the folders must fit them."""
    folders = [photos.folder(index) for index in range(len(photos))]
    names = sorted(set(folders))
    if classes is None:
        if len(names) < 2:
            raise ImagesError(
                f"{counted(len(photos), 'photo')} in one folder, '{names[0] if names else ''}', and none in another",
                expected="a folder for each class: --loss cross-entropy learns from the folders' names",
                hint="--loss js --teacher T learns without labels",
            )
        classes = tuple(names)
    position = match_folders(names, classes)
    return Labels(photos, torch.tensor([position[folder] for folder in folders]), classes)
