"""COCO's protocol as the field counts it: by hotcoco, where there is none by pycocotools; their numbers are equal."""

from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limbeck.detection.rle import Rle, mask_areas
from limbeck.errors import LimbeckError

OVERLAPS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
SIZES = ("all", "small", "medium", "large")
LIMITS = ((0.0, 1e10), (0.0, 32.0**2), (32.0**2, 96.0**2), (96.0**2, 1e10))  # areas in pixels, both ends within
MOST = (1, 10, 100)  # detections of one class in one image

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]


@dataclass(frozen=True)
class Truth:
    """The objects of all images, side by side; images are 0, 1, 2... in the order in which ties are resolved."""

    image: Whole
    label: Whole
    boxes: Floats  # [N, 4]: x, y, width, height
    area: Floats
    crowd: NDArray[np.bool_]
    masks: list[Rle] | None = None


@dataclass(frozen=True)
class Answers:
    """The detections of all images, side by side."""

    image: Whole
    label: Whole
    boxes: Floats  # [N, 4]: x, y, width, height
    scores: Floats
    masks: list[Rle] | None = None


@dataclass(frozen=True)
class Evaluated:
    """-1 where a class has no object of a size."""

    precision: Floats  # [overlaps, recalls, classes, sizes, most]
    recall: Floats  # [overlaps, classes, sizes, most]
    scores: Floats  # as precision: the score from which on that recall is reached


def evaluated(truth: Truth, answers: Answers, images: int, classes: int) -> Evaluated:
    """Precision and recall of every overlap, class, size and number of detections."""
    try:
        return _by_hotcoco(truth, answers, images, classes)
    except ImportError:
        return _by_pycocotools(truth, answers, images, classes)


def _by_hotcoco(truth: Truth, answers: Answers, images: int, classes: int) -> Evaluated:
    from hotcoco import COCO, COCOeval

    columns = truth.image, truth.label, truth.boxes
    outlines: dict[str, Any] = {} if truth.masks is None else {"segmentation": truth.masks}
    listed = _listed(truth, images), _named(classes)
    told = COCO.from_arrays(*listed, *columns, area=truth.area, iscrowd=truth.crowd, **outlines)
    rows = _rows(answers)
    if answers.masks is None:
        found = told.load_res(rows)
    else:
        found = told.load_res(rows, segmentation=list(answers.masks))
        # the box's area would stand for the mask's, and move detections between small, medium and large
        found.update_anns(ids=np.arange(1, len(rows) + 1), area=mask_areas(answers.masks))
    return _judged(COCOeval(told, found, _kind(truth)))


def _by_pycocotools(truth: Truth, answers: Answers, images: int, classes: int) -> Evaluated:
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        raise LimbeckError(
            "neither hotcoco nor pycocotools can be imported, and COCO's numbers need one of them",
            expected="hotcoco, which is installed with limbeck",
            hint="pip install hotcoco",
        ) from error
    with redirect_stdout(StringIO()):
        told, found = COCO(), COCO()
        base = {"info": {}, "images": _listed(truth, images), "categories": _named(classes)}
        told.dataset = base | {"annotations": _annotations(truth)}
        told.createIndex()
        found.dataset = base | {"annotations": []}
        found.createIndex()
        if len(answers.scores):  # pycocotools cannot load none
            found = told.loadRes(_rows(answers) if answers.masks is None else _results(answers))
        return _judged(COCOeval(told, found, _kind(truth)))


def _judged(judge: Any) -> Evaluated:
    judge.evaluate()
    judge.accumulate()
    counted = judge.eval
    return Evaluated(counted["precision"], counted["recall"], counted["scores"])


def _kind(truth: Truth) -> str:
    return "bbox" if truth.masks is None else "segm"


def _listed(truth: Truth, images: int) -> list[dict[str, int]]:
    sizes: dict[int, list[int]] = {}
    if truth.masks is not None:
        sizes = {image: mask["size"] for image, mask in zip(truth.image.tolist(), truth.masks, strict=True)}
    unknown = [0, 0]
    return [dict(zip(("id", "height", "width"), (image, *sizes.get(image, unknown)))) for image in range(images)]


def _named(classes: int) -> list[dict[str, Any]]:
    return [{"id": number, "name": str(number)} for number in range(classes)]


def _rows(answers: Answers) -> Floats:
    return np.column_stack([answers.image, answers.boxes, answers.scores, answers.label])


def _annotations(truth: Truth) -> list[dict[str, Any]]:
    names = "id", "image_id", "category_id", "bbox", "area", "iscrowd", "segmentation"
    numbers = range(1, len(truth.image) + 1)  # pycocotools takes an object of id 0 for none
    columns = (each.tolist() for each in (truth.image, truth.label, truth.boxes, truth.area, truth.crowd))
    masks = truth.masks or [{}] * len(truth.image)
    return [dict(zip(names, row)) for row in zip(numbers, *columns, masks, strict=True)]


def _results(answers: Answers) -> list[dict[str, Any]]:
    """Without boxes: their areas would stand for the masks'."""
    names = "image_id", "category_id", "score", "segmentation"
    columns = (each.tolist() for each in (answers.image, answers.label, answers.scores))
    return [dict(zip(names, row)) for row in zip(*columns, answers.masks or [], strict=True)]
