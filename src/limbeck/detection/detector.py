"""What every detector is, how it wants its images, and how one is made by name."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor, nn

from limbeck.detection import DETECTORS
from limbeck.detection.batch import Found, Targets
from limbeck.detection.policies import FlipResize, resize
from limbeck.tables import look_up


class Detector(nn.Module, ABC):
    """`forward` is all that depends on the pixels; `losses` and `boxes` read what it gives."""

    classes: int
    divided = 1  # by how many numbers `losses` divides
    sound_in_bfloat16 = False  # trains as well in bfloat16 on a CPU that multiplies it

    @abstractmethod
    def forward(self, images: Tensor) -> Any: ...

    @abstractmethod
    def losses(
        self, raw: Any, targets: Targets, frames: Tensor, divisors: Tensor | None = None
    ) -> dict[str, Tensor]: ...

    @abstractmethod
    def divisors(self, raw: Any, targets: Targets, frames: Tensor) -> Tensor:
        """What `losses` divides by, [divided]; where others share the batch, it is given what theirs add up to."""

    @abstractmethod
    def boxes(self, raw: Any, frames: Tensor) -> Found: ...


@dataclass(frozen=True)
class Look:
    """How a detector wants its images: exactly of a size or within it, normalised (in 0..1 units).

    >>> Look((300, 300)).policy().sizes
    ((300, 300),)
    """

    size: tuple[int, int]
    keep_ratio: bool = False
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    def policy(self) -> FlipResize:
        """As a detector is evaluated."""
        return resize(self.size, keep_ratio=self.keep_ratio)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "Look":
        given: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()}
        return cls(**given)


@dataclass(frozen=True)
class Design:
    """A detector by name: made of a number of classes and a backbone with maps of these strides.

    Without strides it has a backbone of its own; `adopt` takes a classifier's weights into that, if it is
    of the kind `own`. `at` fits a detector made for one side of its input to another, where there is something to fit.
    """

    make: Callable[[int, nn.Module | None], Detector]
    look: Look
    strides: tuple[int, ...] = ()
    own: str = ""
    adopt: Callable[[Any, nn.Module], bool] | None = None
    at: Callable[[Any, int, int], None] | None = None


def design(name: str) -> Design:
    """The design that a name means.

    >>> design("ssdlite").strides
    (16, 32)
    """
    found: Design = look_up("detector", name, DETECTORS)
    return found
