"""Comparing two photos: edits, mirrors, smooth photos, patterns, parallax, determinism."""

from pathlib import Path
from typing import Any
from zipfile import ZipFile

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from limbeck.alike.compare import compare
from limbeck.alike.features import COMMON_SIDE, Features, common_copy, extract
from limbeck.alike.local import aggregate, local_vectors
from limbeck.alike.look import look
from limbeck.alike.thresholds import NEAR_DUPLICATE, SAME_SCENE, Thresholds
from limbeck.images.decode import decode
from limbeck.scenes.scene import draw_scene

Pixels = NDArray[np.uint8]


def scene(seed: int, size: int = 240) -> Pixels:
    """Several drawn scenes beside each other: a busy photo, wider than high."""
    parts = [draw_scene(100 * seed + part, size=size // 2).image for part in range(6)]
    rows = [np.concatenate(parts[:3], 1), np.concatenate(parts[3:], 1)]
    return np.asarray(np.concatenate(rows).mean(2), np.uint8)


def seen(grey: Pixels) -> Features:
    copy = common_copy(np.ascontiguousarray(grey))
    return extract(copy, max(grey.shape) / max(copy.shape))


def warped(grey: Pixels, matrix: list[list[float]]) -> Pixels:
    return np.asarray(cv2.warpAffine(grey, np.array(matrix, np.float64), grey.shape[::-1], borderValue=0), np.uint8)


PHOTO = scene(0)
EDITS: dict[str, Any] = {
    "half of the area": PHOTO[30:200, 60:315],
    "a quarter of the size": cv2.resize(PHOTO, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA),
    "squeezed": cv2.resize(PHOTO, (270, 240), interpolation=cv2.INTER_AREA),
    "blurred": cv2.GaussianBlur(PHOTO, (0, 0), 2),
    "darker": (PHOTO * 0.5).astype(np.uint8),
    "mirrored": PHOTO[:, ::-1],
    "upside down": PHOTO[::-1, ::-1],
    "turned": np.rot90(PHOTO),
    "mirrored and turned": np.rot90(PHOTO[:, ::-1]),
    "tilted": warped(PHOTO, cv2.getRotationMatrix2D((180, 120), 10, 1).tolist()),
    "written upon": cv2.putText(PHOTO.copy(), "SAMPLE", (20, 130), cv2.FONT_HERSHEY_SIMPLEX, 2.0, 255, 8),
    "framed": cv2.copyMakeBorder(PHOTO, 30, 30, 30, 30, cv2.BORDER_CONSTANT, value=255),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_copy_is_a_near_duplicate(edit: str) -> None:
    evidence = compare(seen(EDITS[edit]), seen(PHOTO))
    assert evidence is not None
    assert evidence.level == NEAR_DUPLICATE
    assert evidence.mirrored == ("mirrored" in edit)


def test_other_photos_are_not() -> None:
    features = [seen(scene(seed)) for seed in range(4)]
    assert not any(compare(features[a], features[b]) for a in range(4) for b in range(a))


def test_matched_points_lie_where_the_edit_puts_them() -> None:
    evidence = compare(seen(EDITS["half of the area"]), seen(PHOTO))
    assert evidence is not None
    apart = evidence.points_b - evidence.points_a - np.array([60, 30])
    assert np.abs(apart).max() < 3 * max(PHOTO.shape) / COMMON_SIDE + 1


def test_mirrored_features_are_those_of_the_mirrored_photo() -> None:
    ours, theirs = seen(PHOTO).mirrored(), seen(PHOTO[:, ::-1])
    apart = np.linalg.norm(ours.points[:, None] - theirs.points[None], axis=2)
    found = apart.min(1) < 1
    assert found.mean() > 0.8
    nearest = apart.argmin(1)[found]
    likeness = (ours.descriptors[found].astype(float) * theirs.descriptors[nearest]).sum(1) / 512**2
    assert np.median(likeness) > 0.95


def test_the_signature_of_the_mirror_image_needs_no_second_look() -> None:
    upright, mirrored = local_vectors(seen(PHOTO))
    assert aggregate(seen(PHOTO[:, ::-1]).descriptors) @ mirrored > 0.7
    assert upright @ mirrored < 0.5


def test_smooth_photos_are_compared_by_their_pixels_never_by_points_alone() -> None:
    rows, columns = np.mgrid[0:150, 0:200] / 30
    waves = [
        np.asarray(127 + 60 * np.sin(columns * a + b) * np.cos(rows * b), np.uint8) for a, b in ((1, 1), (1.6, 0.7))
    ]
    photo, other = (seen(wave) for wave in waves)
    copy = seen(np.asarray(cv2.resize(waves[0], (120, 90)) * 0.8, np.uint8))
    assert max(len(photo), len(copy)) < 60
    evidence = compare(photo, copy)
    assert evidence is not None
    assert evidence.level == NEAR_DUPLICATE
    assert compare(photo, other) is None
    assert compare(seen(np.full((90, 120), 128, np.uint8)), photo) is None


def test_something_else_in_front_of_a_moved_camera_is_the_same_scene() -> None:
    """Two depths that move by different amounts: points match, pixels do not."""
    near, far = scene(1), scene(2)
    matrix = [[1.0, 0, 14], [0, 1.0, 0]]
    first, second = far.copy(), warped(far, matrix)
    for column in range(0, 360, 60):
        first[:, column : column + 30] = near[:, column : column + 30]
        second[:, column : column + 30] = warped(near, [[1.0, 0, -14], [0, 1.0, 0]])[:, column : column + 30]
    evidence = compare(seen(first), seen(second), Thresholds(coverage=0.02))
    assert evidence is not None
    assert evidence.level == SAME_SCENE


def test_the_same_logo_on_two_photos_is_not_enough() -> None:
    logo = scene(5)[:60, :60]
    photos = [scene(seed) for seed in (6, 7)]
    for photo in photos:
        photo[170:230, 290:350] = logo
    assert compare(seen(photos[0]), seen(photos[1])) is None


def test_twice_is_the_same() -> None:
    a, b = seen(PHOTO), seen(EDITS["tilted"])
    first, second = compare(a, b), compare(a, b)
    assert first is not None
    assert second is not None
    assert first.inliers == second.inliers
    assert (first.points_a == second.points_a).all()
    again = seen(PHOTO)
    assert (a.descriptors == again.descriptors).all()
    assert (a.points == again.points).all()


@pytest.mark.shared
def test_neighbouring_video_frames_and_real_photos(shared: Path) -> None:
    with ZipFile(shared / "data" / "camvid.zip") as archive:
        frames = sorted(name for name in archive.namelist() if "Seq05VD" in name and name.endswith(".jpg"))
        one, next_one, far = (look(decode(archive.read(frames[place]))).features for place in (20, 21, 90))
    evidence = compare(one, next_one)
    assert evidence is not None
    assert evidence.level == SAME_SCENE
    assert compare(one, far) is None
