"""limbeck predict, of a detector: boxes on photos, as lines, as JSON, and drawn."""

import io
import json as json_module
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from limbeck.checkpoints.loaded_detector import LoadedDetector, Seen, load_detector
from limbeck.commands.photo_listing import Listing, aside, listed
from limbeck.console import console, errors, progress
from limbeck.detection.results import results_json
from limbeck.errors import OptionError
from limbeck.files import write_atomically
from limbeck.images.decode import Unreadable, decode
from limbeck.records import Skipped
from limbeck.report.detections_pictures import Marked, drawn


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
    seen: list[Seen] = []
    rows: list[dict[str, Any]] = []
    with aside(json) as output:
        loaded = load_detector(path, device=device)
        listing, skipped = listed(files)
        photos: deque[Tensor] = deque()
        with progress("predicting", len(listing), shown=len(listing) > 1) as advance:
            for each in loaded.seen(_read(listing, skipped, photos), score=score):
                seen.append(each)
                rows += results_json(each.name, each.detections, loaded.card.ids)
                photo = photos.popleft()
                if folder is not None:
                    write_picture(folder, each, photo, taken=len(seen))
                if not json:
                    output.print(_line(each), markup=False, emoji=False)
                advance()
        for lost in skipped:
            errors.print(f"skipped {lost.path}: {lost.reason}", markup=False, emoji=False)
        if json:
            entries = [each.to_dict() for each in seen]
            unread = [{"path": lost.path, "error": lost.reason} for lost in skipped]
            output.out(json_module.dumps(entries + unread, indent=2), highlight=False)
    if results:
        write_atomically(Path(results).expanduser(), (json_module.dumps(rows, indent=1) + "\n").encode())
    if seen:
        _told(loaded, path, results, folder, json)
    return seen, skipped


def check_range(score: float) -> None:
    if not 0 <= score <= 1:
        raise OptionError(f"--score {score:g}", expected="a score from 0 to 1", hint="--score 0.3")


def _told(loaded: LoadedDetector, path: str | Path, results: str, folder: Path | None, json: bool) -> None:
    where = [f"detections in {results}"] if results else []
    where += [f"pictures in {folder}"] if folder is not None else []
    aside_of = errors if json else console
    for line in [*where, f"next: limbeck evaluate {path} --data LABELLED"]:
        aside_of.print(line, markup=False)


def _read(listing: Listing, skipped: list[Skipped], photos: deque[Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Names and pixels; those whose answers are still to come wait in `photos`."""
    for number, name in enumerate(listing.names):
        try:
            photo = decode(listing.read(number))
        except (Unreadable, OSError) as error:
            skipped.append(Skipped(name, getattr(error, "strerror", None) or str(error)))
            continue
        photos.append(photo)
        yield name, photo


def write_picture(folder: Path, seen: Seen, photo: Tensor, *, taken: int) -> Path:
    """The photo with its boxes, numbered so that photos of one name from several folders stay apart."""
    file = folder / f"{taken:05d}_{Path(seen.name).stem}.jpg"
    data = io.BytesIO()
    picture(photo, seen).save(data, "JPEG", quality=90)
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
