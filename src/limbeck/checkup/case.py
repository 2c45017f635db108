"""All that the checks look at: the images of the sources, their splits, their labels, and what the survey saw."""

import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from limbeck.alike.within import Pair, alike_within
from limbeck.checkup.crops import Crop, neighbours
from limbeck.checkup.survey import Survey, survey
from limbeck.datasets.class_folders import CLASS_FOLDERS
from limbeck.datasets.recognise import recognise
from limbeck.datasets.records import Labels, Sample
from limbeck.datasets.splits import folder_splits, split_of
from limbeck.datasets.tree import Tree, open_tree
from limbeck.errors import ImagesError, OptionError
from limbeck.images.imageset import ImageSet
from limbeck.images.manifest import build
from limbeck.records import Skipped

AGAINST = "--against"


@dataclass(frozen=True)
class Case:
    """A data set under examination. A row is an image's place in `images`."""

    images: ImageSet
    names: Sequence[str]  # of rows, as the user would type them
    splits: Sequence[tuple[str, ...]]  # of rows; none, one, or several where lists contradict each other
    is_mask: NDArray[np.bool_]
    is_against: NDArray[np.bool_]
    rows: Mapping[str, int]  # of every name, by any source that holds it
    trees: Sequence[Tree]  # of the data, then of what it is held against
    labels: Sequence[tuple[Tree, Labels]]
    skipped: Sequence[Skipped]
    seen: Survey
    pairs: Sequence[Pair] | None = None  # None: not looked for
    crops: Sequence[Crop] = ()

    @cached_property
    def photos(self) -> NDArray[np.int64]:
        """The rows of photos: all images that are no masks."""
        return np.flatnonzero(~self.is_mask)

    @cached_property
    def equals(self) -> list[list[int]]:
        """Rows of photos with the same bytes, two or more each, in order."""
        keys = np.ascontiguousarray(self.images.keys[self.photos]).view("V16").ravel()
        _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
        groups: defaultdict[int, list[int]] = defaultdict(list)
        for place in np.flatnonzero(counts[inverse] > 1):
            groups[int(inverse[place])].append(int(self.photos[place]))
        return sorted(groups.values())

    def row(self, sample: Sample) -> int | None:
        return self.rows.get(sample.image) if sample.found else None

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """Height and width of each row, EXIF turned."""
        return np.array([self.images.size(row) for row in range(len(self.images))], np.int64).reshape(-1, 2)


def with_pairs(
    case: Case, *, cache: Path, engine: str = "plain", workers: int | None = None, shown: bool = True
) -> Case:
    """The case with all photos that look alike or border on each other; an interrupted look is gone on with."""
    photos = case.images.take(case.photos)
    found = alike_within(photos, cache / "doctor" / "near", engine=engine, workers=workers, shown=shown)
    pairs = [replace(pair, a=int(case.photos[pair.a]), b=int(case.photos[pair.b])) for pair in found]
    borders = neighbours(photos, cache / "doctor" / "borders", engine=engine, workers=workers, shown=shown)
    alike = {frozenset((pair.a, pair.b)) for pair in pairs}  # a mirrored copy goes on in its original
    crops = [replace(crop, a=int(case.photos[crop.a]), b=int(case.photos[crop.b])) for crop in borders]
    crops = [crop for crop in crops if frozenset((crop.a, crop.b)) not in alike]
    return replace(case, pairs=pairs, crops=crops)


def open_case(
    data: Sequence[str],
    against: Sequence[str] = (),
    *,
    cache: Path,
    engine: str = "plain",
    workers: int | None = None,
    shown: bool = True,
) -> Case:
    """Find the images, guess the formats, read the labels and look at every image."""
    trees = [open_tree(source, cache=cache, shown=shown) for source in (*against, *data)]
    try:
        # not ImageSet.open: it takes a manifest at its word
        images = ImageSet(build([tree.place for tree in trees], cache, engine=engine, workers=workers, shown=shown))
    except ImagesError as error:
        hint = _better_source(trees) or error.hint.replace("--images ", "limbeck doctor ")
        raise ImagesError(error.found, expected=error.expected, hint=hint) from None
    names, rows, owners = _names(images, trees)
    apart = _paths([tree.place for tree in trees[: len(against)] if not tree.root], cache, workers)
    is_against = np.array([owner < len(against) or name in apart for owner, name in zip(owners, names)], bool)
    if against and is_against.all():
        raise OptionError(
            f"every image of {', '.join(data)} is also in --against",
            expected="two sets of images: the one to train on, and another that it is held against",
            hint=f"limbeck doctor {' '.join(data)}",
        )
    trees = [*trees[len(against) :], *trees[: len(against)]]
    labels = [(tree, found) for tree in trees for found in recognise(tree, shown=shown)]
    labels = _without_mere_folders(labels, trees[len(data) :])
    masks = {sample.mask for _, found in labels for sample in found.samples if sample.mask}
    masks |= {name for _, found in labels for name in found.aside}
    is_mask = np.array([name in masks for name in names], bool)
    splits = _splits(names, trees, labels, rows, is_against)
    seen = survey(images, is_mask, cache / "doctor", engine=engine, workers=workers, shown=shown)
    skipped = [Skipped(_shown(each.path, trees), each.reason) for each in images.skipped]
    return Case(images, names, splits, is_mask, is_against, rows, trees, labels, skipped, seen)


def _without_mere_folders(labels: Sequence[tuple[Tree, Labels]], held: Sequence[Tree]) -> list[tuple[Tree, Labels]]:
    """Folders of which none is called after a class of --against are where photos were collected, and label nothing."""
    asked = {letters(name) for tree, found in labels if tree in held for name in _class_names(found)}
    kept = []
    for tree, found in labels:
        own = _class_names(found)
        mere = found.format == CLASS_FOLDERS and tree not in held and not found.names
        mere = mere and not any(sample.splits for sample in found.samples)
        if asked and mere and asked.isdisjoint(map(letters, own)):
            told = f"images in {len(own):,} folders, none of them called after a class of {AGAINST}: without labels"
            found = replace(found, told=told, samples=())
        kept.append((tree, found))
    return kept


def _class_names(labels: Labels) -> set[str]:
    said = {name for sample in labels.samples for name in (sample.label, *(each.label for each in sample.things))}
    return (said | {*labels.names, *labels.classes.values()}) - {""}


def letters(name: str) -> str:
    """A name without case, spaces and the s of a plural.

    >>> letters("Traffic Lights")
    'trafficlight'
    """
    return re.sub(r"[\s_\-.]+", "", name.casefold()).removesuffix("s")


def _better_source(trees: Sequence[Tree]) -> str:
    """Where the folder of labels was named, the one that holds it and the images."""
    of_labels = [tree for tree in trees if tree.root and not tree.images and tree.files]
    return f"limbeck doctor {os.path.normpath(f'{of_labels[0].source}/..')}" if of_labels else ""


def _names(images: ImageSet, trees: Sequence[Tree]) -> tuple[list[str], dict[str, int], list[int]]:
    names: list[str] = []
    rows: dict[str, int] = {}
    owners: list[int] = []
    for row in range(len(images)):
        path = images.path(row)
        called = [(name, at) for at, tree in enumerate(trees) if (name := tree.name(path))]
        first, owner = called[0] if called else (path, len(trees))
        names.append(first)
        owners.append(owner)
        rows |= {name: row for name, _ in called} or {path: row}
    return names, rows, owners


def _paths(places: Sequence[str], cache: Path, workers: int | None) -> set[str]:
    """The images of sources below which nothing lies: lists, patterns, URLs, manifests."""
    if not places:
        return set()
    images = ImageSet.open(places, cache=cache, workers=workers, shown=False)
    return {images.path(row) for row in range(len(images))}


def _splits(
    names: Sequence[str],
    trees: Sequence[Tree],
    labels: Sequence[tuple[Tree, Labels]],
    rows: Mapping[str, int],
    is_against: NDArray[np.bool_],
) -> list[tuple[str, ...]]:
    """What lists say goes before what folders are called, and that before what the source is called."""
    said: dict[int, set[str]] = {}
    for _, found in labels:
        for sample in found.samples:
            row = rows.get(sample.image) if sample.found else None
            if row is not None and sample.splits:
                said.setdefault(row, set()).update(sample.splits)
    for tree in trees:
        own = split_of(tree.source.rstrip("/").rpartition("/")[2]) if len(trees) > 1 else ""
        folders = folder_splits([tree.inner(name) for name in tree.images])
        for name in tree.images:
            split = folders[tree.inner(name).rpartition("/")[0]] or own
            if name in rows and rows[name] not in said and split:
                said[rows[name]] = {split}
    return [(AGAINST,) if is_against[row] else tuple(sorted(said.get(row, ()))) for row in range(len(names))]


def _shown(path: str, trees: Sequence[Tree]) -> str:
    return next((name for tree in trees if (name := tree.name(path))), path)
