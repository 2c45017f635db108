"""A batch on its way from the photos to the step."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from limbeck.images.imageset import ImageSet
from limbeck.records import SoftLabels, moved


@dataclass(frozen=True)
class Mixed:
    """What the photos of a batch are mixed with: others, their classes, and the share that each keeps of itself."""

    images: Tensor  # uint8 [B, 3, S, S]
    truth: Tensor  # int64 [B]
    share: Tensor  # float32 [B], 1/2 to 1

    def to(self, device: torch.device) -> "Mixed":
        return Mixed(moved(self.images, device), moved(self.truth, device), moved(self.share, device))

    def __getitem__(self, rows: slice) -> "Mixed":
        return Mixed(self.images[rows], self.truth[rows], self.share[rows])


@dataclass(frozen=True)
class PhotoBatch:
    """Views of photos, with what is known of their labels.

    `stored` are the labels that the store had for the rows in `hit`; `whole` says that it had them for every row of
    the batch that this one was split from. `truth` are classes, where the photos are labelled.
    """

    images: Tensor  # uint8 [B, 3, S, S]
    indices: Tensor  # int64 [B], into `photos`
    numbers: Tensor  # int64 [B], view numbers
    photos: ImageSet
    replaced: dict[int, int]
    stored: SoftLabels | None = None
    hit: Tensor | None = None
    whole: bool = False
    truth: Tensor | None = None
    mixed: Mixed | None = None

    def __len__(self) -> int:
        return len(self.images)

    def split(self, parts: int) -> "list[PhotoBatch]":
        size = -(-len(self) // parts)
        return [self._rows(slice(start, start + size)) for start in range(0, len(self), size)]

    def _rows(self, rows: slice) -> "PhotoBatch":
        return self._each(lambda value: value[rows])

    def to(self, device: torch.device) -> "PhotoBatch":
        def there(value: Any) -> Any:
            return moved(value, device) if isinstance(value, Tensor) else value.to(device)

        return self._each(there, ("images", "stored", "hit", "truth", "mixed"))

    def _each(
        self, change: Any, names: tuple[str, ...] = ("images", "indices", "numbers", "stored", "hit", "truth", "mixed")
    ) -> "PhotoBatch":
        values = {name: getattr(self, name) for name in names}
        return dataclasses.replace(self, **{name: change(v) for name, v in values.items() if v is not None})

    def names(self) -> list[str]:
        return [self.photos.path(int(index)) for index in self.indices]
