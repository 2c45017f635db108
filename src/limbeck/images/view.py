"""A view of an image: a pure function of (policy, view number, image key). Nothing else's randomness moves."""

import dataclasses
import hashlib
import math
import random
from dataclasses import dataclass
from functools import cache
from importlib import resources

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from limbeck.errors import OptionError
from limbeck.images.decode import decode, photo_size
from limbeck.images.policies import COLOURS, colour
from limbeck.images.prepare import evaluation_view
from limbeck.images.scope import random_scope
from limbeck.records import Preprocess
from limbeck.tables import look_up

_TRIES = 10
_PROBE_VIEWS = range(16)
_SMALL_PROBES = 24, 80


@dataclass(frozen=True)
class ViewPolicy:
    """What views look like: a random resized crop to size x size (bilinear, antialiased), a flip, a colour policy.

    Or, where `centre` names an interpolation, what evaluation shows without a margin: the short side resized to size,
    and the centre cropped; then every view of a photo is the same.

    >>> ViewPolicy(32) == ViewPolicy(32, colour="none"), ViewPolicy(32).fingerprint() == ViewPolicy(33).fingerprint()
    (True, False)
    """

    size: int
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.5
    colour: str = "none"
    seed: int = 0
    centre: str = ""

    def __post_init__(self) -> None:
        look_up("colour policy", self.colour, COLOURS)
        if self.size < 1:
            raise OptionError(f"views of {self.size} pixels", expected="a size of at least 1", hint="224")
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise OptionError(f"crop scale {self.scale}", expected="0 < least <= most <= 1", hint="0.08 1.0")
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise OptionError(f"crop ratio {self.ratio}", expected="0 < least <= most", hint="0.75 1.3333")
        if not 0 <= self.flip <= 1:
            raise OptionError(f"flip probability {self.flip}", expected="a number from 0 to 1", hint="0.5")

    def fingerprint(self) -> str:
        """Differs with any field, and with any library that decodes, resizes or colours differently."""
        return _fingerprint(self)


@dataclass(frozen=True)
class View:
    """A box on the source photo, and whether it is mirrored."""

    top: int
    left: int
    height: int
    width: int
    flip: bool


def draw(policy: ViewPolicy, key: bytes, number: int, height: int, width: int) -> View:
    """The box and flip of one view of a photo of this size.

    >>> draw(ViewPolicy(224), b"key", 0, 375, 500) == draw(ViewPolicy(224), b"key", 0, 375, 500)
    True
    """
    drawn = random.Random(_seed(policy, key, number, "box"))
    flip = drawn.random() < policy.flip
    lowest, highest = math.log(policy.ratio[0]), math.log(policy.ratio[1])
    for _ in range(_TRIES):
        area = height * width * _between(drawn, *policy.scale)
        ratio = math.exp(_between(drawn, lowest, highest))
        box_width, box_height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < box_width <= width and 0 < box_height <= height:
            top = int(drawn.random() * (height - box_height + 1))
            left = int(drawn.random() * (width - box_width + 1))
            return View(top, left, box_height, box_width, flip)
    return _central(policy, height, width, flip)


def render(policy: ViewPolicy, data: bytes, key: bytes, numbers: tuple[int, ...]) -> Tensor:
    """Views of one photo as uint8 [len(numbers), 3, size, size], channels last in memory.

    The photo is decoded once; once for each scale where it is so large that its views differ in the scale they need,
    so that a view's bytes never depend on the views drawn beside it.

    >>> import numpy, simplejpeg
    >>> jpeg = simplejpeg.encode_jpeg(numpy.zeros((60, 80, 3), numpy.uint8))
    >>> render(ViewPolicy(32), jpeg, b"key", (0, 1)).shape
    torch.Size([2, 3, 32, 32])
    """
    if policy.centre:
        return _centre(policy, data, len(numbers))
    height, width = photo_size(data)
    photos: dict[int, Tensor] = {}
    out = torch.empty(len(numbers), 3, policy.size, policy.size, dtype=torch.uint8, memory_format=torch.channels_last)
    for place, number in enumerate(numbers):
        view = draw(policy, key, number, height, width)
        reduction = _reduction(view, policy.size)
        if reduction not in photos:
            photos[reduction] = decode(data, smallest=(-(-height // reduction), -(-width // reduction)))
        image = _crop(photos[reduction], view, height, width, policy.size)
        if policy.colour != "none":
            with random_scope(_seed(policy, key, number, "colour") % 2**63):
                image = colour(policy.colour)(image)
        out[place] = image
    return out


def _centre(policy: ViewPolicy, data: bytes, count: int) -> Tensor:
    look = Preprocess((policy.size, policy.size), interpolation=policy.centre, crop=1.0)
    view = evaluation_view(look, data)
    return view.expand(count, -1, -1, -1).contiguous(memory_format=torch.channels_last)


def _between(drawn: random.Random, low: float, high: float) -> float:
    return low + (high - low) * drawn.random()


def _central(policy: ViewPolicy, height: int, width: int, flip: bool) -> View:
    """Where no box fits: the largest central one whose ratio is allowed."""
    ratio = min(max(width / height, policy.ratio[0]), policy.ratio[1])
    box_height = max(1, min(height, round(width / ratio)))
    box_width = max(1, min(width, round(height * ratio)))
    return View((height - box_height) // 2, (width - box_width) // 2, box_height, box_width, flip)


def _reduction(view: View, size: int) -> int:
    """The coarsest scale, 1/1 to 1/8, at which the box still has the pixels that the view shows."""
    return next((by for by in (8, 4, 2) if min(view.height, view.width) >= by * size), 1)


def _crop(photo: Tensor, view: View, height: int, width: int, size: int) -> Tensor:
    down, across = photo.shape[1] / height, photo.shape[2] / width
    top, bottom = round(view.top * down), round((view.top + view.height) * down)
    left, right = round(view.left * across), round((view.left + view.width) * across)
    # a contiguous channels-last crop is what the fast uint8 kernel takes without repacking
    box = photo[:, top : max(bottom, top + 1), left : max(right, left + 1)].permute(1, 2, 0).contiguous()
    image: Tensor = F.resize(box.permute(2, 0, 1), [size, size], antialias=True)
    return image.flip(-1) if view.flip else image


def _seed(policy: ViewPolicy, key: bytes, number: int, purpose: str) -> int:
    text = f"{purpose} {policy.seed} {number} ".encode()
    return int.from_bytes(hashlib.blake2b(text + key, digest_size=16).digest(), "little")


@cache
def _fingerprint(policy: ViewPolicy) -> str:
    # without `centre` as it was before there was one: stores that hold such views stay good
    fields = tuple(value for name, value in dataclasses.asdict(policy).items() if value or name != "centre")
    digest = hashlib.blake2b(repr(fields).encode(), digest_size=8)
    probe = resources.files("limbeck.images").joinpath("probe.jpg").read_bytes()
    # to a small view the probe is a large photo, decoded at a reduced scale
    for size in (policy.size, *_SMALL_PROBES):
        views = render(dataclasses.replace(policy, size=size), probe, b"probe", tuple(_PROBE_VIEWS))
        digest.update(views.numpy().tobytes())
    return digest.hexdigest()
