"""Draws that the images of a batch share, or that one makes about another: pure functions of (seed, step, position).

A view's own draws know its image alone (`views.render`). What a batch has in common (its size) is drawn for
the step; what needs a partner (mixup, mosaic) is drawn for a position in the step, wherever that position is read.
"""

import hashlib
from dataclasses import dataclass
from random import Random


def drawn_at(seed: int, step: int, position: int, purpose: str) -> Random:
    """The generator of one position of one step; position -1 is the step as a whole.

    >>> drawn_at(0, 7, 3, "mixup").random() == drawn_at(0, 7, 3, "mixup").random()
    True
    """
    text = f"{purpose} {seed} {step} {position}".encode()
    return Random(int.from_bytes(hashlib.blake2b(text, digest_size=16).digest(), "little"))


@dataclass(frozen=True)
class Sizes:
    """One (height, width) for a whole batch on every process, another one every few steps.

    >>> sizes = Sizes(((320, 320), (416, 416)), every=10)
    >>> sizes.at(0) == sizes.at(9), sizes.at(25) in sizes.choices
    (True, True)
    """

    choices: tuple[tuple[int, int], ...]
    every: int = 1
    seed: int = 0

    def at(self, step: int) -> tuple[int, int]:
        drawn = drawn_at(self.seed, step // self.every, -1, "size")
        return self.choices[int(drawn.random() * len(self.choices))]
