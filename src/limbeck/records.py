"""What flows from stage to stage."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Preprocess:
    """How a model wants its images: evaluation size and crop, normalisation (in 0..1 units).

    >>> Preprocess(size=(224, 224)).resize_short()
    256
    """

    size: tuple[int, int]
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    interpolation: str = "bicubic"
    crop: float = 0.875

    def resize_short(self) -> int:
        """The length of the short side before the centre crop."""
        return int(min(self.size) / self.crop)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "Preprocess":
        given: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()}
        return cls(**given)


@dataclass(frozen=True)
class Skipped:
    """A file that could not be used, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class SoftLabels:
    """A batch of teacher answers: the best classes of each image, and the mass that is left for all the others.

    `index` is None when every class is kept (column c is class c). The remaining mass is spread evenly over the
    classes that were not kept. Probabilities sum to one: exp(log_probability).sum(1) + exp(log_rest) == 1.
    """

    index: Tensor | None  # int64 [B, K]
    log_probability: Tensor  # float32 [B, K], natural logarithm
    log_rest: Tensor  # float32 [B], -inf where nothing is left
    classes: int

    def __len__(self) -> int:
        return len(self.log_probability)

    def to(self, device: Any) -> "SoftLabels":
        return SoftLabels(
            None if self.index is None else self.index.to(device, non_blocking=True),
            self.log_probability.to(device, non_blocking=True),
            self.log_rest.to(device, non_blocking=True),
            self.classes,
        )

    def __getitem__(self, rows: slice | Tensor) -> "SoftLabels":
        return SoftLabels(
            None if self.index is None else self.index[rows],
            self.log_probability[rows],
            self.log_rest[rows],
            self.classes,
        )
