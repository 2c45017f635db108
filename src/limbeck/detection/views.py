"""A view of a photo with boxes: a pure function of (policy, view number, image key)."""

import hashlib
from abc import ABC, abstractmethod
from functools import cache
from importlib import resources
from random import Random
from typing import NamedTuple

import torch
from torch import Tensor

from limbeck.detection.scene import Pixels
from limbeck.images.decode import decode
from limbeck.records import Frame, Target

_PROBE_VIEWS = range(16)


class View(NamedTuple):
    """What a network is shown: uint8, float16 or float32 [3, h, w] from 0 to 255, and what is on it."""

    image: Tensor
    target: Target
    frame: Frame


class Policy(ABC):
    """A pure function of a photo and a generator of its own; `divisor` is what a batch's sides are padded to."""

    seed: int
    divisor: int

    @abstractmethod
    def show(self, photo: Pixels, target: Target, drawn: Random) -> View: ...

    @abstractmethod
    def at(self, size: tuple[int, int]) -> "Policy":
        """The same policy at another (height, width)."""

    def fingerprint(self) -> str:
        """Differs with any field, and with any library that decodes, resizes or colours differently."""
        return _fingerprint(self)


def render(policy: Policy, data: bytes, target: Target, key: bytes, number: int) -> View:
    """One view of a photo: a pure function of (policy, key, number).

    >>> probe = resources.files("limbeck.images").joinpath("probe.jpg").read_bytes()
    >>> nothing = Target(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
    >>> from limbeck.detection.policies import ssd
    >>> one, other = (render(ssd((32, 32)), probe, nothing, b"key", 5) for _ in range(2))
    >>> torch.equal(one.image, other.image), one.image.shape
    (True, torch.Size([3, 32, 32]))
    """
    text = f"view {policy.seed} {number} ".encode()
    drawn = Random(int.from_bytes(hashlib.blake2b(text + key, digest_size=16).digest(), "little"))
    return policy.show(decode(data).permute(1, 2, 0).numpy(), target, drawn)


@cache
def _fingerprint(policy: Policy) -> str:
    digest = hashlib.blake2b(repr(policy).encode(), digest_size=8)
    probe = resources.files("limbeck.images").joinpath("probe.jpg").read_bytes()
    height, width = decode(probe).shape[1:]
    corners = torch.tensor([[0.1, 0.2, 0.5, 0.6], [0.4, 0.3, 0.9, 1.0]]) * torch.tensor([width, height, width, height])
    target = Target(corners, torch.arange(2))
    for number in _PROBE_VIEWS:
        view = render(policy, probe, target, b"probe", number)
        for part in (view.image, view.target.boxes, view.target.labels):
            digest.update(part.contiguous().numpy().tobytes())
    return digest.hexdigest()
