"""limbeck predict, of a detector: boxes on photos, as lines, as JSON, and drawn."""

import io
import json as json_module
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from limbeck.checkpoints.loaded_detector import LoadedDetector, Seen, load_detector
from limbeck.commands.photo_listing import Listing, aside, listed
from limbeck.commands.train_measure import answered
from limbeck.console import console, errors, progress
from limbeck.detection.loader import photo_batches
from limbeck.detection.results import category_ids, results_json, write_results
from limbeck.errors import OptionError
from limbeck.files import check_file, write_atomically, writing
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
    *,
    json: bool = False,
    score: float = 0.3,
    pictures: str = "",
    results: str = "",
    device: str = "auto",
) -> tuple[list[Seen], list[Skipped]]:
    """What a detector finds on photos with this score or more, printed as it comes; unreadable ones are told."""
    check_range(score)
    folder = Path(pictures).expanduser() if pictures else None
    rows_file = Path(results).expanduser() if results else None
    seen: list[Seen] = []
    with aside(json) as output:
        loaded = load_detector(path, device=device)
        listing, skipped = listed(files)
        _check_places(folder, rows_file)
        for number, told in asked(loaded, listing, score):
            if isinstance(told, Skipped):
                skipped.append(told)
                continue
            seen.append(told)
            if folder is not None and (lost := draw(folder, told, listing, number, taken=len(seen))):
                skipped.append(lost)
            if not json:
                output.print(_line(told), markup=False, emoji=False)
        for lost in skipped:
            errors.print(f"skipped {lost.path}: {lost.reason}", markup=False, emoji=False)
        if json:
            entries = [each.to_dict() for each in seen]
            unread = [{"path": lost.path, "error": lost.reason} for lost in skipped]
            output.out(json_module.dumps(entries + unread, indent=2), highlight=False)
    if rows_file is not None:
        ids = category_ids(loaded.card.ids)
        rows = (row for each in seen for row in results_json(each.name, each.detections, ids))
        with writing("--results", rows_file):
            write_results(rows_file, rows)
    if seen:
        _told(loaded, path, results, folder, json)
    return seen, skipped


def asked(loaded: LoadedDetector, listing: Listing, score: float) -> Iterator[tuple[int, Seen | Skipped]]:
    """What is found on each photo of a listing, read by several processes where there are many."""
    workers = reading_workers(-1, 1) if len(listing) > _FEW else 0
    portions = Portions("the detector", "--device cpu")
    with progress("predicting", len(listing), shown=len(listing) > 1) as advance:
        for batch, failed in photo_batches(listing, loaded.look.policy(), batch=_BATCH, workers=workers):
            if batch is not None:
                found = answered(loaded.model, loaded.look, "float32", batch.to(loaded.device), portions)
                for index, each in zip(batch.indices.tolist(), found.detections(), strict=True):
                    sure = each.scores >= score
                    boxes, scores, labels = each.boxes[sure], each.scores[sure], each.labels[sure]
                    yield index, Seen(listing.names[index], boxes, scores, labels, loaded.classes)
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


def _told(loaded: LoadedDetector, path: str | Path, results: str, folder: Path | None, json: bool) -> None:
    where = [f"detections in {results}"] if results else []
    where += [f"pictures in {folder}"] if folder is not None else []
    aside_of = errors if json else console
    for line in [*where, f"next: limbeck evaluate {shlex.quote(str(path))} --data LABELLED"]:
        aside_of.print(line, markup=False)


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


def _line(seen: Seen) -> str:
    rows = zip(seen.names, seen.scores.tolist(), seen.boxes.round().int().tolist(), strict=True)
    told = [f"{name} {score:.0%} at {box[0]},{box[1]},{box[2]},{box[3]}" for name, score, box in rows]
    return f"{seen.name}: " + (", ".join(told) if told else "nothing")
