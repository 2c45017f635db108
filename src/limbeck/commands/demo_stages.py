"""What the demos share: where they stand, the photos that they draw, and the networks that learn from them."""

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from limbeck.commands import distill
from limbeck.commands.finish import Compare
from limbeck.console import console, duration
from limbeck.errors import Interrupted, RunError
from limbeck.files import write_atomically
from limbeck.runs.choices import typed
from limbeck.scenes.dataset import draw_dataset
from limbeck.scenes.shapes import CLASSES
from limbeck.ssld.options import Distill

FEW = 40  # labels a class for the student that has only a few
LABELLED, UNLABELLED, TEST = 7200, 9600, 1200


@dataclass(frozen=True)
class Demo:
    """Draw photos, train a teacher, and see what a student learns from it without any label."""

    out: str = "demo"
    """Where everything goes."""
    detect: bool = False
    """Train a detector (SSDLite) on that student as well, and one from scratch: what does it gain?"""
    resume: bool = False
    """Go on with the demo in --out: what it has finished is kept, by whichever of the two demos."""
    seed: int = 0
    size: float = 1.0
    """Share of the photos and steps; below 1 for a quick look at the machinery."""
    workers: int = 1
    """Processes that read photos beside the training."""


@dataclass(frozen=True)
class Net:
    """A network of the demo with its schedule."""

    name: str
    args: str
    steps: int
    weight_decay: float


TEACHER = Net("resnet10t", '{"channels": [24, 48, 96, 192], "stem_width": 12}', 1100, 5e-4)
STUDENT = Net("test_resnet", '{"channels": [16, 24, 32, 64], "stem_width": 8}', 800, 5e-5)
RATE = 0.8  # for labels, and a batch of 256
_MADE = ("photos", "teacher", "few", "all", "distilled", "scratch", "detector")
_MARK = ".limbeck-demo"


class Stages:
    """The stages of a demo: which are done, in a file, and about how long the rest takes."""

    def __init__(self, options: Demo, shares: Mapping[str, float]) -> None:
        self.out, self.shares = Path(options.out), shares
        asked, usual = vars(replace(options, resume=True)), vars(Demo())
        words = [typed(name, value) for name, value in asked.items() if value != usual[name]]
        self.resumption = " ".join(["limbeck demo", *words])
        self.drawn = {"seed": options.seed, "size": options.size}
        self.finished = self._open(options.resume)
        self.start = time.monotonic()
        self.run: list[str] = []  # by this command

    @property
    def spent(self) -> float:
        return time.monotonic() - self.start

    def do(self, stage: str, told: str, work: Callable[[], object], *, always: bool = False) -> None:
        """Do what is not done yet; `always` is for what finds out itself how much of it is done."""
        number = f"\n[bold]{list(self.shares).index(stage) + 1}/{len(self.shares)}[/bold] {told}"
        if stage in self.finished and not always:
            console.print(f"{number}: done before")
            return
        console.print(f"{number}{self._left(stage)}")
        try:
            work()
        except Interrupted as stopped:
            raise Interrupted(stopped.found, hint=self.resumption) from None
        except KeyboardInterrupt:
            raise Interrupted("stopped at once", hint=self.resumption) from None
        self.run.append(stage)
        if stage not in self.finished:
            self.finished.append(stage)
        self._write()

    def _left(self, now: str) -> str:
        done = sum(self.shares[stage] for stage in self.run)
        rest = sum(share for stage, share in self.shares.items() if stage == now or stage not in self.finished)
        return f", about {duration(self.spent / done * rest)} left" if done else ""

    def _open(self, resume: bool) -> list[str]:
        """A demo may take the place of another, and of nothing else."""
        mark = self.out / _MARK
        if self.out.exists() and any(self.out.iterdir()) and not mark.exists():
            raise RunError(f"{self.out} holds files that are not a demo's", expected="a new folder", hint="--out OTHER")
        before = json.loads(mark.read_text() or "{}") if resume and mark.exists() else {}
        if before and before["drawn"] != self.drawn:
            told = " ".join(f"--{name} {value:g}" for name, value in before["drawn"].items())
            raise RunError(f"the demo in {self.out} is one with {told}", expected="the same", hint=f"--resume {told}")
        finished: list[str] = before.get("finished", [])
        if not before:
            for name in _MADE:
                shutil.rmtree(self.out / name, ignore_errors=True)
        self.out.mkdir(parents=True, exist_ok=True)
        self.finished = finished
        self._write()
        return finished

    def _write(self) -> None:
        told = {"drawn": self.drawn, "finished": self.finished}
        write_atomically(self.out / _MARK, (json.dumps(told) + "\n").encode())


def scaled(count: int, options: Demo) -> int:
    """A number of photos, of each class equally many.

    >>> scaled(1200, Demo(size=0.01))
    12
    """
    classes = len(CLASSES)
    return max(classes, round(count * options.size / classes) * classes)


def photos_of(options: Demo) -> Path:
    return Path(options.out) / "photos"


def draw(options: Demo, **sets: int) -> None:
    """Photos by kind: those of `unlabelled` show nothing of their classes, `few` are the first of `labelled`."""
    for name, count in sets.items():
        seed = options.seed * 10 + {"labelled": 0, "few": 0, "unlabelled": 1, "test": 2}[name]
        labelled = name != "unlabelled"
        draw_dataset(photos_of(options) / name, count, seed=seed, labelled=labelled, workers=os.cpu_count() or 1)


def teach(options: Demo) -> None:
    """The teacher, on all the labels."""
    learn(options, "teacher", TEACHER, photos_of(options) / "labelled")


def pour(options: Demo, compare: Compare | None = None) -> None:
    """The student, from the teacher."""
    teacher = str(Path(options.out) / "teacher")
    # near agreement the slope of js is a quarter of cross-entropy's, so its rate is four times as large
    learns = {"loss": "js", "teacher": teacher, "lr": 4 * RATE, "probe": 0.05}
    learn(options, "distilled", STUDENT, photos_of(options) / "unlabelled", compare, **learns)


def learn(options: Demo, name: str, net: Net, images: Path, compare: Compare | None = None, **changes: object) -> None:
    """One training of the demo; the students share everything but where their answers come from."""
    run = Path(options.out) / name
    shared: dict[str, Any] = {
        "images": (str(images),),
        "student": net.name,
        "student_args": net.args,
        "student_size": 64,
        "out": str(run),
        "loss": "cross-entropy",
        "batch": min(64, scaled(FEW * len(CLASSES), options)),
        "steps": max(2, round(net.steps * options.size)),
        "lr": RATE,
        "weight_decay": net.weight_decay,
        "crop_scale": (0.5, 1.0),
        "probe": 0.0,
        "workers": options.workers,
        "seed": options.seed,
        "cache": str(Path(options.out) / "cache"),
        "evaluate_every": 3,
        # in a quick look the teacher has hardly learned anything
        "check_teacher": options.size >= 1,
    }
    asked = Distill(**shared | changes)
    tell_line(f"distill {typed('images', asked.images)} {distill.settings(asked)} {typed('out', asked.out)}")
    if (run / "config.json").exists():
        asked = replace(distill.starting_point(resumed=str(run)), resume=True, workers=options.workers)
    distill.run(asked, compare=compare)


def tell_line(words: str) -> None:
    """What a user would type for a stage."""
    console.print(f"$ limbeck {words}", style="cyan", markup=False, highlight=False, soft_wrap=True)
