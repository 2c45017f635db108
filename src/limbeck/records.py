"""What flows from stage to stage."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
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


def moved(tensor: Tensor, device: torch.device | str) -> Tensor:
    """A tensor on a device. Only the way to CUDA is not waited for: elsewhere a copy could be read before it is whole.

    >>> moved(torch.ones(2), "cpu")
    tensor([1., 1.])
    """
    return tensor.to(device, non_blocking=torch.device(device).type == "cuda")


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

    def to(self, device: torch.device | str) -> "SoftLabels":
        return SoftLabels(
            None if self.index is None else moved(self.index, device),
            moved(self.log_probability, device),
            moved(self.log_rest, device),
            self.classes,
        )

    def __getitem__(self, rows: slice | Tensor) -> "SoftLabels":
        return SoftLabels(
            None if self.index is None else self.index[rows],
            self.log_probability[rows],
            self.log_rest[rows],
            self.classes,
        )


@dataclass(frozen=True)
class Frame:
    """An image's unpadded size in a network's input, and its own size, in pixels."""

    height: int
    width: int
    original_height: int
    original_width: int


@dataclass(frozen=True)
class Target:
    """What is to be found in an image; a crowd is several objects under one box."""

    boxes: Tensor  # float32 [G, 4]: x1, y1, x2, y2 in the pixels of the network's input
    labels: Tensor  # int64 [G]
    crowd: Tensor | None = None  # bool [G]
    area: Tensor | None = None  # float32 [G]
    masks: Any = None


@dataclass(frozen=True)
class Detections:
    """What was found in an image, the surest first; boxes in the pixels of the image itself."""

    boxes: Tensor  # float32 [K, 4]
    scores: Tensor  # float32 [K]
    labels: Tensor  # int64 [K]
    masks: Any = None

    def __len__(self) -> int:
        return len(self.scores)
