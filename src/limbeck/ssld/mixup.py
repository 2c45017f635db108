"""Mixup: photos of a batch mixed in pairs, by draws that are a function of seed, step and place alone."""

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from limbeck.ssld.batch import Mixed


@dataclass(frozen=True)
class Mixup:
    """Shares are of Beta(strength, strength), the larger one the photo's own."""

    strength: float
    seed: int

    def __call__(self, images: Tensor, truth: Tensor, step: int, rank: int = 0) -> Mixed:
        """What each photo of this process's part of a step's batch is mixed with.

        >>> mixed = Mixup(0.2, seed=0)(torch.zeros(4, 3, 2, 2, dtype=torch.uint8), torch.arange(4), step=7)
        >>> sorted(mixed.truth.tolist()), bool((mixed.share >= 0.5).all())
        ([0, 1, 2, 3], True)
        """
        told = hashlib.blake2b(f"mixup {self.seed} {step} {rank}".encode(), digest_size=8).digest()
        drawn = np.random.default_rng(int.from_bytes(told, "little"))
        partner = torch.from_numpy(drawn.permutation(len(images)))
        share = drawn.beta(self.strength, self.strength, len(images))
        return Mixed(images[partner], truth[partner], torch.from_numpy(np.maximum(share, 1 - share)).float())
