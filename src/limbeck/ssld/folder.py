"""A distillation's run folder: the options of the run in it, and its photos."""

from pathlib import Path

from limbeck.errors import OptionError, RunError
from limbeck.runs.choices import from_json, resumed
from limbeck.runs.folder import refuse_taken, write_down
from limbeck.ssld.anchor import anchored
from limbeck.ssld.options import OPTIONS, Distill


def photos_file(run: Path) -> Path:
    """The photos that a run began with: files that vanish later move no other photo from its place."""
    return run / "last" / "manifest.arrow"


def settle_options(asked: Distill) -> Distill:
    """The options of the run in --out: those that were stored when it is resumed, else those that are asked for."""
    if not asked.out:
        if asked.resume:
            raise OptionError(
                "--resume without --out", expected="the folder of the run that goes on", hint="--out RUN --resume"
            )
        return asked
    run = Path(asked.out)
    stored = run / "config.json"
    if asked.resume:
        if not stored.exists():
            raise RunError(
                f"{run} holds no run to resume",
                expected="a folder that `limbeck distill` made",
                hint="leave --resume out to start one",
            )
        return resumed(anchored(asked), anchored(Distill(**from_json(stored, OPTIONS))))
    refuse_taken(run)
    return asked


def start_folder(options: Distill, asked: Distill) -> Path:
    """Make the run folder and write down what runs."""
    run = Path(options.out)
    if options.resume:
        asked = Distill(**from_json(run / "config.json", OPTIONS, resolved=False))
    return write_down(run, options, asked)
