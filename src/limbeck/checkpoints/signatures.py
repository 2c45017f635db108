"""Which classifiers have tensors of these names and shapes: a small index of all of timm's and torchvision's.

`python bench/make_signatures.py` makes it. A signature leaves the head's class count out. It is a hint that is cheap to
have: whoever takes it builds the one model and fits the weights into it, all of them.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from hashlib import blake2b
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

INDEX = Path(__file__).with_name("signatures.safetensors")
UNCOUNTED = "num_batches_tracked"  # of norms; many files leave it out

Shapes = Mapping[str, tuple[int, ...]]
Sketch = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]


def digest_of_names(names: Iterable[str]) -> int:
    """Names in any order, as a number."""
    return _digest("\n".join(sorted(names)))


def digest_of_shapes(shapes: Shapes, head: Iterable[str]) -> int:
    """Shapes by name, without the head's."""
    left_out = set(head)
    return _digest("\n".join(f"{name} {tuple(shapes[name])}" for name in sorted(shapes) if name not in left_out))


def sketch(names: Iterable[str]) -> Sketch:
    """Sixteen bytes; as many of two sketches are equal, about, as the names have in common.

    >>> int((sketch(map(str, range(99))) == sketch(map(str, range(99)))).sum())
    16
    """
    rows = [np.frombuffer(blake2b(name.encode()).digest(), np.uint32) for name in names]
    return (np.min(rows, axis=0) & 0xFF).astype(np.uint8) if rows else np.zeros(16, np.uint8)


def _digest(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little", signed=True)


class Index:
    """Models by name, such as `timm/resnet50`, in groups that have their tensors' names in common."""

    def __init__(self, path: Path) -> None:
        arrays = load_file(path)
        self.models = _texts(arrays["models"])
        self.heads = [tuple(filter(None, line.split(" "))) for line in _texts(arrays["heads"])]
        self.names, self.sketches = arrays["names"], arrays["sketches"]
        self.groups, self.shapes = arrays["groups"], arrays["shapes"]

    def alike(self, shapes: Shapes) -> tuple[list[str], list[str]]:
        """The models of these names and shapes, and those of these names and other shapes."""
        fitting: list[str] = []
        other: list[str] = []
        for group in np.flatnonzero(self.names == digest_of_names(shapes)):
            wanted = digest_of_shapes(shapes, self.heads[group])
            for model in np.flatnonzero(self.groups == group):
                (fitting if self.shapes[model] == wanted else other).append(self.models[model])
        return fitting, other

    def nearest(self, names: Sequence[str]) -> list[str]:
        """The models that have most names in common with these, as far as sketches tell."""
        shared = (self.sketches == sketch(names)).sum(axis=1)
        best = np.flatnonzero((shared == shared.max()) & (shared > 1))
        return [self.models[model] for group in best for model in np.flatnonzero(self.groups == group)]


@cache
def index() -> Index:
    """The index that comes with limbeck."""
    return Index(INDEX)


def _texts(array: Sketch) -> list[str]:
    return array.tobytes().decode().split("\n")
