"""limbeck finetune: a model goes on with labelled photos, of the same classes or of others."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from limbeck.checkpoints.loaded import Loaded
from limbeck.commands import distill
from limbeck.errors import Interrupted, LimbeckError, OptionError, RunError
from limbeck.runs.choices import from_json, in_python, known
from limbeck.ssld.finetune_options import EXAMPLE, FIELDS, Finetune, as_run, in_its_words, of_run
from limbeck.ssld.options import OPTIONS, Distill


def finetune(model: str | Path = "", *, images: Any = (), out: str | Path = "", **options: Any) -> Loaded:
    """Go on with a model on labelled photos; the options are those of `limbeck finetune`.

    >>> finetune("resnet50d", images="photos", out="run", lrr=1)
    Traceback (most recent call last):
    limbeck.errors.OptionError: limbeck.finetune: unknown option 'lrr'
      expected: lr
      try:      lr in its place
    """
    named = {"model": str(model), "images": images, "out": str(out)}
    given = {name: value for name, value in named.items() if value not in ("", ())}
    asked = known(given | options, FIELDS, source="limbeck.finetune", usage="limbeck finetune --help")
    start = starting_options(resumed=asked.get("out", "") if asked.get("resume") else "")
    try:
        return run(replace(start, **asked))
    except LimbeckError as error:
        if note := in_python(str(error), FIELDS):
            error.add_note(note)
        raise


def starting_options(recipe: str = "", config: str = "", resumed: str = "") -> Finetune:
    """The defaults, or the options of the run that is resumed.

    >>> starting_options().epochs
    30
    """
    run = _stored(resumed) if resumed else None
    if run is None:
        return Finetune()
    if run.verb != "finetune":
        raise RunError(
            f"{resumed} is a run of `limbeck {run.verb}`",
            expected="a run that `limbeck finetune` made",
            hint=f"limbeck {run.verb} --out {resumed} --resume",
        )
    return of_run(run)


def run(options: Finetune) -> Loaded:
    """Run what the options say."""
    if not options.resume:
        for name, value in (("MODEL", options.model), ("--images", options.images), ("--out", options.out)):
            if not value:
                raise OptionError(f"{name} is missing", expected="MODEL, --images and --out", hint=EXAMPLE)
    try:
        stored = _stored(options.out) if options.resume else None
        return distill.run(as_run(options, stored) if stored else as_run(options))
    except Interrupted:
        raise
    except LimbeckError as error:
        raise in_its_words(error, options.fix_size) from error


def _stored(out: str) -> Distill | None:
    file = Path(out) / "config.json"
    return Distill(**from_json(file, OPTIONS)) if file.exists() else None
