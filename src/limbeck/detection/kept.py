"""What evaluation keeps of an image: its objects and its detections, packed; columns over many images."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from limbeck.detection.coco_library import MOST, Answers, Truth
from limbeck.detection.rle import Rle, mask_areas, packed_all
from limbeck.layers.boxes import overlaps
from limbeck.records import Detections, Target

Key = int | str
Size = tuple[int, int]  # height, width


class Kept(NamedTuple):
    """One image. Masks are packed run lengths, all of one size.

    COCO counts the 100 surest of each class in an image, so that many are kept of each: 24 bytes apiece, 5 kB of a
    detector's usual limit of 200 in all; one without such a limit takes up to 100 times its classes.
    """

    found: NDArray[np.float32]  # [K, 6]: box, score, label
    truth: NDArray[np.float64]  # [G, 7]: box, label, area, crowd
    size: Size | None = None
    found_masks: tuple[bytes, ...] = ()
    truth_masks: tuple[bytes, ...] = ()

    @classmethod
    def of(cls, found: Detections, truth: Target, masks: bool = False) -> "Kept":
        """An object's area is what the truth says; where it says none, or nan, the mask's, else the box's.

        >>> boxes, label = torch.tensor([[0.0, 0.0, 2.0, 3.0]]), torch.tensor([1])
        >>> Kept.of(Detections(boxes, torch.tensor([0.5]), label), Target(boxes, label)).truth.tolist()
        [[0.0, 0.0, 2.0, 3.0, 1.0, 6.0, 0.0]]
        """
        answers, objects = answer_rows(found), object_rows(truth)
        kept = _that_count(answers)
        if not masks:
            return cls(answers[kept], objects)
        assert truth.masks is not None or not len(objects), "a truth without its masks"
        true = packed_all(truth.masks) if len(objects) else []
        every = packed_all(found.masks) if len(kept) else []
        packs = [every[row] for row in kept]
        extents = {(pack["size"][0], pack["size"][1]) for pack in (*true, *packs)}
        assert len(extents) <= 1, f"masks of one image have sizes {extents}"
        return cls(answers[kept], objects, next(iter(extents), None), _texts(packs), _texts(true))


def answer_rows(found: Detections) -> NDArray[np.float32]:
    """Detections as one array [K, 6]: box, score, label."""
    # one tensor first: one transfer from the device
    columns = found.boxes, found.scores[:, None], found.labels[:, None]
    answers: NDArray[np.float32] = torch.cat([each.detach().float() for each in columns], 1).cpu().numpy()
    return answers


def surest_first(answers: NDArray[np.float32]) -> NDArray[np.float32]:
    """The finite rows, by falling score; equal scores stay in their order."""
    finite = answers[np.isfinite(answers).all(1)]
    ordered: NDArray[np.float32] = finite[np.argsort(-finite[:, 4], kind="stable")]
    return ordered


def overlaps_of(
    answers: NDArray[np.float32], objects: NDArray[np.float64], inclusive: bool = False
) -> NDArray[np.float64]:
    """Intersection over union [K, G]; `inclusive`: corners are numbers of pixels, both within the box."""
    far = torch.tensor([0.0, 0.0, 1.0, 1.0], dtype=torch.float64) * inclusive
    boxes = (torch.from_numpy(rows[:, :4]).double() + far for rows in (answers, objects))
    shared: NDArray[np.float64] = overlaps(*boxes).numpy()
    return shared


def _that_count(answers: NDArray[np.float32]) -> NDArray[np.intp]:
    """The rows that can count: finite, and among the best of their class as COCO takes them."""
    rows = np.flatnonzero(np.isfinite(answers).all(1))
    if len(rows) <= MOST[-1]:
        return rows
    by_class = rows[np.lexsort((-answers[rows, 4], answers[rows, 5]))]
    labels = answers[by_class, 5]
    rank = np.arange(len(labels)) - np.searchsorted(labels, labels)
    best: NDArray[np.intp] = by_class[rank < MOST[-1]]
    return best


def object_rows(truth: Target) -> NDArray[np.float64]:
    """Objects as one array [G, 7]: box, label, area, crowd."""
    boxes: NDArray[np.float64] = truth.boxes.cpu().double().numpy()
    area = np.full(len(boxes), np.nan) if truth.area is None else truth.area.cpu().double().numpy()
    if np.isnan(area).any():
        extents = boxes[:, 2:] - boxes[:, :2]
        measured = extents.prod(1) if truth.masks is None else mask_areas(packed_all(truth.masks))
        area = np.where(np.isnan(area), measured, area)
    crowd = np.zeros(len(boxes)) if truth.crowd is None else truth.crowd.cpu().numpy()
    return np.column_stack([boxes, truth.labels.cpu().numpy(), area, crowd])


def _texts(packs: Sequence[Rle]) -> tuple[bytes, ...]:
    return tuple(pack["counts"] for pack in packs)


def truth_of(images: Sequence[Kept], masks: bool = False) -> Truth:
    """The objects of all images as columns."""
    rows = np.concatenate([np.zeros((0, 7)), *(each.truth for each in images)])
    image = np.repeat(np.arange(len(images)), [len(each.truth) for each in images])
    packs = _packs((each.size, each.truth_masks) for each in images) if masks else None
    return Truth(image, rows[:, 4].astype(np.int64), _sized(rows), rows[:, 5], rows[:, 6] != 0, packs)


def answers_of(images: Sequence[Kept], masks: bool = False) -> Answers:
    """The detections of all images as columns."""
    rows = np.concatenate([np.zeros((0, 6)), *(each.found for each in images)])
    image = np.repeat(np.arange(len(images)), [len(each.found) for each in images])
    packs = _packs((each.size, each.found_masks) for each in images) if masks else None
    return Answers(image, rows[:, 5].astype(np.int64), _sized(rows), rows[:, 4], packs)


def _sized(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """x, y, width, height."""
    return np.concatenate([rows[:, :2], rows[:, 2:4] - rows[:, :2]], 1)


def _packs(images: Iterable[tuple[Size | None, tuple[bytes, ...]]]) -> list[Rle]:
    return [{"size": list(size or ()), "counts": text} for size, texts in images for text in texts]
