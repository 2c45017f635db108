"""Are two photos the same? Matched points, one transform that explains them, and the pixels laid over each other."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from limbeck.alike.agreement import agreement
from limbeck.alike.features import ROOT_NORM, SMALL_SIDE, Features, mirrored
from limbeck.alike.thresholds import NEAR_DUPLICATE, SAME_SCENE, Thresholds
from limbeck.alike.turns import MIRROR, TURNS, turned

Points = NDArray[np.float32]
Transform = NDArray[Any]

_ROUGH = 16
_CORNERS = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)


@dataclass(frozen=True)
class Evidence:
    """Why two photos count as the same; the matched points are (x, y) in pixels of the original photos."""

    level: str
    how: str  # "sift" or "hash": by points, or by the whole frames laid over each other
    inliers: int
    coverage: float
    agreement: float
    mirrored: bool
    points_a: Points
    points_b: Points


def compare(a: Features, b: Features, thresholds: Thresholds | None = None) -> Evidence | None:
    """What shows that the photos are the same, mirrored copies too; None where nothing does.

    >>> from limbeck.alike.features import extract
    >>> pixels = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (120, 160), np.uint8), (0, 0), 2)
    >>> cropped = extract(np.ascontiguousarray(pixels[20:, ::-1][:, :120]))
    >>> evidence = compare(extract(pixels), cropped)
    >>> evidence.level, evidence.mirrored
    ('near-duplicate', True)
    """
    limits = thresholds or Thresholds()
    pairs = _matches(a.descriptors, b.descriptors, limits.ratio)
    for flip in sorted((False, True), key=lambda flip: -len(pairs[flip])):
        evidence = _explained(a, b, pairs[flip], flip, limits)
        if evidence:
            return evidence
    return _whole_frame(a, b, limits)


def _matches(a: NDArray[np.uint8], b: NDArray[np.uint8], ratio: float) -> list[NDArray[np.int64]]:
    """Pairs of rows that are each other's nearest, and much nearer than the second: [k, 2], upright and mirrored."""
    if len(a) < 2 or len(b) < 2:
        return [np.zeros((0, 2), np.int64)] * 2
    asked = torch.from_numpy(np.concatenate([a, mirrored(a)])).float()
    product = asked @ torch.from_numpy(b).float().T
    best, nearest = product.max(1)
    back = product.view(2, len(a), len(b)).argmax(1)
    mutual = torch.cat([back[half, nearest[half * len(a) : (half + 1) * len(a)]] for half in (0, 1)])
    product.scatter_(1, nearest[:, None], -1.0)
    apart, second_apart = (2 * ROOT_NORM**2 - 2 * similar for similar in (best, product.amax(1)))
    good = (apart < ratio**2 * second_apart) & (mutual == torch.arange(len(a)).repeat(2))
    rows = good.nonzero()[:, 0]
    pairs = torch.stack([rows % len(a), nearest[rows]], 1).numpy()
    upright = int(good[: len(a)].sum())
    return [pairs[:upright], pairs[upright:]]


def _explained(a: Features, b: Features, pairs: NDArray[np.int64], flip: bool, limits: Thresholds) -> Evidence | None:
    if len(pairs) < limits.least_inliers:
        return None
    points_a, points_b = a.points[pairs[:, 0]], b.points[pairs[:, 1]]
    cv2.setRNGSeed(0)
    transform, inside = cv2.estimateAffine2D(
        points_a, points_b, method=cv2.RANSAC, ransacReprojThreshold=limits.residual, maxIters=1000, confidence=0.999
    )
    if transform is None:
        return None
    exact = _exact(points_a, points_b, transform)
    chosen = inside.ravel().astype(bool)
    points_a, points_b = points_a[chosen], points_b[chosen]
    inliers = len(np.unique(np.rint(points_a), axis=0))
    if inliers < limits.least_inliers or not _sane(transform, flip, limits):
        return None
    unit = _unit(transform, a, b)
    if _overlap(unit) < limits.overlap:
        return None
    coverage = max(_spanned(points_a, a), _spanned(points_b, b))
    agreed = agreement(a.small, b.small, unit)
    same = agreed >= limits.agreement
    scene = inliers >= limits.scene_inliers and coverage >= limits.coverage
    if not (same or scene):
        return None
    edited = same and (exact >= limits.exact or not scene)
    level = NEAR_DUPLICATE if edited else SAME_SCENE
    return Evidence(level, "sift", inliers, coverage, agreed, flip, points_a * a.scale, points_b * b.scale)


def _sane(transform: Transform, flip: bool, limits: Thresholds) -> bool:
    """A photo is mirrored or not, and neither squeezed nor enlarged beyond what people do."""
    matrix = transform[:, :2]
    if not np.isfinite(transform).all() or (np.linalg.det(matrix) < 0) != flip:
        return False
    largest, least = np.linalg.svd(matrix, compute_uv=False)
    return bool(least > 1 / limits.scale and largest < limits.scale and largest < limits.stretch * least)


def _exact(points_a: Points, points_b: Points, transform: Transform) -> float:
    """The share of all matches that lie within a pixel of where the transform puts them.

    Nearly all do in an edited copy; when the camera or something in front of it has moved, many do not.
    """
    apart = np.linalg.norm(points_a @ transform[:, :2].T + transform[:, 2] - points_b, axis=1)
    enlarged = max(1.0, float(np.sqrt(abs(np.linalg.det(transform[:, :2])))))
    return float((apart < enlarged).mean())


def _unit(transform: Transform, a: Features, b: Features) -> Transform:
    """The transform between coordinates that run from 0 to 1 across each photo."""
    size_a, size_b = np.array([a.width, a.height]), np.array([b.width, b.height])
    return np.column_stack([transform[:, :2] * size_a / size_b[:, None], (transform[:, 2] + 0.5) / size_b])


def _overlap(unit: Transform) -> float:
    """The share of the smaller view that both show."""
    corners = (_CORNERS @ unit[:, :2].T + unit[:, 2]).astype(np.float32)
    shared, _ = cv2.intersectConvexConvex(corners, _CORNERS)
    return float(shared) / max(min(abs(float(np.linalg.det(unit[:, :2]))), 1.0), 1e-9)


def _spanned(points: Points, features: Features) -> float:
    return float(cv2.contourArea(cv2.convexHull(points))) / (features.width * features.height)


def _whole_frame(a: Features, b: Features, limits: Thresholds) -> Evidence | None:
    """Smooth photos have too few points: their whole frames are laid over each other, in the turns that look alike."""
    rough = _rough(a.small)
    turns = np.stack([turned(rough, turn).ravel() for turn in TURNS]) @ _rough(b.small).ravel()
    nowhere = np.zeros((0, 2), np.float32)
    for turn in np.argsort(-turns, kind="stable"):
        if turns[turn] < limits.rough_agreement:
            break
        agreed = agreement(np.ascontiguousarray(turned(a.small, int(turn))), b.small, np.eye(2, 3))
        if agreed >= limits.agreement:
            return Evidence(NEAR_DUPLICATE, "hash", 0, 1.0, agreed, bool(turn >= MIRROR), nowhere, nowhere)
    return None


def _rough(small: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A copy of 16 x 16, without its mean, of unit norm."""
    rough = small.reshape(_ROUGH, SMALL_SIDE // _ROUGH, _ROUGH, SMALL_SIDE // _ROUGH).mean((1, 3))
    rough -= rough.mean()
    unit: NDArray[np.float32] = (rough / max(float(np.linalg.norm(rough)), 1e-6)).astype(np.float32)
    return unit
