"""Photos with boxes, from COCO json, Pascal VOC xml or YOLO txt, straight from a folder or an archive."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from limbeck.console import progress
from limbeck.detection.columns import Classes, Columns, Gathering, check_units, classes_of, merged
from limbeck.detection.masks import Masks, Size
from limbeck.detection.opened import Opened, read_sources
from limbeck.detection.sources import Listed, drawn_into, join, of_split
from limbeck.errors import counted
from limbeck.images.imageset import ImageSet, Source
from limbeck.records import Target


@dataclass(frozen=True)
class DetectionSet:
    """Images and what is on them, in columns: an object of Python is made only for what is asked for.

    >>> import json, tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> folder = tempfile.mkdtemp()
    >>> Image.new("RGB", (80, 60)).save(f"{folder}/a.png")
    >>> box = {"id": 1, "image_id": 7, "category_id": 3, "bbox": [10, 10, 20, 30]}
    >>> cat = {"id": 3, "name": "cat"}
    >>> image = {"id": 7, "file_name": "a.png"}
    >>> coco = json.dumps({"images": [image], "annotations": [box], "categories": [cat]})
    >>> _ = Path(folder, "labels.json").write_text(coco)
    >>> photos = DetectionSet.open(folder, shown=False)
    >>> photos.classes, photos.ids, photos.numbers, photos.target(0).boxes.tolist()
    (('cat',), (3,), (7,), [[10.0, 10.0, 30.0, 40.0]])
    """

    images: ImageSet
    classes: tuple[str, ...]
    ids: tuple[int, ...]  # of the classes in the set itself; -1: it does not have this one
    numbers: tuple[int | str, ...]  # of the images in the set itself; their places where these do not tell them apart
    columns: Columns
    notes: tuple[str, ...] = ()  # what the set was taken for, and what was done to it

    @classmethod
    def open(
        cls,
        sources: Source | Sequence[Source],
        *,
        split: str | None = None,
        classes: Sequence[str] | None = None,
        skip_bad: bool = False,
        format: str = "",
        masks: bool = False,
        cache: Source | None = None,
        workers: int | None = None,
        shown: bool = True,
    ) -> "DetectionSet":
        """The images of a split with their boxes; everything that is wrong with them is told in one error.

        `split` is a name (several joined by +), or a file that lists images: COCO json, a json list, or a text.
        `classes` are those of a checkpoint; `skip_bad` goes on without what is wrong; `format` chooses among several.
        """
        opened = read_sources(sources, format=format, cache_at=cache, workers=workers, shown=shown)
        return cls.of(opened, split=split, classes=classes, skip_bad=skip_bad, masks=masks, shown=shown)

    @classmethod
    def of(
        cls,
        opened: Opened,
        *,
        split: str | None = None,
        classes: Sequence[str] | None = None,
        skip_bad: bool = False,
        masks: bool = False,
        shown: bool = True,
    ) -> "DetectionSet":
        """A split of sources that were read."""
        problems, notes, labelled = opened.problems(), opened.notes(), opened.sources
        samples, undrawn = of_split(labelled, split, problems, notes)
        images, listed = join(samples, opened.trees, problems, opened.images)
        if undrawn and split:
            listed = [each for each in listed if drawn_into(split, images, each.row)]
        used = {each.source for _, each in samples}
        elsewhere = {each.source for source in labelled for each in source.labels.samples} - used
        for source in labelled:
            problems.add_troubles(trouble for trouble in source.labels.troubles if trouble.where not in elsewhere)
        named = classes_of(labelled, samples, classes, problems)
        gathered = _gathered(listed, Gathering(named, images, problems, masks), shown)
        if not gathered.labels:
            raise problems.error("no object is left to learn from, or to find", skippable=False)
        if problems and not skip_bad:
            raise problems.error()
        notes += merged(labelled)
        notes += [f"left out: {problems.summary()}"] if problems else []
        notes += [f"{counted(gathered.over, 'box', 'boxes')} cut at the edge of the image"] if gathered.over else []
        return _assembled(gathered, images, named, tuple(notes))

    def __len__(self) -> int:
        return len(self.images)

    def target(self, index: int) -> Target:
        """What is on an image, in its own pixels."""
        columns, (start, end) = self.columns, self.columns.spans[index].tolist()
        masks = None
        if columns.outlines is not None:
            masks = Masks(tuple(columns.outlines[place] for place in range(start, end)), Size(*self.images.size(index)))
        return Target(
            torch.from_numpy(columns.boxes[start:end].copy()),
            torch.from_numpy(columns.labels[start:end].copy()),
            torch.from_numpy(columns.crowd[start:end].copy()),
            torch.from_numpy(columns.area[start:end].copy()),
            masks,
        )

    def take(self, indices: ArrayLike) -> "DetectionSet":
        """The images at these indices, in this order."""
        chosen: NDArray[np.int64] = np.asarray(indices, np.int64)
        return replace(
            self,
            images=self.images.take(chosen),
            numbers=tuple(self.numbers[index] for index in chosen.tolist()),
            columns=replace(self.columns, spans=self.columns.spans[chosen]),
        )

    def filled(self, least: int = 0) -> "DetectionSet":
        """Without images that show nothing, or with a side under `least`: what the references train on."""
        some = self.columns.spans[:, 1] > self.columns.spans[:, 0]
        return self.take([index for index in np.flatnonzero(some).tolist() if min(self.images.size(index)) >= least])

    def beside(self, other: "DetectionSet", cache: Source | None = None) -> "DetectionSet":
        """These photos, then another set's with the same classes, as one; masks are left out."""
        mine, theirs = self.columns, other.columns
        columns = Columns(
            np.concatenate([mine.boxes, theirs.boxes]),
            np.concatenate([mine.labels, theirs.labels]),
            np.concatenate([mine.crowd, theirs.crowd]),
            np.concatenate([mine.area, theirs.area]),
            np.concatenate([mine.spans, theirs.spans + len(mine.boxes)]),
        )
        images = self.images.beside(other.images, cache)
        return replace(self, images=images, numbers=tuple(range(len(images))), columns=columns)

    def fingerprint(self) -> str:
        """A digest of which images these are and of all that is said of them."""
        digest = blake2b(f"{self.images.fingerprint()} {self.classes}".encode(), digest_size=16)
        for start, end in self.columns.spans.tolist():
            columns = self.columns
            for part in (columns.boxes, columns.labels, columns.crowd):
                digest.update(np.ascontiguousarray(part[start:end]).data)
        return digest.hexdigest()


def _gathered(listed: Sequence[Listed], gathering: Gathering, shown: bool) -> Gathering:
    strange = check_units(listed, gathering.images, gathering.problems)
    with progress("checking boxes", len(listed), shown=shown and len(listed) > 2000) as advance:
        for each in listed:
            if id(each.source) not in strange:
                gathering.add(each)
            advance()
    return gathering


def _assembled(gathered: Gathering, images: ImageSet, named: Classes, notes: tuple[str, ...]) -> DetectionSet:
    samples = [each.sample for each in gathered.kept]
    numbers = tuple(place if each.number is None else each.number for place, each in enumerate(samples))
    if len(set(numbers)) < len(numbers):  # of several files, each of which counts from 1
        numbers = tuple(range(len(numbers)))
    chosen = images.take([each.row for each in gathered.kept])
    return DetectionSet(chosen, named.names, named.ids, numbers, gathered.columns(), notes)
