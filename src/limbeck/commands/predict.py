"""limbeck predict: the top answers of a run to some photos."""

import json as json_module
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from limbeck.checkpoints.loaded import Prediction, load
from limbeck.console import console, errors
from limbeck.errors import ImagesError
from limbeck.records import Skipped

_BATCH = 32


@dataclass(frozen=True)
class Predict:
    """What a run or checkpoint sees in photos."""

    run: Annotated[Positional[str], arg(metavar="RUN")]
    """A run, or a checkpoint folder."""
    files: Annotated[Positional[tuple[str, ...]], arg(metavar="FILE...")]
    """The photos, or folders of them."""
    json: bool = False
    """Print JSON instead of lines."""
    top: int = 5
    """Answers for each photo."""
    device: str = "auto"
    """cpu, cuda, mps, or auto."""


def predict(
    path: str | Path,
    files: str | Path | Iterable[str | Path],
    *,
    json: bool = False,
    top: int = 5,
    device: str = "auto",
) -> list[Prediction]:
    """The top answers of a run to photos, printed and returned."""
    named = [files] if isinstance(files, str | Path) else list(files)
    return run(Predict(str(path), tuple(str(file) for file in named), json=json, top=top, device=device))


def run(options: Predict) -> list[Prediction]:
    loaded = load(options.run, device=options.device)
    predictions: list[Prediction] = []
    skipped: list[Skipped] = []
    files = [file for name in options.files for file in _inside(name)]
    for start in range(0, len(files), _BATCH):
        unreadable: list[Skipped] = []
        answers = loaded.predict(files[start : start + _BATCH], top=options.top, skipped=unreadable)
        for each in unreadable:
            errors.print(f"skipped {each.path}: {each.reason}", markup=False)
        if not options.json:
            for answer in answers:
                console.print(_line(answer), markup=False, emoji=False)
        predictions += answers
        skipped += unreadable
    if options.json:
        console.out(json_module.dumps([each.to_dict() for each in predictions], indent=2), highlight=False)
    if not predictions:
        raise ImagesError(
            f"none of the {len(skipped)} files can be read" if skipped else "no photos are named",
            expected="photos: JPEG, PNG, WebP, BMP, TIFF, GIF",
            hint=f"limbeck predict {options.run} PHOTO...",
        )
    # beside the JSON, not in it
    (errors if options.json else console).print(f"next: limbeck evaluate {options.run} --images FOLDER", markup=False)
    return predictions


def _inside(name: str) -> list[str]:
    """A file itself, or the files of a folder."""
    if not Path(name).is_dir():
        return [name]
    return sorted(str(file) for file in Path(name).rglob("*") if file.is_file())


def _line(answer: Prediction) -> str:
    pairs = zip(answer.classes, answer.probabilities, strict=True)
    return f"{answer.name}: " + ", ".join(f"{name} {share:.1%}" for name, share in pairs)
