"""Sources that are read once, for all of the splits that are asked of them."""

import os
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from limbeck.datasets.tree import Tree
from limbeck.detection.problems import Problems
from limbeck.detection.sources import Source, open_sources
from limbeck.images.imageset import ImageSet
from limbeck.images.imageset import Source as Named


@dataclass(frozen=True)
class Opened:
    """Trees with their labels, and what of it was wrong; the images are looked at when a split asks for them."""

    sources: Sequence[Source]
    trees: Sequence[Tree]
    images: Callable[[tuple[str, ...]], ImageSet]  # of the places that hold them; the same places are told once
    _problems: Problems
    _notes: Sequence[str]

    def problems(self) -> Problems:
        """Those of all splits, for one of them to add its own."""
        return deepcopy(self._problems)

    def notes(self) -> list[str]:
        return list(self._notes)


def read_sources(
    sources: Named | Sequence[Named],
    *,
    format: str = "",
    cache_at: Named | None = None,
    workers: int | None = None,
    shown: bool = True,
) -> Opened:
    """What the user named, read; an error where nothing of it has boxes."""
    several = [sources] if isinstance(sources, str | os.PathLike) else sources
    names = [os.fspath(source) for source in several]
    problems, notes = Problems(names), list[str]()
    labelled, trees = open_sources(names, format, Path(cache_at) if cache_at else None, shown, problems, notes)
    images = cache(partial(ImageSet.open, cache=cache_at, workers=workers, shown=shown))
    return Opened(labelled, trees, images, problems, notes)
