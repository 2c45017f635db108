"""What surrounds every training: one process speaks, nothing else runs in its folder, and what stops it is told."""

import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch
from torch import nn

from limbeck.console import console
from limbeck.errors import Interrupted, NonFiniteLoss, OptionError, RunError
from limbeck.files import FULL
from limbeck.runs.lock import only_here
from limbeck.runs.resuming import resume_command
from limbeck.training import trackers
from limbeck.training.ranks import Ranks
from limbeck.training.state import read_progress


@contextmanager
def session(ranks: Ranks, out: str) -> Iterator[None]:
    """A training into the run folder `out`; what it fails of is told with the cure."""
    try:
        with only_here(Path(out)) if ranks.first else nullcontext(), one_voice(ranks):
            yield
    except (Interrupted, KeyboardInterrupt) as stopped:
        error = interrupted(stopped, out)
        error.told = ranks.first
        raise error from None
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise OptionError(
            "a batch norm was given one image alone, and has nothing to take a variance over",
            expected="two images or more in each part of a batch",
            hint="--batch 2 or more, a smaller --accumulate, or a model with other norms",
        ) from error
    except OSError as error:  # a line of a log: states and stores tell of a full disk by themselves
        if error.errno not in FULL:
            raise
        raise RunError(
            f"no space left to write in {out}",
            expected="room for logs and states; the last saved state is good",
            hint=f"free some space, then {resume_command(out)}",
        ) from error


@contextmanager
def one_voice(ranks: Ranks) -> Iterator[None]:
    """Of several processes only the first speaks; what it told trackers is whole in the end."""
    console.quiet = not ranks.first
    try:
        yield
    finally:
        console.quiet = False
        # not end_training: it would leave a second run in this process without its group
        trackers.finish(ranks)


def interrupted(stopped: Interrupted | KeyboardInterrupt, out: str) -> Interrupted:
    """What a Ctrl-C leaves, after the step in hand or at once."""
    if isinstance(stopped, Interrupted):
        return Interrupted(stopped.found, hint=resume_command(out))
    if not (Path(out) / "config.json").exists():
        return Interrupted("stopped before the run began", hint="the same command again: it looks at no photo twice")
    saved = read_progress(Path(out)).done
    state = f"the state after step {saved:,} is saved" if saved else "no step is saved yet"
    return Interrupted(f"stopped at once; {state}", hint=resume_command(out))


def ensure_sound(model: nn.Module, numbers: dict[str, float], done: int) -> None:
    """Stop before a student that answers with nan is saved or shipped.

    >>> ensure_sound(nn.Linear(1, 1), {"probe_js": 0.1}, done=5)
    """
    state = [value for value in model.state_dict().values() if value.is_floating_point()]
    if all(map(math.isfinite, numbers.values())) and all(bool(torch.isfinite(value).all()) for value in state):
        return
    raise NonFiniteLoss(
        f"after step {done:,} the student's weights or answers are not finite",
        expected="finite numbers; the last saved state and student are good",
        hint="a lower --lr, or --precision float32, in a new --out",
    )
