"""The runs of a study, one after another: several processes share them, and a killed one leaves nothing to clean up."""

import fcntl
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from limbeck.checkpoints.card import find, read_card
from limbeck.commands import distill
from limbeck.commands.study_grid import Run, work_of
from limbeck.console import console, duration
from limbeck.errors import Interrupted, LimbeckError, NonFiniteLoss, counted
from limbeck.files import write_atomically
from limbeck.runs.choices import from_json
from limbeck.ssld.options import OPTIONS, Distill

_OUTCOME = "outcome.json"


class Folder:
    """Where a study keeps its runs; other studies beside it use the same ones."""

    def __init__(self, out: str | Path) -> None:
        self.path = Path(out)

    def of(self, run: str) -> Path:
        return self.path / "runs" / run

    def outcome(self, run: str) -> dict[str, Any] | None:
        """What came of a run; None while it is not done."""
        try:
            told: dict[str, Any] = json.loads((self.of(run) / _OUTCOME).read_text())
        except FileNotFoundError:
            return None
        return told

    def done(self, run: str) -> bool:
        return (self.of(run) / _OUTCOME).exists()

    def failed(self, run: str) -> bool:
        return bool((self.outcome(run) or {}).get("failed"))

    def keep(self, run: str, outcome: dict[str, Any]) -> None:
        write_atomically(self.of(run) / _OUTCOME, (json.dumps(outcome, indent=2) + "\n").encode())

    @contextmanager
    def claimed(self, run: str) -> Iterator[bool]:
        """Whether this process may do a run; the kernel lets go of a claim when its holder ends, however it ends."""
        claims = self.path / "claims"
        claims.mkdir(parents=True, exist_ok=True)
        with (claims / run).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield not self.done(run)


def work(
    runs: Sequence[Run], folder: Folder, photos: int, settle: Callable[[Run], Distill], told: Callable[[], None]
) -> None:
    """Do what is left of the runs; `settle` gives the options of one, `told` is called after each."""
    start, seen = time.monotonic(), 0.0
    while run := _next(runs, folder):
        with folder.claimed(run.name) as mine:
            if not mine:
                continue
            left = [each for each in runs if not folder.done(each.name)]
            pace = (time.monotonic() - start) / seen if seen else 0.0
            eta = f", about {duration(pace * sum(work_of(each, photos) for each in left))} left" if seen else ""
            number = len(runs) - len(left) + 1
            console.print(f"\n[bold]run {number} of {len(runs)}[/bold]{eta}: {run.name}")
            _do(run, folder, settle(run))
            seen += work_of(run, photos)
        told()


def _next(runs: Sequence[Run], folder: Folder) -> Run | None:
    """The first run that is neither done nor under way, and whose first stage is done."""
    for run in runs:
        if folder.done(run.name) or (run.after and (not folder.done(run.after) or folder.failed(run.after))):
            continue
        with folder.claimed(run.name) as free:
            if free:
                return run
    return None


def _do(run: Run, folder: Folder, options: Distill) -> None:
    out = folder.of(run.name)
    if (out / "config.json").exists():
        options = replace(Distill(**from_json(out / "config.json", OPTIONS)), out=str(out), resume=True)
    try:
        distill.run(replace(options, out=str(out)))
    except NonFiniteLoss as error:  # a point of the grid that cannot be trained is a result
        console.print(str(error), markup=False)
        folder.keep(run.name, {"failed": error.found.partition(";")[0]})
        return
    except Interrupted as stopped:
        raise Interrupted(stopped.found, hint="the same command again goes on from there") from None
    except LimbeckError as error:
        error.add_note(f"in the run {out}")
        raise
    card = read_card(find(out))
    ran = from_json(out / "config.json", OPTIONS)
    told = {"metrics": dict(card.metrics), "provenance": dict(card.provenance)}
    told |= {"epochs_between": ran["evaluate_every"], "lr": ran["lr"], "weight_decay": ran["weight_decay"]}
    folder.keep(run.name, told)


def under_way(runs: Sequence[Run], folder: Folder) -> str:
    """What to say of runs that other processes are at; nothing where none is left."""
    left = sum(not folder.done(run.name) and not (run.after and folder.failed(run.after)) for run in runs)
    if not left:
        return ""
    are = counted(left, "run is", "runs are")
    return f"{are} with other processes: the last of them to end writes the finished page"
