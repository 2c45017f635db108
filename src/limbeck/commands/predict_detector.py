"""limbeck predict, of a detector: boxes on photos, as lines, as JSON, and drawn."""

import io
import math
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from limbeck.checkpoints.loaded_detector import LoadedDetector, Seen, load_detector
from limbeck.commands.photo_listing import Listing, aside, listed
from limbeck.commands.train_measure import answered
from limbeck.console import console, errors, progress
from limbeck.detection.loader import photo_batches
from limbeck.detection.results import category_ids, results_json
from limbeck.errors import OptionError
from limbeck.files import JsonList, check_file, replacing, write_atomically, writing
from limbeck.images.decode import Unreadable, decode
from limbeck.records import Skipped
from limbeck.report.detections_pictures import Marked, drawn
from limbeck.runs.devices import reading_workers
from limbeck.training.portions import Portions

_BATCH = 8
_STEM = 160  # bytes: most file systems have 255 for a name
_FEW = 128  # fewer are read sooner than a worker starts


def predict_detector(
    path: str | Path,
    files: tuple[str, ...],
    take: Callable[[Seen], object],
    *,
    json: bool = False,
    score: float = 0.3,
    pictures: str = "",
    results: str = "",
    device: str = "auto",
) -> tuple[int, list[Skipped]]:
    """What a detector finds on photos with this score or more, printed and handed on as it comes; nothing is kept.

    How many photos were answered, and those that were not.
    """
    check_range(score)
    folder = Path(pictures).expanduser() if pictures else None
    rows_file = Path(results).expanduser() if results else None
    answered, counts = 0, Counter[str]()
    with aside(json) as output, ExitStack() as stack:
        loaded = load_detector(path, device=device)
        ids = category_ids(loaded.card.ids)
        listing, skipped = listed(files)
        _check_places(folder, rows_file)
        lists = [JsonList(partial(output.out, highlight=False, end=""))] if json else []
        lists += [stack.enter_context(_results(rows_file))] if rows_file else []
        for number, told in asked(loaded, listing):
            if isinstance(told, Skipped):
                skipped.append(told)
                continue
            sure = told.above(score)
            answered += 1
            counts.update(sure.counts)
            take(sure)
            if folder is not None and (lost := draw(folder, sure, listing, number, taken=answered)):
                skipped.append(lost)
            for rows in lists:
                rows.add(results_json(sure.name, sure.detections, ids))
            if not json:
                output.print(line(told, score), markup=False, emoji=False)
        for lost in skipped if answered or len(skipped) > 1 else ():  # else the error tells it
            errors.print(f"skipped {lost.path}: {lost.reason}", markup=False, emoji=False)
        for rows in lists:
            rows.end()
    if answered:
        where = [f"detections in {results}"] if results else []
        where += [f"pictures in {folder}"] if folder is not None else []
        total = [f"in all {_told(counts)} on {answered:,} photos"] if answered > 1 and counts else []
        for text in [*total, *where, f"next: limbeck evaluate {shlex.quote(str(path))} --data LABELLED"]:
            (errors if json else console).print(text, markup=False)
    return answered, skipped


@contextmanager
def _results(file: Path) -> Iterator[JsonList]:
    """The list that becomes the file of --results when all of it is written."""
    with replacing(file) as temporary, temporary.open("w", encoding="utf-8") as stream:

        def write(text: str) -> None:
            with writing("--results", file):
                stream.write(text)

        yield JsonList(write)
        with writing("--results", file):
            stream.flush()


def asked(loaded: LoadedDetector, listing: Listing) -> Iterator[tuple[int, Seen | Skipped]]:
    """What is found on each photo of a listing, read by several processes where there are many."""
    workers = reading_workers(-1, 1) if len(listing) > _FEW else 0
    portions = Portions("the detector", "--device cpu")
    with progress("predicting", len(listing), shown=len(listing) > 1) as advance:
        for batch, failed in photo_batches(listing, loaded.look.policy(), batch=_BATCH, workers=workers):
            if batch is not None:
                found = answered(loaded.model, loaded.look, "float32", batch.to(loaded.device), portions)
                for index, each in zip(batch.indices.tolist(), found.detections(), strict=True):
                    yield index, Seen(listing.names[index], each.boxes, each.scores, each.labels, loaded.classes)
            for index, reason in failed.items():
                yield index, Skipped(listing.names[index], reason)
            advance((0 if batch is None else len(batch)) + len(failed))


def check_range(score: float) -> None:
    if not 0 <= score <= 1:
        raise OptionError(f"--score {score:g}", expected="a score from 0 to 1", hint="--score 0.3")


def _check_places(folder: Path | None, rows_file: Path | None) -> None:
    if folder is not None:
        with writing("--pictures", folder):
            folder.mkdir(parents=True, exist_ok=True)
        check_file("--pictures", folder / "picture.jpg")
    if rows_file is not None:
        check_file("--results", rows_file)


def draw(folder: Path, seen: Seen, listing: Listing, number: int, *, taken: int) -> Skipped | None:
    """Write the photo with its boxes; what happened to one that is gone by then."""
    try:
        photo = decode(listing.read(number))
    except (Unreadable, OSError) as error:
        return Skipped(seen.name, f"not drawn: {getattr(error, 'strerror', None) or error}")
    write_picture(folder, seen, photo, taken=taken)
    return None


def write_picture(folder: Path, seen: Seen, photo: Tensor, *, taken: int) -> Path:
    """The photo with its boxes, numbered so that photos of one name from several folders stay apart."""
    stem = Path(seen.name).stem.encode(errors="replace")[:_STEM].decode(errors="ignore")
    file = folder / f"{taken:05d}_{stem}.jpg"
    data = io.BytesIO()
    picture(photo, seen).save(data, "JPEG", quality=90)
    with writing("--pictures", folder):
        write_atomically(file, data.getvalue())
    return file


def picture(photo: Tensor, seen: Seen) -> Image.Image:
    """A photo, uint8 [3, H, W], with the boxes on it, each with its class and score."""
    image = Image.fromarray(np.ascontiguousarray(photo.permute(1, 2, 0).numpy()))
    rows = zip(seen.boxes.tolist(), seen.scores.tolist(), seen.labels.tolist(), strict=True)
    return drawn(image, [Marked(box, label, f"{seen.classes[label]} {score:.2f}") for box, score, label in rows])


def line(seen: Seen, score: float) -> str:
    """What is said of a photo: its boxes of this score, or what is nearest to it.

    >>> import torch
    >>> boxes, labels = torch.tensor([[1.0, 2.0, 3.0, 4.0]] * 2), torch.tensor([0, 0])
    >>> seen = Seen("a.jpg", boxes, torch.tensor([0.9, 0.2]), labels, ("cat",))
    >>> print(line(seen, 0.5), line(seen, 0.1), line(seen, 0.95), sep="\\n")
    a.jpg: cat 90% at 1,2,3,4
    a.jpg: 2 cat: cat 90% at 1,2,3,4, cat 20% at 1,2,3,4
    a.jpg: nothing with a score of 0.95; the best is cat with 0.899
    """
    sure = seen.above(score)
    if not len(sure):
        best = f"{seen.names[0]} with {math.floor(float(seen.scores[0]) * 1000) / 1000:g}" if len(seen) else ""
        return f"{seen.name}: nothing" + (f" with a score of {score:g}; the best is {best}" if best else "")
    head = f"{_told(sure.counts)}: " if len(sure) > 1 else ""
    rows = zip(sure.names, sure.scores.tolist(), sure.boxes.round().int().tolist(), strict=True)
    told = [f"{name} {share:.0%} at {box[0]},{box[1]},{box[2]},{box[3]}" for name, share, box in rows]
    return f"{seen.name}: {head}{', '.join(told)}"


def _told(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())
