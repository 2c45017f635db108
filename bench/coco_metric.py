"""COCO's numbers for 5,000 images x 80 classes: against pycocotools (goal: 25 x as fast, equal numbers).

    python bench/coco_metric.py
    python bench/coco_metric.py --images 500 --masks

Truths and answers are drawn: 7.3 objects an image, 100 detections, half of them near an object. `CocoMetric` is timed
from each image's tensors to the twelve numbers. pycocotools is given columns and timed from loadRes on, which favours
it. The numbers must be equal within 1e-9. Both do the work three times, in turn; the ratio is that of the medians, of
the time that passed and, for machines that others use too, of processor time, that of all threads together.
"""

import argparse
import statistics
import sys
import time
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import numpy as np
import pycocotools.mask as coder
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from limbeck.detection.coco_metric import CocoMetric
from limbeck.records import Detections, Target

WIDTH, HEIGHT, CLASSES, MOST = 640, 480, 80, 100
Set = list[tuple[Detections, Target]]


def boxes(rng: Generator, count: int) -> NDArray[np.float64]:
    """Corners; sides are lognormal around 55 pixels."""
    side = np.exp(rng.normal(4, 1, (count, 2))).clip(4, 470)
    corner = rng.uniform(0, 1, (count, 2)) * (np.array([WIDTH, HEIGHT]) - side)
    return np.column_stack([corner, corner + side])


def disc(box: NDArray[np.float64]) -> dict[str, Any]:
    x, y = (box[:2] + box[2:]) / 2
    radius = (box[2:] - box[:2]).clip(2) / 2
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    inside = ((columns - x) / radius[0]) ** 2 + ((rows - y) / radius[1]) ** 2 <= 1
    pack: dict[str, Any] = coder.encode(np.asfortranarray(inside, dtype=np.uint8))
    return pack


def drawn(images: int, masks: bool) -> Set:
    rng = np.random.default_rng(0)
    records = []
    for _ in range(images):
        objects = int(rng.poisson(7.3))
        true, labels = boxes(rng, objects), rng.integers(CLASSES, size=objects)
        hits = rng.integers(objects, size=MOST // 2) if objects else np.zeros(0, int)
        extent = np.tile(true[hits, 2:] - true[hits, :2], 2)
        near = true[hits] + rng.normal(0, 0.1, extent.shape) * extent
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 1)
        found = np.concatenate([near, boxes(rng, MOST - len(hits))])
        wrong = rng.integers(CLASSES, size=MOST)
        right = rng.random(len(hits)) < 0.8
        wrong[: len(hits)] = np.where(right, labels[hits], wrong[: len(hits)])
        scores = np.concatenate([rng.beta(2, 4, len(hits)), rng.beta(1, 8, MOST - len(hits))])
        order = np.argsort(-scores)
        packs = [[disc(box) for box in each] for each in (found[order], true)] if masks else [None, None]
        answers = (torch.from_numpy(each[order]) for each in (found, scores, wrong))
        boxed, scored, labelled = answers
        crowd = torch.from_numpy(rng.random(objects) < 0.01)
        target = Target(torch.from_numpy(true).float(), torch.from_numpy(labels), crowd, None, packs[1])
        records.append((Detections(boxed.float(), scored.float(), labelled, packs[0]), target))
    return records


class Watch:
    """Seconds that passed, and seconds of processors."""

    def __init__(self) -> None:
        self.start = time.perf_counter(), time.process_time()

    def read(self, who: str) -> tuple[float, float]:
        passed, worked = time.perf_counter() - self.start[0], time.process_time() - self.start[1]
        print(f"  {who:12} {passed:7.2f} s, of processors {worked:7.2f} s", flush=True)
        return passed, worked


def ours(records: Set, masks: bool) -> tuple[tuple[float, float], list[float]]:
    watch = Watch()
    metric = CocoMetric([str(number) for number in range(CLASSES)], masks)
    for key, (found, truth) in enumerate(records):
        metric.add(key, found, truth)
    watch.read("- adding")
    numbers = list(metric.numbers().values())
    return watch.read("CocoMetric"), numbers


def columns(records: Set, masks: bool) -> tuple[dict[str, Any], Any]:
    """The same truths and answers as pycocotools takes them."""
    annotations: list[dict[str, Any]] = []
    rows = []
    for key, (found, truth) in enumerate(records):
        box = truth.boxes.double().numpy()
        sides = box[:, 2:] - box[:, :2]
        crowd = truth.crowd.tolist() if truth.crowd is not None else []
        for place in range(len(box)):
            own = {"id": len(annotations) + 1, "image_id": key, "category_id": int(truth.labels[place])}
            pack = {"segmentation": truth.masks[place]} if masks else {}
            area = float(coder.area(truth.masks[place])) if masks else float(sides[place].prod())
            told = {"bbox": [*box[place, :2].tolist(), *sides[place].tolist()], "area": area, "iscrowd": crowd[place]}
            annotations.append(own | told | pack)
        corners = found.boxes.double().numpy()
        extents = corners[:, :2], corners[:, 2:] - corners[:, :2]
        rows.append(np.column_stack([np.full(len(found), key), *extents, found.scores, found.labels]))
    listed = [{"id": key, "width": WIDTH, "height": HEIGHT} for key in range(len(records))]
    content: dict[str, Any] = {"info": {}, "images": listed, "annotations": annotations}
    content["categories"] = [{"id": number} for number in range(CLASSES)]
    if not masks:
        return content, np.concatenate(rows)
    names = "image_id", "category_id", "score", "segmentation"
    table = np.concatenate(rows)[:, [0, 6, 5]].tolist()
    packs = [pack for found, _ in records for pack in found.masks]
    return content, [dict(zip(names, (int(a), int(b), c, pack))) for (a, b, c), pack in zip(table, packs)]


def theirs(content: dict[str, Any], rows: Any, masks: bool) -> tuple[tuple[float, float], list[float]]:
    with redirect_stdout(StringIO()):
        truth = COCO()
        truth.dataset = content
        truth.createIndex()
        watch = Watch()
        judge = COCOeval(truth, truth.loadRes(rows), "segm" if masks else "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return watch.read("pycocotools"), judge.stats.tolist()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--images", type=int, default=5000)
    options.add_argument("--times", type=int, default=3)
    options.add_argument("--masks", action="store_true")
    chosen = options.parse_args()
    records = drawn(chosen.images, chosen.masks)
    content, rows = columns(records, chosen.masks)
    kind = "masks" if chosen.masks else "boxes"
    print(f"{chosen.images:,} images x {CLASSES} classes, {len(rows):,} detections, {kind}", flush=True)
    seconds = []
    for _ in range(chosen.times):
        own, numbers = ours(records, chosen.masks)
        their, reference = theirs(content, rows, chosen.masks)
        seconds.append((*own, *their))
    passed, worked, their_passed, their_worked = map(statistics.median, zip(*seconds, strict=True))
    ratio = their_passed / passed
    drift = max(abs(one - other) for one, other in zip(numbers, reference, strict=True))
    print(f"AP {numbers[0]:.4f}; largest difference of the twelve numbers {drift:.1e} (goal <= 1e-9)")
    print(f"{their_worked / worked:.1f} x less processor time")
    print(f"{ratio:.1f} x faster (goal >= 25: {'met' if ratio >= 25 else 'missed'})")
    if drift > 1e-9:
        sys.exit("the numbers differ")


if __name__ == "__main__":
    main()
