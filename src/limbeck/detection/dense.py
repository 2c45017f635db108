"""What detectors share that answer at every place with four distributions: the sides of a box, in bins."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor

from limbeck.detection.atss import Matched
from limbeck.detection.batch import Targets
from limbeck.detection.detector import Detector


class Raw(NamedTuple):
    """What depends on the pixels alone, one tensor a level."""

    logits: list[Tensor]  # [B, N, classes]
    sides: list[Tensor]  # [B, N, 4, bins]: left, top, right, bottom
    points: list[Tensor]  # [N, 2]: x, y in pixels
    maps: Sequence[Tensor] = ()  # [B, C, H, W]: what the heads look at

    def of_images(self, rows: Tensor) -> "Raw":
        """Some of the images.

        >>> import torch
        >>> raw = Raw([torch.zeros(3, 6, 2)], [torch.zeros(3, 6, 4, 17)], [torch.zeros(6, 2)])
        >>> raw.of_images(torch.tensor([0, 2])).logits[0].shape
        torch.Size([2, 6, 2])
        """
        per_image = [[each.index_select(0, rows) for each in part] for part in (self.logits, self.sides, self.maps)]
        return Raw(per_image[0], per_image[1], self.points, per_image[2])


class Dense(Detector):
    """A detector that says which places answer for which true box, so that another can learn from it place by place."""

    bins: int
    strides: tuple[int, ...]

    @abstractmethod
    def assign(self, raw: Raw, targets: Targets, frames: Tensor) -> Matched: ...

    @abstractmethod
    def priors(self, raw: Raw) -> list[Tensor]:
        """The square that each place stands for, one tensor [N, 4] a level."""

    @abstractmethod
    def losses(
        self,
        raw: Any,
        targets: Targets,
        frames: Tensor,
        divisors: Tensor | None = None,
        matched: Matched | None = None,
    ) -> dict[str, Tensor]:
        """`matched`: what `assign` said, where it was asked already."""

    @abstractmethod
    def divisors(self, raw: Any, targets: Targets, frames: Tensor, matched: Matched | None = None) -> Tensor: ...
