"""When two photos count as the same; every number was chosen by bench/near_duplicates.py on one half of its photos."""

from dataclasses import dataclass

NEAR_DUPLICATE, SAME_SCENE = LEVELS = ("near-duplicate", "same scene")
SIGNATURES = ("embedding", "hash", "local")


@dataclass(frozen=True)
class Thresholds:
    """What makes a pair a candidate, and what a candidate must show.

    >>> Thresholds(candidates=3).candidates
    3
    """

    hash_distance: int = 12  # of 64 bits: a candidate at most this far
    similarity: float = 0.13  # cosine of two `local` signatures: a candidate at least this near
    embedding_similarity: float = 0.5  # cosine of two embeddings without what all photos share, likewise
    candidates: int = 5  # at most so many of a photo by signature, and as many by hash
    ratio: float = 0.8  # of the nearest descriptor's distance to the second's
    residual: float = 3.0  # pixels of the common size between a matched point and its place by the transform
    least_inliers: int = 6  # where the pixels agree too
    scene_inliers: int = 12  # where they do not
    coverage: float = 0.05  # share of a photo that the inliers span, where the pixels do not agree
    overlap: float = 0.4  # share of the smaller view that both show
    scale: float = 10.0  # the largest change of size
    stretch: float = 2.0  # the largest change of shape
    rough_agreement: float = 0.8  # correlation of whole frames, very small, before they are looked at closely
    agreement: float = 0.72  # correlation of the aligned pixels
    exact: float = 0.7  # share of the matches within a pixel of their places, in a near-duplicate
