"""How well a detector finds what is there, while it trains and at the end."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from rich.table import Table
from torch import Tensor

from limbeck.console import console, errors, progress
from limbeck.detection.batch import Found
from limbeck.detection.coco_metric import ClassRow, CocoMetric
from limbeck.detection.dataset import DetectionSet
from limbeck.detection.detector import Detector, Look
from limbeck.detection.loader import DetectionBatch, evaluation_batches
from limbeck.detection.step import found_by
from limbeck.files import write_atomically
from limbeck.records import Detections
from limbeck.training.portions import Portions
from limbeck.training.ranks import Ranks

_TOLD = 5
_SHOWN = 30


def look_at(
    model: Detector,
    look: Look,
    photos: DetectionSet,
    *,
    device: torch.device,
    precision: str = "float32",
    batch: int = 8,
    workers: int = 0,
    rank: int = 0,
    world: int = 1,
) -> Iterator[tuple[int, Detections]]:
    """What is found on this process's share of the photos, with the photos' places."""
    share = np.arange(rank, len(photos), world)
    lost: dict[int, str] = {}
    portions = Portions("the detector", "a smaller --batch, or --device cpu")
    training = model.training
    model.eval()
    pinned = device.type == "cuda"
    with progress("evaluating", len(share), shown=rank == 0) as advance:
        batches = evaluation_batches(
            photos.take(share), look.policy(), batch=batch, workers=workers, pinned=pinned, lost=lost
        )
        for part in batches:
            found = answered(model, look, precision, part.to(device), portions)
            for place, each in zip(part.indices.tolist(), found.detections(), strict=True):
                yield int(share[place]), each
            advance(len(part))
    model.train(training)
    for place, reason in list(lost.items())[:_TOLD]:
        errors.print(f"skipped {photos.images.path(int(share[place]))}: {reason}", markup=False)
    if len(lost) > _TOLD:
        errors.print(f"skipped {len(lost) - _TOLD:,} more")


def answered(model: Detector, look: Look, precision: str, batch: DetectionBatch, portions: Portions) -> Found:
    """What is found on a batch, of as many images at once as fit into memory."""

    def forward(parts: list[Tensor]) -> Tensor:
        first, last = int(parts[0][0]), int(parts[0][-1])
        found = found_by(model, look, precision, batch.rows(slice(first, last + 1)))
        flat = (found.boxes, found.scores[..., None], found.labels[..., None].float())
        counts = found.counts[:, None, None].expand(-1, found.scores.shape[1], 1).float()
        return torch.cat([*flat, counts], 2).cpu()

    packed = portions(forward, [torch.arange(len(batch))])
    return Found(packed[..., :4], packed[..., 4], packed[..., 5].long(), packed[:, 0, 6].long())


def measure(
    model: Detector, look: Look, photos: DetectionSet, ranks: Ranks, precision: str, workers: int = 0
) -> CocoMetric:
    """COCO's metric over all photos, on every process."""
    own = CocoMetric(photos.classes)
    here = {"rank": ranks.rank, "world": ranks.world, "workers": workers}
    for place, found in look_at(model, look, photos, device=ranks.device, precision=precision, **here):
        own.add(place, found, photos.target(place))
    first, *others = ranks.gather(own)
    for other in others:
        first.merge(other)
    return first


def class_table(rows: Sequence[ClassRow]) -> Table:
    """AP of each class; of many classes those that are found worst."""
    drawn = Table(box=None, padding=(0, 2, 0, 0))
    drawn.add_column("class", no_wrap=True)
    for column in ("AP", "AP50", "AP75", "objects", "given"):
        drawn.add_column(column, justify="right")
    shown = rows if len(rows) <= _SHOWN else sorted(rows, key=lambda row: row.ap)[:_SHOWN]
    for row in shown:
        drawn.add_row(row.name, *map(_share, (row.ap, row.ap50, row.ap75)), f"{row.truth:,}", f"{row.found:,}")
    return drawn


def tell(metric: CocoMetric) -> dict[str, float]:
    """COCO's numbers and the classes' on the console."""
    numbers = metric.numbers()
    console.print(class_table(metric.per_class()))
    if len(metric.classes) > _SHOWN:
        console.print(f"the worst {_SHOWN} of {len(metric.classes)} classes")
    console.print("  ".join(f"{name} {_share(value)}" for name, value in numbers.items()), markup=False)
    return numbers


def write_classes(file: Path, rows: Sequence[ClassRow]) -> None:
    """The table of classes as CSV."""
    write_rows(file, ClassRow._fields, rows)


def write_rows(file: Path, titles: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Rows under their titles, as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(titles)
    writer.writerows(rows)
    write_atomically(file, text.getvalue().encode("utf-8", "surrogateescape"))


def _share(value: float) -> str:
    return f"{value:.3f}" if value >= 0 else "-"
