"""limbeck evaluate, of a detector: COCO's numbers, class by class, and detections as a file."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from limbeck.checkpoints.loaded_detector import LoadedDetector, load_detector
from limbeck.commands.train_measure import look_at, tell
from limbeck.console import console
from limbeck.detection.coco_metric import CocoMetric
from limbeck.detection.dataset import DetectionSet
from limbeck.detection.results import results_json, write_results
from limbeck.errors import OptionError, counted
from limbeck.runs.devices import reading_workers


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
    """COCO's numbers of a detector on photos with boxes; `results` is a file for its detections in COCO's form."""
    if not data:
        raise OptionError(
            f"{path} is a detector, and no photos with boxes are named",
            expected="a folder or archive with COCO json, Pascal VOC xml or YOLO txt",
            hint=f"limbeck evaluate {shlex.quote(str(path))} --data LABELLED --split test",
        )
    loaded = load_detector(path, device=device)
    reading = reading_workers(workers, 1)
    photos = DetectionSet.open(
        data, split=split or None, classes=loaded.classes, skip_bad=skip_bad, format=format, workers=reading
    )
    console.print("\n".join([counted(len(photos), "photo"), *photos.notes]), markup=False)
    metric = CocoMetric(photos.classes)
    rows = _rows(loaded, photos, metric, batch, reading if len(photos) > 512 else 0)
    if results:
        write_results(Path(results).expanduser(), rows)
        console.print(f"detections in {results}", markup=False)
    else:
        for _ in rows:
            pass
    numbers = tell(metric)
    console.print(f"next: limbeck predict {shlex.quote(str(path))} PHOTO... --pictures FOLDER", markup=False)
    return numbers


def _rows(
    loaded: LoadedDetector, photos: DetectionSet, metric: CocoMetric, batch: int, workers: int
) -> Iterator[dict[str, Any]]:
    """Rows of COCO's result form, while the metric takes in the same."""
    ids = [own if own >= 0 else model for own, model in zip(photos.ids, loaded.card.ids, strict=True)]
    seen = look_at(loaded.model, loaded.look, photos, device=loaded.device, batch=batch, workers=workers)
    for place, found in seen:
        metric.add(place, found, photos.target(place))
        yield from results_json(photos.numbers[place], found, ids)
