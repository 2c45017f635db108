"""limbeck evaluate, of a detector: COCO's numbers, class by class, and detections as a file."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from limbeck.checkpoints.loaded_detector import LoadedDetector, load_detector
from limbeck.commands.train_measure import look_at, tell
from limbeck.console import console
from limbeck.detection.coco_metric import CocoMetric
from limbeck.detection.confusion import Confusion
from limbeck.detection.dataset import DetectionSet
from limbeck.detection.results import category_ids, results_json, write_results
from limbeck.detection.voc_metric import VocMetric
from limbeck.errors import OptionError, counted
from limbeck.files import check_file
from limbeck.records import Detections, Target
from limbeck.runs.devices import reading_workers

_WORST = 3  # confusions that are told


def evaluate_detector(
    path: str | Path,
    data: Sequence[str],
    *,
    split: str = "",
    format: str = "",
    results: str = "",
    skip_bad: bool = False,
    batch: int = 8,
    workers: int = -1,
    device: str = "auto",
) -> dict[str, float]:
    """COCO's numbers and VOC's on photos with boxes; `results` is a file for the detections in COCO's form."""
    if not data:
        raise OptionError(
            f"{path} is a detector, and no photos with boxes are named",
            expected="a folder or archive with COCO json, Pascal VOC xml or YOLO txt",
            hint=f"limbeck evaluate {shlex.quote(str(path))} --data LABELLED --split test",
        )
    loaded = load_detector(path, device=device)
    if results:
        check_file("--results", Path(results).expanduser())
    reading = reading_workers(workers, 1)
    photos = DetectionSet.open(
        data, split=split or None, classes=loaded.classes, skip_bad=skip_bad, format=format, workers=reading
    )
    console.print("\n".join([counted(len(photos), "photo"), *photos.notes]), markup=False)
    measured = Measured(photos.classes)
    rows = _rows(loaded, photos, measured, batch, reading if len(photos) > 512 else 0)
    if results:
        write_results(Path(results).expanduser(), rows)
        console.print(f"detections in {results}", markup=False)
    else:
        for _ in rows:
            pass
    numbers = tell(measured.coco) | measured.voc()
    for line in measured.lines():
        console.print(line, markup=False)
    console.print(f"next: limbeck predict {shlex.quote(str(path))} PHOTO... --pictures FOLDER", markup=False)
    return numbers


class Measured:
    """Everything that is counted of what a detector finds: COCO's numbers, VOC's, sizes, and confusions of classes.

    Of an image with up to 200 detections all of it keeps less than 10 kB.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self.coco, self.confusion = CocoMetric(classes), Confusion(classes)
        self._voc = VocMetric(classes)

    def add(self, key: int, found: Detections, truth: Target) -> None:
        self.coco.add(key, found, truth)
        self.confusion.add(key, found, truth)
        self._voc.add(key, found, truth)

    def voc(self) -> dict[str, float]:
        """VOC's mean average precision at an overlap of 0.5: under the curve, and over eleven points."""
        return {"VOC": self._voc.ap(), "VOC07": self._voc.ap("11")}

    def lines(self) -> list[str]:
        """VOC's numbers, how many objects of each size are found, and which classes are taken for which."""
        voc = self.voc()
        lines = [f"VOC {voc['VOC']:.3f} (area)  {voc['VOC07']:.3f} (11 points)"]
        sizes = [row for row in self.coco.by_size()[1:] if row.truth]
        shares = "  ".join(f"{row.name} {row.recall50:.1%} of {row.truth:,}" for row in sizes)
        lines += [f"found at an overlap of 0.5: {shares}"] if sizes else []
        counts = self.confusion.counts()[:-1, :-1].copy()
        np.fill_diagonal(counts, 0)
        classes = self.coco.classes
        worst = [divmod(int(place), len(classes)) for place in np.argsort(-counts, axis=None, kind="stable")[:_WORST]]
        mixed = [f"{classes[i]} for {classes[j]} {counts[i, j]:,} times" for i, j in worst if counts[i, j]]
        return lines + ([f"taken for another class, with a score of 0.3 or more: {', '.join(mixed)}"] if mixed else [])


def _rows(
    loaded: LoadedDetector, photos: DetectionSet, measured: Measured, batch: int, workers: int
) -> Iterator[dict[str, Any]]:
    """Rows of COCO's result form, while the same is measured."""
    ids = category_ids(photos.ids, loaded.card.ids)
    seen = look_at(loaded.model, loaded.look, photos, device=loaded.device, batch=batch, workers=workers)
    for place, found in seen:
        measured.add(place, found, photos.target(place))
        yield from results_json(photos.numbers[place], found, ids)
