"""A teacher's embeddings of the photos of a side, in all turns: one file a shard, as with looks."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save
from torch import Tensor

from limbeck.alike.turns import TURNS, turned
from limbeck.files import sweep, write_atomically
from limbeck.images.decode import Unreadable, decode
from limbeck.images.imageset import ImageSet
from limbeck.images.mapping import map_shards

Embed = Callable[[list[Tensor]], NDArray[np.float32]]

_SHARD = 50  # photos, of eight turns each


@dataclass(frozen=True)
class EmbedShard:
    """Some photos in a row, and the file that their embeddings in all turns are kept in."""

    images: ImageSet
    embed: Embed
    result: Path

    def __str__(self) -> str:
        return f"{self.images.path(0)} .. {self.images.path(len(self.images) - 1)}"


def embed_all(
    images: ImageSet, home: Path, embed: Embed, stamp: str, *, engine: str, workers: int | None, shown: bool
) -> list[Path]:
    """The files with the embeddings of all photos, in their order; those that are missing are made."""
    home.mkdir(parents=True, exist_ok=True)
    sweep(home)
    parts = [images.take(range(at, min(at + _SHARD, len(images)))) for at in range(0, len(images), _SHARD)]
    names = [blake2b(f"1 {stamp} {part.fingerprint()}".encode(), digest_size=16).hexdigest() for part in parts]
    shards = [EmbedShard(part, embed, home / f"{name}.safetensors") for part, name in zip(parts, names)]
    left = [shard for shard in shards if not shard.result.exists()]
    for _ in map_shards(
        embed_shard, left, engine, workers=workers, shown=shown, title="embedding the excluded photos", home=home
    ):
        pass
    return [shard.result for shard in shards]


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Embeddings of norm one.

    >>> unit(np.array([[3.0, 4.0]], np.float32)).tolist()
    [[0.6000000238418579, 0.800000011920929]]
    """
    norms = np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return np.asarray(vectors / norms, np.float32)


def embed_shard(shard: EmbedShard) -> Path:
    """Embed the eight turns of every photo of a shard."""
    if not shard.result.exists():
        vectors = np.stack([_embed_turns(shard.images, row, shard.embed) for row in range(len(shard.images))])
        write_atomically(shard.result, save({"vectors": unit(vectors)}))
    return shard.result


def _embed_turns(images: ImageSet, row: int, embed: Embed) -> NDArray[np.float32]:
    try:
        photo = decode(images.read(row))
    except (OSError, Unreadable):
        photo = torch.zeros(3, 1, 1, dtype=torch.uint8)
    return embed([turned(photo, turn).contiguous() for turn in TURNS])
