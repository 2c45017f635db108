"""How photos with boxes are shown, by name: in training, and as they are evaluated."""

from dataclasses import dataclass, replace
from random import Random

import numpy as np
import torch

from limbeck.detection.cropping import maybe_cut, maybe_enlarged
from limbeck.detection.photometric import distorted, drawn_colours
from limbeck.detection.scene import Colour, Pixels, Scene, filled_at, mirrored, resized, seen
from limbeck.detection.views import Policy, View
from limbeck.errors import OptionError
from limbeck.records import Frame, Target

POLICIES = {
    "ssd": "limbeck.detection.policies:ssd",
    "ssd_photometric_last": "limbeck.detection.policies:ssd_photometric_last",
    "flip_resize": "limbeck.detection.policies:flip_resize",
    "flip_multiscale": "limbeck.detection.policies:flip_multiscale",
    "resize": "limbeck.detection.policies:resize",
}
MEAN: Colour = (123.675, 116.28, 103.53)  # of ImageNet
DIVISOR = 32  # what the deepest map of a pyramid needs

_HALF = 0.5


@dataclass(frozen=True)
class SSDView(Policy):
    """Colours, a larger canvas, a crop, an exact size and a flip; the colours first or last.

    Colours leave the range of bytes, so images are floats: float16, whose steps of at most 1/4 at 430 are finer than
    those of bytes, or float32 if `exact`.
    """

    size: tuple[int, int]
    fill: Colour = MEAN
    colours_first: bool = True
    exact: bool = False
    seed: int = 0
    divisor: int = 1

    def at(self, size: tuple[int, int]) -> "SSDView":
        return replace(self, size=size)

    def show(self, photo: Pixels, target: Target, drawn: Random) -> View:
        colours = drawn_colours(drawn)
        scene = maybe_cut(maybe_enlarged(Scene.of(photo, target), drawn), drawn)
        part, place = seen(scene)
        if self.colours_first:
            part = distorted(part, colours)
        scene = filled_at(scene, part, place, self.fill, *self.size)
        if drawn.random() < _HALF:
            scene = mirrored(scene)
        pixels = scene.photo if self.colours_first else distorted(scene.photo, colours)
        return _view(pixels.astype(np.float32 if self.exact else np.float16), scene, photo, target)


@dataclass(frozen=True)
class FlipResize(Policy):
    """A size out of `sizes`, kept in proportion or exact, and a flip; of two sizes any between them if `spanned`."""

    sizes: tuple[tuple[int, int], ...]
    keep_ratio: bool = True
    spanned: bool = False
    flip: float = _HALF
    seed: int = 0
    divisor: int = DIVISOR

    def __post_init__(self) -> None:
        if not self.sizes or (self.spanned and len(self.sizes) != 2):
            expected = "the smallest and the largest size" if self.spanned else "at least one size"
            raise OptionError(f"{len(self.sizes)} sizes", expected=expected, hint="800 1333")

    def at(self, size: tuple[int, int]) -> "FlipResize":
        return replace(self, sizes=(size,), spanned=False)

    def show(self, photo: Pixels, target: Target, drawn: Random) -> View:
        chosen = self._size(drawn)
        height, width = photo.shape[:2]
        shown = within(height, width, chosen) if self.keep_ratio else chosen
        scene = resized(Scene.of(photo, target), *shown)
        if drawn.random() < self.flip:
            scene = mirrored(scene)
        return _view(scene.photo, scene, photo, target)

    def _size(self, drawn: Random) -> tuple[int, int]:
        if not self.spanned:
            return self.sizes[int(drawn.random() * len(self.sizes))]
        one, other = self.sizes
        low, high = min(min(one), min(other)), max(min(one), min(other))
        shortest, longest = min(max(one), max(other)), max(max(one), max(other))
        return low + int(drawn.random() * (high - low + 1)), shortest + int(drawn.random() * (longest - shortest + 1))


def ssd(size: tuple[int, int] = (300, 300), *, fill: Colour = MEAN, seed: int = 0) -> SSDView:
    """Colours first: the order with which the published checkpoints were most probably trained.

    >>> ssd().colours_first, ssd_photometric_last().colours_first
    (True, False)
    """
    return SSDView(size, fill, True, seed=seed)


def ssd_photometric_last(size: tuple[int, int] = (300, 300), *, fill: Colour = MEAN, seed: int = 0) -> SSDView:
    """Colours last, and the larger canvas in bytes: the order of mmdetection 3."""
    return SSDView(size, fill, False, seed=seed)


def flip_resize(
    size: tuple[int, int] = (800, 1333), *, others: tuple[tuple[int, int], ...] = (), seed: int = 0
) -> FlipResize:
    """Within a size, in proportion, and a flip; of several sizes one is drawn for each view."""
    return FlipResize((size, *others), seed=seed)


def flip_multiscale(size: tuple[int, int] = (800, 1333), *, seed: int = 0) -> FlipResize:
    """Within a size whose shorter side is drawn, from three fifths of it on, in proportion, and a flip.

    >>> flip_multiscale().sizes
    ((480, 1333), (800, 1333))
    """
    return FlipResize(((round(0.6 * size[0]), size[1]), size), spanned=True, seed=seed)


def resize(size: tuple[int, int], *, keep_ratio: bool = False) -> FlipResize:
    """As a detector is evaluated: exactly this size, or within it in proportion."""
    return FlipResize((size,), keep_ratio, flip=0.0, divisor=DIVISOR if keep_ratio else 1)


def within(height: int, width: int, size: tuple[int, int]) -> tuple[int, int]:
    """The largest size in proportion whose sides are at most those of `size`, whichever way round.

    >>> within(480, 640, (800, 1333)), within(640, 480, (800, 1333)), within(400, 1000, (800, 1333))
    ((800, 1067), (1067, 800), (533, 1333))
    """
    factor = min(max(size) / max(height, width), min(size) / min(height, width))
    return max(1, int(height * factor + 0.5)), max(1, int(width * factor + 0.5))


def _view(pixels: Pixels, scene: Scene, photo: Pixels, target: Target) -> View:
    frame = Frame(scene.height, scene.width, photo.shape[0], photo.shape[1])
    image = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)
    return View(image, scene.target(target), frame)
