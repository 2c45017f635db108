"""The trackers that are told a run's numbers; a run that is resumed goes on where it began in them."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from limbeck.console import console
from limbeck.errors import RunError
from limbeck.files import write_atomically
from limbeck.training.ranks import Ranks

PROJECT = "limbeck"


def start(ranks: Ranks, names: list[str], run: Path, config: dict[str, Any], done: int) -> None:
    """Begin in each tracker, or go on after `done` steps; a tracker that refuses stops the run before it trains."""
    if names:
        ranks.once(lambda: _start(ranks, names, run, config, done))


def _start(ranks: Ranks, names: list[str], run: Path, config: dict[str, Any], done: int) -> None:
    accelerator = ranks.accelerator
    file = run / "last" / "trackers.json"
    known: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
    given = {name: _going_on(name, known[name], done) if name in known else _new(name, run) for name in names}
    try:
        accelerator.init_trackers(PROJECT, init_kwargs=given)
        for tracker in accelerator.trackers:
            # mlflow refuses what a run that goes on began with, and trackio forgets it
            if tracker.name not in known or tracker.name == "trackio":
                tracker.store_init_configuration(config)
        now = {tracker.name: _identity(tracker) for tracker in accelerator.trackers}
    except Exception as error:  # each tool has its own
        for tracker in accelerator.trackers:
            with suppress(Exception):
                tracker.finish()
        accelerator.trackers.clear()
        raise RunError(
            f"--track {' '.join(names)}: {type(error).__name__}: {_first_line(error)}",
            expected="trackers that can be reached, and that still have this run where it is resumed",
            hint="--track none; metrics.jsonl keeps every number in any case",
        ) from error
    write_atomically(file, (json.dumps(known | now, indent=2) + "\n").encode())


def _new(name: str, run: Path) -> dict[str, Any]:
    title = run.resolve().name
    options: dict[str, dict[str, Any]] = {
        "wandb": {"name": title},
        "trackio": {"name": f"{title}-{uuid4().hex[:6]}"},  # which knows runs by their names alone
        # in a run of the user's own where there is one; artifacts, if any, where its server wants them
        "mlflow": {"run_name": title, "nested_run": True, "logging_dir": None},
    }
    return options.get(name, {})


def _going_on(name: str, identity: str, done: int) -> dict[str, Any]:
    options: dict[str, dict[str, Any]] = {
        "tensorboard": {"purge_step": done + 1},
        "wandb": {"id": identity, "resume": "allow"},
        "trackio": {"name": identity, "resume": "allow"},
        "mlflow": {"run_id": identity, "nested_run": True, "logging_dir": None},
    }
    return options[name]


def _identity(tracker: Any) -> str:
    """What a tracker knows this run by."""
    run = tracker.tracker
    known_by = {
        "tensorboard": lambda: run.log_dir,
        "wandb": lambda: run.id,
        "trackio": lambda: run.name,
        "mlflow": lambda: run.info.run_id,
    }
    return str(known_by[tracker.name]())


def tell(ranks: Ranks, values: dict[str, float], done: int) -> None:
    """Give the numbers to each tracker; one that fails is left out from then on, and the run goes on."""
    for tracker in list(ranks.accelerator.trackers):
        try:
            tracker.log(values, step=done)
        except Exception as error:
            ranks.accelerator.trackers.remove(tracker)
            console.print(
                f"{tracker.name} takes no more numbers ({_first_line(error)}); metrics.jsonl has them all", markup=False
            )


def finish(ranks: Ranks) -> None:
    """What trackers were told is whole in the end."""
    for tracker in ranks.accelerator.trackers:
        try:
            tracker.finish()
        except Exception as error:
            console.print(f"{tracker.name} may lack the last numbers: {_first_line(error)}", markup=False)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]
