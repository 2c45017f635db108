"""Which classes a detector takes for which, over images that come one by one, on one process or several."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from limbeck.detection.kept import Key, answer_rows, object_rows, overlaps_of, surest_first
from limbeck.records import Detections, Target


class Confusion:
    """Detections of at least `score`, the surest first, each meet the free object that they overlap most, of any class.

    Rows are what there is, columns what was found; the last of each is the background: objects that nothing met, and
    detections that met nothing. What lies in a crowd (its own area, by `overlap`) counts as nothing. An image whose key
    comes again counts once.

    >>> import torch
    >>> confusion = Confusion(["cat", "dog"])
    >>> boxes, cat, dog = torch.tensor([[0.0, 0.0, 9.0, 9.0]]), torch.tensor([0]), torch.tensor([1])
    >>> confusion.add("a photo", Detections(boxes, torch.tensor([0.9]), dog), Target(boxes, cat))
    >>> confusion.counts().tolist()
    [[0, 1, 0], [0, 0, 0], [0, 0, 0]]
    """

    def __init__(self, classes: Sequence[str], *, overlap: float = 0.5, score: float = 0.3) -> None:
        self.classes = tuple(classes)
        self.overlap, self.score = overlap, score
        self._cell = np.min_scalar_type(self.side**2)
        self._cells: dict[
            Key, NDArray[np.unsignedinteger]
        ] = {}  # of each image: row * side + column, once for each count

    def __len__(self) -> int:
        return len(self._cells)

    @property
    def side(self) -> int:
        return len(self.classes) + 1

    def add(self, key: Key, found: Detections, truth: Target) -> None:
        """One image with what was found on it and what is on it, both in the pixels of the image itself."""
        if key in self._cells:
            return
        answers, rows = surest_first(answer_rows(found)), object_rows(truth)
        answers = answers[answers[:, 4] >= self.score]
        crowd = rows[:, 6] != 0
        objects, crowds = rows[~crowd], rows[crowd]
        met = self._met(overlaps_of(answers, objects))
        nothing = self.side - 1
        true, guessed = objects[:, 4].astype(np.int64), answers[:, 5].astype(np.int64)
        hit = met >= 0
        missed = true[np.setdiff1d(np.arange(len(true)), met)]
        extra = guessed[~hit & ~_within(answers, crowds, self.overlap)]
        parts = (true[met[hit]], guessed[hit]), (missed, nothing), (nothing, extra)
        self._cells[key] = np.concatenate([row * self.side + column for row, column in parts]).astype(self._cell)

    def merge(self, other: "Confusion") -> None:
        """Take in what another process has seen: a metric travels between processes by pickle."""
        own, its = ((each.classes, each.overlap, each.score) for each in (self, other))
        assert own == its, "confusions of different things"
        self._cells = other._cells | self._cells

    def counts(self) -> NDArray[np.int64]:
        """[classes + 1, classes + 1]: rows are what there is, columns what was found."""
        cells = np.concatenate([np.zeros(0, self._cell), *self._cells.values()])
        return np.bincount(cells, minlength=self.side**2).astype(np.int64).reshape(self.side, self.side)

    def _met(self, shared: NDArray[np.float64]) -> NDArray[np.int64]:
        """The object of each detection, -1 where it has none."""
        met = np.full(len(shared), -1)
        for row in np.flatnonzero((shared >= self.overlap).any(1)):
            best = shared[row].argmax()
            if shared[row, best] >= self.overlap:
                met[row] = best
                shared[:, best] = -1.0
        return met


def _within(answers: NDArray[np.float32], crowds: NDArray[np.float64], overlap: float) -> NDArray[np.bool_]:
    """Those of which at least this share lies in one crowd."""
    low = np.maximum(answers[:, None, :2], crowds[None, :, :2])
    high = np.minimum(answers[:, None, 2:4], crowds[None, :, 2:4])
    area = (answers[:, 2:4] - answers[:, :2]).prod(1)
    share = (high - low).clip(0).prod(2) / np.where(area > 0, area, 1)[:, None]
    within: NDArray[np.bool_] = (share >= overlap).any(1)
    return within
