"""Photos kept out of training: to see how well the student follows the teacher, or how often it is right."""

import numpy as np
from numpy.typing import NDArray

from limbeck.errors import ImagesError, counted
from limbeck.images.imageset import ImageSet
from limbeck.ssld.labels import Labels

MOST = 2000


def hold_out(images: ImageSet, share: float) -> tuple[ImageSet, ImageSet]:
    """(training photos, held-out photos), by the photos' keys alone: the same photos in a folder that was moved.

    Copies of one photo have one key, so they are never on both sides.
    """
    count = min(MOST, round(share * len(images)))
    if count == 0:
        return images, images.take(np.arange(0))
    drawn = _numbers(images)
    border = np.partition(drawn, count - 1)[count - 1]
    held = drawn <= border
    return images.take(np.flatnonzero(~held)), images.take(np.flatnonzero(held)[:MOST])


def hold_out_each(labels: Labels, share: float) -> tuple[Labels, Labels]:
    """(training photos, held-out photos) with the same share of each class, one photo at least, by their keys alone."""
    drawn, truth = _numbers(labels.photos), labels.truth.numpy()
    share = min(share, MOST / max(1, len(truth)))
    chosen: list[NDArray[np.uint64]] = []
    for number, name in enumerate(labels.classes):
        own = np.unique(drawn[truth == number])
        if len(own) == 1:
            raise ImagesError(
                f"the class '{name}' has 1 photo: it cannot be learned from and held out to measure on",
                expected="two photos or more of each class, or no share that is held out",
                hint="more photos of it; --eval FOLDER with other labelled photos; or --probe 0 to measure nothing",
            )
        chosen.append(own[: min(max(1, round(share * len(own))), len(own) - 1)])
    held = np.isin(drawn, np.concatenate(chosen))
    lost = set(truth.tolist()) - set(truth[~held].tolist())
    if lost:
        name = labels.classes[min(lost)]
        raise ImagesError(
            f"nothing of the class '{name}' is left to learn from: "
            f"{counted(int((truth == min(lost)).sum()), 'photo')}, of which copies lie in other classes",
            expected="photos of each class that are in no other one",
            hint="limbeck doctor FOLDER lists the copies",
        )
    return labels.take(np.flatnonzero(~held)), labels.take(np.flatnonzero(held))


def apart(labels: Labels, held: NDArray[np.bool_]) -> tuple[Labels, Labels]:
    """(training photos, held-out photos) as somebody said, each class with something to learn from."""
    learned = set(labels.truth.numpy()[~held].tolist())
    lost = [name for number, name in enumerate(labels.classes) if number not in learned]
    if lost:
        raise ImagesError(
            f"nothing of the class '{lost[0]}' is to be learned from: all of its photos are of the split 'val'",
            expected="photos of each class in the split 'train'",
            hint="another split for some of them",
        )
    return labels.take(np.flatnonzero(~held)), labels.take(np.flatnonzero(held))


def _numbers(images: ImageSet) -> NDArray[np.uint64]:
    """A number for each photo, out of its digest."""
    return np.ascontiguousarray(images.keys[:, :8]).view(">u8").ravel().astype(np.uint64)
