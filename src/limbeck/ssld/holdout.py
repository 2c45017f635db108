"""Photos kept out of training, to see how well the student follows the teacher."""

import numpy as np

from limbeck.images.imageset import ImageSet

MOST = 2000


def hold_out(images: ImageSet, share: float) -> tuple[ImageSet, ImageSet]:
    """(training photos, held-out photos), by the photos' keys alone: the same photos in a folder that was moved.

    Copies of one photo have one key, so they are never on both sides.
    """
    count = min(MOST, round(share * len(images)))
    if count == 0:
        return images, images.take(np.arange(0))
    drawn = np.ascontiguousarray(images.keys[:, :8]).view(">u8").ravel()
    border = np.partition(drawn, count - 1)[count - 1]
    held = drawn <= border
    return images.take(np.flatnonzero(~held)), images.take(np.flatnonzero(held)[:MOST])
