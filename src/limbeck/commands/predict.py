"""limbeck predict: the top answers of a run to some photos."""

import json as json_module
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

from rich.console import Console
from torch import Tensor
from tyro.conf import Positional, arg

from limbeck.checkpoints.loaded import Loaded, Prediction, load
from limbeck.console import console, errors, progress
from limbeck.errors import ImagesError
from limbeck.images.cache import cache_root
from limbeck.images.manifest import label
from limbeck.images.places import Found, is_url, read_found
from limbeck.images.reader import evaluation_batches
from limbeck.images.sources import Search, find
from limbeck.records import Skipped
from limbeck.ssld.devices import reading_workers

_BATCH = 32
_FEW = 512  # fewer are read sooner than a worker starts


@dataclass(frozen=True)
class Predict:
    """What a run or checkpoint sees in photos; the exit status is 1 when none of them can be read."""

    run: Annotated[Positional[str], arg(metavar="RUN")]
    """A run, or a checkpoint folder."""
    files: Annotated[Positional[tuple[str, ...]], arg(metavar="FILE...")]
    """Photos, folders of them, .txt lists, .zip/.tar/.tar.gz archives, globs, URLs, or a manifest."""
    json: bool = False
    """Print JSON instead of lines: {file, answers} for a photo, then {path, error} for what cannot be read."""
    top: int = 5
    """Answers for each photo."""
    device: str = "auto"
    """cpu, cuda, mps, or auto."""


@dataclass(frozen=True)
class Listing:
    """Files as they were found, for the reader: they are decoded once, and nothing is kept of them."""

    names: Sequence[str]
    found: Sequence[Found]

    @property
    def keys(self) -> None:
        return None

    def __len__(self) -> int:
        return len(self.found)

    def path(self, index: int) -> str:
        return self.names[index]

    def read(self, index: int) -> bytes:
        return read_found(self.found[index])[0]


def predict(
    path: str | Path,
    files: str | Path | Iterable[str | Path],
    *,
    json: bool = False,
    top: int = 5,
    device: str = "auto",
) -> list[Prediction]:
    """The top answers of a run to photos, printed and returned; an error when none of them can be read."""
    named = [files] if isinstance(files, str | Path) else list(files)
    options = Predict(str(path), tuple(str(file) for file in named), json=json, top=top, device=device)
    predictions, skipped = answer(options)
    if not predictions:
        raise nothing_read(options, skipped)
    return predictions


def run(options: Predict) -> list[Prediction]:
    predictions, skipped = answer(options)
    if not predictions:
        errors.print("error: ", style="bold red", end="")
        errors.print(str(nothing_read(options, skipped)), markup=False)
        sys.exit(1)
    return predictions


def nothing_read(options: Predict, skipped: Sequence[Skipped]) -> ImagesError:
    what = "it cannot be read" if len(skipped) == 1 else f"none of the {len(skipped):,} files can be read"
    return ImagesError(
        f"{what}: {skipped[0].path}: {skipped[0].reason}",
        expected="photos: JPEG, PNG, WebP, BMP, TIFF, GIF; or folders, lists, archives, globs, URLs of them",
        hint=f"limbeck predict {options.run} PHOTO...",
    )


def answer(options: Predict) -> tuple[list[Prediction], list[Skipped]]:
    """Print the answers as they come; those that could not be read are told with the reason, and stop nothing."""
    if not options.files:
        raise ImagesError(
            "no photos are named",
            expected="photos, folders, lists, archives, globs or URLs",
            hint=f"limbeck predict {options.run} PHOTO...",
        )
    predictions: list[Prediction] = []
    with aside(options.json) as output:
        loaded = load(options.run, device=options.device)
        listing, skipped = listed(options.files)
        for told in asked(loaded, listing, options.top):
            if isinstance(told, Skipped):
                skipped.append(told)
                continue
            predictions.append(told)
            if not options.json:
                output.print(_line(told), markup=False, emoji=False)
        for each in skipped:
            errors.print(f"skipped {each.path}: {each.reason}", markup=False, emoji=False)
        if options.json:
            entries = [each.to_dict() for each in predictions]
            unread = [{"path": each.path, "error": each.reason} for each in skipped]
            output.out(json_module.dumps(entries + unread, indent=2), highlight=False)
    if predictions:  # beside the JSON, not in it
        hint = f"next: limbeck evaluate {options.run} --images FOLDER"
        (errors if options.json else console).print(hint, markup=False)
    return predictions, skipped


@contextmanager
def aside(json: bool) -> Iterator[Console]:
    """Where the answers go: a terminal shows them above the progress; else all but them goes to stderr."""
    before = console.stderr
    console.stderr = json or not console.is_terminal
    try:
        yield Console(soft_wrap=True, highlight=False) if console.stderr else console
    finally:
        console.stderr = before


def listed(names: Sequence[str]) -> tuple[Listing, list[Skipped]]:
    """The files that the names stand for, in the order of the names and then of the listing; and what is no photo."""
    found: list[Found] = []
    titles: list[str] = []
    skipped: list[Skipped] = []
    with console.status("listing photos") as status:
        for name in names:
            title = partial(_as_typed, name)
            search = Search(cache_root())
            before = len(found)
            try:
                for each in find([name], search):
                    found.append(each)
                    titles.append(title(label(each.path, each.container)))
                    if len(found) % 1000 == 0:
                        status.update(f"listing photos: {len(found):,}")
            except ImagesError as error:
                skipped.append(Skipped(name, f"{error.found}; {error.hint}" if error.hint else error.found))
                continue
            skipped += [Skipped(title(path), reason) for path, reason in search.skipped]
            if len(found) == before and not search.skipped:
                skipped.append(Skipped(name, "no photo is in it"))
    return Listing(titles, found), skipped


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


def _as_typed(name: str, path: str) -> str:
    """A path below where the user stands, when the user named it so; bytes that are no text are shown as \\udcXX.

    >>> _as_typed("photos", f"{Path.cwd()}/photos/a.jpg"), _as_typed("/photos", "/photos/a.jpg")
    ('photos/a.jpg', '/photos/a.jpg')
    """
    if not (name.startswith(("~", os.sep)) or is_url(name) or is_url(path)):
        path = os.path.relpath(path)
    return path.encode("utf-8", "backslashreplace").decode()


def _line(answer: Prediction) -> str:
    pairs = zip(answer.classes, answer.probabilities, strict=True)
    return f"{answer.name}: " + ", ".join(f"{name} {share:.1%}" for name, share in pairs)
