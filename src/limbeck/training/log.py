"""The numbers of a run: metrics.jsonl, the trackers, and the one live line."""

import json
import math
import sys
import time
from pathlib import Path
from typing import Any

from rich.live import Live
from rich.text import Text

from limbeck.console import console, duration
from limbeck.files import write_atomically
from limbeck.training import trackers
from limbeck.training.plan import Plan
from limbeck.training.ranks import Ranks

_PLAIN_SECONDS = 20.0
_QUIET = ("lr", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")  # in the records alone
_SHARES = ("agreement", "accuracy", "data_wait", "probe_agreement", "top1", "top5")


class Log:
    """Records by step: a line of metrics.jsonl each, the same to the trackers, and a line that people watch."""

    def __init__(self, run: Path, plan: Plan, ranks: Ranks, *, done: int = 0) -> None:
        self.file = run / "metrics.jsonl"
        self.plan, self.ranks = plan, ranks
        self.latest: dict[str, float] = {}
        self._start = self._told = time.monotonic()
        self._start_step = done
        self._live = Live(console=console, refresh_per_second=4, transient=True) if console.is_terminal else None
        if ranks.first:
            forget_after(self.file, done)

    def __enter__(self) -> "Log":
        if self._live and self.ranks.first:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live and self.ranks.first:
            self._live.stop()

    def write(self, done: int, values: dict[str, float]) -> None:
        """Keep numbers for good."""
        self.latest |= values
        if not self.ranks.first:
            return
        record = {"step": done, "epoch": round(done / self.plan.steps_per_epoch, 4), **values}
        with self.file.open("a") as file:
            file.write(json.dumps({name: _finite(value) for name, value in record.items()}) + "\n")
        trackers.tell(self.ranks, values, done)

    def show(self, done: int, *, finish: bool = False) -> None:
        """Say where the run stands: on a terminal always, elsewhere now and then."""
        if not self.ranks.first:
            return
        now = time.monotonic()
        if self._live and not finish:
            self._live.update(Text(self.line(done), no_wrap=True, overflow="ellipsis"))
        elif finish or now - self._told >= _PLAIN_SECONDS:
            self._told = now
            console.print(self.line(done))

    def line(self, done: int) -> str:
        """Epoch, step, losses, agreement, images/s, share of time waiting for data, and the time left."""
        plan = self.plan
        epochs = -(-plan.steps // plan.steps_per_epoch)
        parts = [f"epoch {min(epochs, done // plan.steps_per_epoch + 1)}/{epochs}", f"step {done:,}/{plan.steps:,}"]
        for name, value in self.latest.items():
            if name in _SHARES:
                parts.append(f"{_said(name)} {value:.1%}")
            elif name == "images_per_second":
                parts.append(f"{value:,.0f} images/s")
            elif name not in _QUIET:
                parts.append(f"{_said(name)} {value:.4g}")
        spent, steps = time.monotonic() - self._start, done - self._start_step
        if steps:
            parts.append(f"eta {duration(spent / steps * (plan.steps - done))}")
        return "  ".join(parts)


def _said(name: str) -> str:
    return name.replace("_", " ")


def forget_after(file: Path, done: int) -> None:
    """Drop the records that a run wrote after the state it goes on from."""
    if not file.exists():
        return
    kept = [line for line in file.read_text().splitlines() if _step_of(line) <= done]
    write_atomically(file, ("\n".join(kept) + "\n" if kept else "").encode())


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf  # the last line of a killed process may be cut short


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """All records of a run."""
    file = run / "metrics.jsonl"
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text().splitlines() if _step_of(line) < sys.maxsize]
