"""Points of a photo that are found again in its edited copies: RootSIFT on a copy of a common size."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

COMMON_SIDE = 200  # pixels of the longer side of the copy that points are found on
MOST_POINTS = 300  # the strongest are kept
SMALL_SIDE = 64  # of the square copy whose pixels are compared
ROOT_NORM = 512.0  # of a descriptor; products of two are whole numbers that float32 holds exactly

_CONTRAST = 0.02  # half of SIFT's own, so that smooth photos have points too
# seen in a mirror, the rows of a descriptor's 4 x 4 cells and its eight directions run the other way
_MIRRORED = np.arange(128).reshape(4, 4, 8)[::-1][..., [0, 7, 6, 5, 4, 3, 2, 1]].ravel()


@dataclass(frozen=True)
class Features:
    """What `compare` needs of a photo. Points are (x, y) in pixels of the common size."""

    points: NDArray[np.float32]  # [n, 2]
    descriptors: NDArray[np.uint8]  # [n, 128], RootSIFT of norm 512
    height: int  # of the common size
    width: int
    small: NDArray[np.uint8]  # [64, 64], the whole photo in grey
    scale: float = 1.0  # pixels of the photo for one of the common size

    def __len__(self) -> int:
        return len(self.points)

    def mirrored(self) -> "Features":
        """The features of the photo mirrored left to right, without looking at it again."""
        points = self.points.copy()
        points[:, 0] = self.width - 1 - points[:, 0]
        return replace(self, points=points, descriptors=mirrored(self.descriptors), small=self.small[:, ::-1])


def mirrored(descriptors: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The descriptors of the same points seen in a mirror.

    >>> one = np.arange(128, dtype=np.uint8)[None]
    >>> bool((mirrored(mirrored(one)) == one).all())
    True
    """
    return descriptors[:, _MIRRORED]


def common_copy(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The photo reduced to the common size; smaller ones stay as they are.

    >>> common_copy(np.zeros((480, 640), np.uint8)).shape
    (150, 200)
    """
    height, width = grey.shape
    scale = COMMON_SIDE / max(height, width)
    if scale >= 1:
        return grey
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)


def extract(copy: NDArray[np.uint8], scale: float = 1.0) -> Features:
    """The strongest points of a grey copy of the common size, each place once for each of its directions.

    >>> len(extract(np.zeros((40, 60), np.uint8)))
    0
    """
    found, raw = cv2.SIFT.create(nfeatures=MOST_POINTS, contrastThreshold=_CONTRAST).detectAndCompute(copy, None)
    rows = [(-point.response, point.pt[1], point.pt[0], point.angle, place) for place, point in enumerate(found)]
    kept = [row[-1] for row in sorted(rows)[:MOST_POINTS]]
    points = np.array([found[place].pt for place in kept], np.float32).reshape(-1, 2)
    descriptors = _root(np.asarray(raw, np.float32)[kept]) if kept else np.zeros((0, 128), np.uint8)
    small = cv2.resize(copy, (SMALL_SIDE, SMALL_SIDE), interpolation=cv2.INTER_AREA)
    return Features(points, descriptors, copy.shape[0], copy.shape[1], np.asarray(small, np.uint8), scale)


def _root(descriptors: NDArray[np.float32]) -> NDArray[np.uint8]:
    total = np.maximum(descriptors.sum(1, keepdims=True), 1e-6)
    rooted: NDArray[np.uint8] = np.clip(np.rint(np.sqrt(descriptors / total) * ROOT_NORM), 0, 255).astype(np.uint8)
    return rooted
