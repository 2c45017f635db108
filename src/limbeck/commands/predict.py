"""limbeck predict: the top answers of a run to some photos."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from torch import Tensor
from tyro.conf import Positional, arg

from limbeck.checkpoints.detector_card import is_detector
from limbeck.checkpoints.loaded import Loaded, Prediction, load
from limbeck.checkpoints.loaded_detector import Seen
from limbeck.commands.photo_listing import Listing, aside, listed
from limbeck.commands.predict_detector import predict_detector
from limbeck.console import console, errors, progress
from limbeck.errors import ImagesError
from limbeck.files import JsonList
from limbeck.images.reader import evaluation_batches
from limbeck.records import Skipped
from limbeck.runs.devices import reading_workers

_BATCH = 32
_FEW = 512  # fewer are read sooner than a worker starts


@dataclass(frozen=True)
class Predict:
    """What a run or checkpoint sees in photos; the exit status is 1 when none of them can be read."""

    run: Annotated[Positional[str], arg(metavar="RUN")]
    """A run or a checkpoint folder, of a classifier or a detector."""
    files: Annotated[Positional[tuple[str, ...]], arg(metavar="FILE...")]
    """Photos, folders of them, .txt lists, .zip/.tar/.tar.gz archives, globs, URLs, or a manifest."""
    json: bool = False
    """Print JSON instead of lines: {file, answers} for a photo, then {path, error} for what cannot be read; of a
    detector a row for each box, as in --results."""
    top: int = 5
    """For a classifier: answers for each photo."""
    score: float = 0.3
    """For a detector: boxes of at least this score."""
    pictures: str = ""
    """For a detector: a folder for the photos with boxes drawn on them."""
    results: str = ""
    """For a detector: a file for the boxes in COCO's result form, a box a line, image_id being the file's name."""
    device: str = "auto"
    """cpu, cuda, mps, or auto."""


def predict(
    path: str | Path,
    files: str | Path | Iterable[str | Path],
    *,
    json: bool = False,
    top: int = 5,
    score: float = 0.3,
    pictures: str | Path = "",
    results: str | Path = "",
    device: str = "auto",
) -> list[Prediction] | list[Seen]:
    """The top answers of a run to photos, or what a detector finds, printed and returned.

    An error when none of them can be read; `score`, `pictures` and `results` are for detectors.
    """
    named = tuple(str(file) for file in ([files] if isinstance(files, str | Path) else files))
    shown = {"score": score, "pictures": str(pictures), "results": str(results)}
    options = Predict(str(path), named, json=json, top=top, device=device, **shown)  # type: ignore[arg-type]
    predictions: list[Any] = []
    answered, skipped = answer(options, predictions.append)
    if not answered:
        raise nothing_read(options, skipped)
    return predictions


def run(options: Predict) -> None:
    answered, skipped = answer(options, lambda told: None)
    if not answered:
        errors.print("error: ", style="bold red", end="")
        errors.print(str(nothing_read(options, skipped)), markup=False)
        sys.exit(1)


def nothing_read(options: Predict, skipped: Sequence[Skipped]) -> ImagesError:
    beside = f"none of the {len(skipped):,} files can be read: " if len(skipped) > 1 else ""
    return ImagesError(
        f"{beside}{skipped[0].path}: {skipped[0].reason}",
        expected="photos: JPEG, PNG, WebP, BMP, TIFF, GIF; or folders, lists, archives, globs, URLs of them",
        hint=f"limbeck predict {options.run} PHOTO...",
    )


def answer(options: Predict, take: Callable[[Any], object]) -> tuple[int, list[Skipped]]:
    """Print and hand on the answers as they come; what could not be read is told with the reason, and stops nothing."""
    if not options.files:
        raise ImagesError(
            "no photos are named",
            expected="photos, folders, lists, archives, globs or URLs",
            hint=f"limbeck predict {options.run} PHOTO...",
        )
    if is_detector(options.run):
        return predict_detector(
            options.run,
            options.files,
            take,
            json=options.json,
            score=options.score,
            pictures=options.pictures,
            results=options.results,
            device=options.device,
        )
    answered = 0
    with aside(options.json) as output:
        loaded = load(options.run, device=options.device)
        listing, skipped = listed(options.files)
        entries = JsonList(partial(output.out, highlight=False, end=""))
        for told in asked(loaded, listing, options.top):
            if isinstance(told, Skipped):
                skipped.append(told)
                continue
            answered += 1
            take(told)
            if options.json:
                entries.add([told.to_dict()])
            else:
                output.print(_line(told), markup=False, emoji=False)
        for each in skipped if answered or len(skipped) > 1 else ():  # else the error tells it
            errors.print(f"skipped {each.path}: {each.reason}", markup=False, emoji=False)
        if options.json:
            entries.add({"path": each.path, "error": each.reason} for each in skipped)
            entries.end()
    if answered:  # beside the JSON, not in it
        hint = f"next: limbeck evaluate {options.run} --images FOLDER"
        (errors if options.json else console).print(hint, markup=False)
    return answered, skipped


def asked(loaded: Loaded, listing: Listing, top: int) -> Iterator[Prediction | Skipped]:
    """The model's answers, photo by photo."""
    workers = reading_workers(-1, 1) if len(listing) > _FEW else 0
    with progress("predicting", len(listing), shown=len(listing) > 1) as advance:
        for batch in evaluation_batches(listing, [loaded.preprocess], batch=_BATCH, workers=workers):
            names = [listing.names[index] for index in batch.indices.tolist()]
            yield from _best(loaded, batch.views[0], names, top)
            for index, reason in batch.failed.items():
                yield Skipped(listing.names[index], reason)
            advance(len(names) + len(batch.failed))


def _best(loaded: Loaded, views: Tensor, names: Sequence[str], top: int) -> Iterator[Prediction]:
    if not names:
        return
    best = loaded.log_probabilities(views).exp().topk(min(top, len(loaded.classes)), dim=1)
    for name, values, indices in zip(names, best.values.tolist(), best.indices.tolist(), strict=True):
        yield Prediction(name, tuple(loaded.classes[i] for i in indices), tuple(values))


def _line(answer: Prediction) -> str:
    pairs = zip(answer.classes, answer.probabilities, strict=True)
    return f"{answer.name}: " + ", ".join(f"{name} {share:.1%}" for name, share in pairs)
