"""What a photo must pass before its class is asked for its best, and the decision about every photo."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from limbeck.alike.thresholds import NEAR_DUPLICATE, SAME_SCENE
from limbeck.alike.within import Pair, alike_within
from limbeck.images.imageset import ImageSet
from limbeck.ssld.choosing import BALANCE, BELOW_CUT, BELOW_SCORE, KEPT, UNIT, Choice, choose
from limbeck.ssld.gallery import Gallery
from limbeck.ssld.scoring import LEVELS, NONE, Scores
from limbeck.ssld.select_options import Select

UNREADABLE, EXCLUDED, SCENE, DUPLICATE = range(BALANCE + 1, BALANCE + 5)
COPY = "copy of another"
WHY = {
    KEPT: "kept",
    UNREADABLE: "unreadable",
    EXCLUDED: "near-duplicate of an excluded photo",
    SCENE: "same scene as an excluded photo",
    DUPLICATE: "near-duplicate in the gallery",
    BELOW_SCORE: "below min-score",
    BELOW_CUT: "below the cut",
    BALANCE: "balance",
}


@dataclass(frozen=True)
class Selection:
    """What was decided about the photos of a gallery; `twin` is the row of the photo that a DUPLICATE gave way to."""

    gallery: Gallery
    scores: Scores
    fate: NDArray[np.uint8]  # a code of WHY
    rank: NDArray[np.int32]  # in the class, from 1; 0 where it was no candidate
    twin: NDArray[np.int32]
    excluded: ImageSet | None
    classes: Sequence[str]

    @cached_property
    def kept(self) -> NDArray[np.int64]:
        """The rows that are kept, by class and rank."""
        rows = np.flatnonzero(self.fate == KEPT)
        kept: NDArray[np.int64] = rows[np.lexsort((self.rank[rows], self.scores.best[rows]))]
        return kept

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many files met which fate, in the order of the gates."""
        codes = np.bincount(self.fate, minlength=DUPLICATE + 1).tolist()
        skipped = len(self.gallery.images.skipped)
        unreadable = {WHY[UNREADABLE]: codes[UNREADABLE] + skipped, COPY: len(self.gallery.copies)}
        order = EXCLUDED, SCENE, DUPLICATE, BELOW_SCORE, BELOW_CUT, BALANCE, KEPT
        return unreadable | {WHY[code]: codes[code] for code in order}


def decide(
    gallery: Gallery,
    scores: Scores,
    options: Select,
    classes: Sequence[str],
    excluded: ImageSet | None = None,
    twins: NDArray[np.int32] | None = None,
) -> Selection:
    """The decision about every photo, once all is known of them; `twins` come from `find_twins`."""
    dropped = gates(scores, drop_scenes=options.drop_scenes)
    twin = np.full(len(scores.best), NONE, np.int32) if twins is None else twins
    dropped[(dropped == 0) & (twin != NONE)] = DUPLICATE
    choice = chosen(scores, dropped == 0, options)
    fate = np.where(dropped > 0, dropped, choice.verdict)
    return Selection(gallery, scores, fate, choice.rank, twin, excluded, classes)


def gates(scores: Scores, *, drop_scenes: bool = False) -> NDArray[np.uint8]:
    """Of each photo, the gate that it does not pass; 0 where it passes all."""
    near, scene = (scores.level == LEVELS.index(level) for level in (NEAR_DUPLICATE, SAME_SCENE))
    unreadable = scores.score == NONE
    return np.select([unreadable, near, scene & drop_scenes], [UNREADABLE, EXCLUDED, SCENE], 0).astype(np.uint8)


def chosen(scores: Scores, candidates: NDArray[np.bool_], options: Select) -> Choice:
    return choose(
        scores.best,
        scores.score,
        candidates,
        per_class=options.per_class,
        min_score=least_score(options),
        keep_unsure=options.keep_unsure,
        balance=options.balance,
    )


def least_score(options: Select) -> int:
    return round(options.min_score * UNIT)


def find_twins(
    gallery: Gallery, candidates: NDArray[np.bool_], home: Path, *, engine: str, workers: int | None
) -> NDArray[np.int32]:
    """Of each photo, the row of the larger one that it is nearly the same as; -1 where it stays."""
    rows = np.flatnonzero(candidates)
    images = gallery.images.take(gallery.rows[rows])
    pairs = alike_within(images, home, engine=engine, workers=workers)
    near = [pair for pair in pairs if pair.level == NEAR_DUPLICATE]
    twin = np.full(len(gallery), NONE, np.int32)
    for lost, stays in largest_first(near, images).items():
        twin[rows[lost]] = rows[stays]
    return twin


def largest_first(pairs: Iterable[Pair], images: ImageSet) -> dict[int, int]:
    """Which photos give way to which: the largest stays (of equal ones the first), and all that is paired with it goes.

    A photo whose pair has gone stays, unless it is paired with one that stays too.
    """
    others: dict[int, set[int]] = {}
    for pair in pairs:
        others.setdefault(pair.a, set()).add(pair.b)
        others.setdefault(pair.b, set()).add(pair.a)
    height_width = {row: images.size(row) for row in others}
    order = sorted(others, key=lambda row: (-height_width[row][0] * height_width[row][1], row))
    gone: dict[int, int] = {}
    for row in order:
        if row not in gone:
            gone |= {other: row for other in sorted(others[row]) if other not in gone}
    return gone
