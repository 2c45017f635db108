"""The `local` signature: one vector for all points of a photo, near that of its crops, turns and edits.

Each descriptor votes for the nearest word of a codebook with what sets it apart from that word (VLAD). SIFT turns with
the photo, so that only a mirrored copy needs a vector of its own.
"""

from collections.abc import Mapping
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load

from limbeck.alike.features import Features, mirrored
from limbeck.alike.nearest import UNIT

Codebook = Mapping[str, NDArray[np.float64]]

COPIES = (0, 4)  # the turns that need a vector


def local_vectors(features: Features) -> NDArray[np.float32]:
    """The vectors of a photo and of its mirror image: float32 [2, d], unit norm (zero where there are no points).

    >>> from limbeck.alike.features import extract
    >>> local_vectors(extract(np.zeros((40, 60), np.uint8))).any()
    np.False_
    """
    return np.stack([aggregate(features.descriptors), aggregate(mirrored(features.descriptors))])


def aggregate(descriptors: NDArray[np.uint8], codebook: Codebook | None = None) -> NDArray[np.float32]:
    """The vector of one set of descriptors."""
    book = codebook or _codebook()
    words, length = book["words"].shape
    reduced = (descriptors.astype(np.float64) - book["mean"]) @ book["basis"]
    nearest = (reduced @ book["words"].T - 0.5 * (book["words"] ** 2).sum(1)).argmax(1)
    votes = np.zeros((words, length))
    np.add.at(votes, nearest, reduced - book["words"][nearest])
    votes /= np.maximum(np.linalg.norm(votes, axis=1, keepdims=True), 1e-12)
    return (votes / max(float(np.linalg.norm(votes)), 1e-12)).astype(np.float32).ravel()


def dimensions() -> int:
    """The length of a vector.

    >>> dimensions()
    2048
    """
    return int(_codebook()["words"].size)


def usual() -> NDArray[np.float32]:
    """The mean of the rounded vectors of drawn scenes: what photos share, as long as little is known of the user's.

    >>> usual().shape
    (2048,)
    """
    return (_codebook()["usual"] * UNIT).astype(np.float32)


@cache
def _codebook() -> Codebook:
    stored = load(resources.files("limbeck.alike").joinpath("codebook.safetensors").read_bytes())
    return {name: array.astype(np.float64) for name, array in stored.items()}
