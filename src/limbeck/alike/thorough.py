"""All pairs of two sets by their points, as the paper did: for small sets, and as the measure of the fast way."""

from dataclasses import dataclass
from pathlib import Path

from limbeck.alike.shards import look_at
from limbeck.alike.side import Match, Side
from limbeck.alike.thresholds import Thresholds
from limbeck.images.imageset import ImageSet
from limbeck.images.mapping import map_shards

_SHARD = 50


@dataclass(frozen=True)
class ThoroughShard:
    """Some photos that are compared with every photo of a side."""

    images: ImageSet
    side: Side
    thresholds: Thresholds

    def __str__(self) -> str:
        return f"{self.images.path(0)} .. {self.images.path(len(self.images) - 1)}"


def thorough(
    images_a: ImageSet,
    images_b: ImageSet,
    home: Path,
    *,
    thresholds: Thresholds | None = None,
    engine: str = "plain",
    workers: int | None = None,
    shown: bool = True,
) -> list[Match | None]:
    """Of each photo of `images_a`, the one of `images_b` that it is the same as."""
    side = Side.build(images_b, home, signature="hash", engine=engine, workers=workers, shown=shown)
    parts = [images_a.take(range(at, min(at + _SHARD, len(images_a)))) for at in range(0, len(images_a), _SHARD)]
    shards = [ThoroughShard(part, side, thresholds or Thresholds()) for part in parts]
    found = map_shards(
        match_shard, shards, engine, workers=workers, shown=shown, title="comparing all pairs, in shards"
    )
    return [match for matches in found for match in matches]


def match_shard(shard: ThoroughShard) -> list[Match | None]:
    """The matches of a shard's photos; an unreadable one has none."""
    looks = [look_at(shard.images, index) for index in range(len(shard.images))]
    there = [seen for seen in looks if seen is not None]
    keys = shard.images.keys[[seen is not None for seen in looks]]
    found = iter(shard.side.match(there, None, shard.thresholds, keys=keys, thorough=True))
    return [next(found) if seen is not None else None for seen in looks]
