"""Does a detector learn where boxes end from a larger one? GFL on a ResNet-18 alone, and with a teacher on a ResNet-34.

    python bench/ld_learning.py scenes                  # goes on where it stopped; two at once share the work
    python bench/ld_learning.py bccd --data ../shared/data/bccd.zip
    python bench/ld_learning.py scenes --table          # what is there so far, in Markdown

Drawn scenes: three seeds of each student. BCCD: one seed, 60 of its training photos labelled, the others without
boxes; neither its val nor its test photos are learned from, and the teacher learns from the 60 as well. All begin
from random weights, and all students of a set take the same number of steps with the same photos, views and rates.
"""

import argparse
import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import limbeck
from limbeck.scenes.dataset import draw_boxes_dataset

WORK = Path(".bench/ld")
NUMBERS = ("AP", "AP50", "AP75")
WAYS: dict[str, dict[str, float]] = {
    "alone": {},
    "main": {"ld_main": 0.25, "ld_images": 3},
    "main, around, classes": {"ld_main": 0.25, "ld_around": 0.25, "ld_classes": 10.0, "ld_images": 3},
}
UNLABELED = "and photos without boxes"


@dataclass(frozen=True)
class Place:
    """A set to learn from, and how long."""

    name: str
    given: dict[str, Any]
    tested: dict[str, Any]
    teacher_steps: int
    steps: int
    seeds: tuple[int, ...]
    unlabeled: str = ""


@dataclass(frozen=True)
class Run:
    """One training, and where it is kept."""

    place: Place
    way: str
    seed: int

    @property
    def out(self) -> Path:
        return WORK / self.place.name / f"{self.way.replace(', ', '-').replace(' ', '-')}-{self.seed}"

    @property
    def numbers(self) -> dict[str, float] | None:
        file = self.out / "tested.json"
        return json.loads(file.read_text()) if file.exists() else None

    def train(self) -> None:
        teacher = WORK / self.place.name / "teacher-0"
        given = self.place.given | {"out": str(self.out), "seed": self.seed, "track": ("none",), "evaluate_every": 1000}
        if self.way == "teacher":
            given |= {"backbone": "resnet34", "steps": self.place.teacher_steps}
        else:
            given |= {"backbone": "resnet18", "steps": self.place.steps}
            terms = WAYS.get(self.way, WAYS["main, around, classes"])
            given |= {"teacher": str(teacher), **terms} if terms else {}
            given |= {"unlabeled": (self.place.unlabeled,)} if self.way == UNLABELED else {}
        if (self.out / "config.json").exists():
            limbeck.train(out=str(self.out), resume=True)
        else:
            limbeck.train("gfl", least_weight=0.0, **given)
        found = limbeck.evaluate(str(self.out), **self.place.tested)
        (self.out / "tested.json").write_text(json.dumps({name: found[name] for name in NUMBERS}))


@contextmanager
def claimed(run: Run) -> Iterator[bool]:
    """Whether this process may do a run: a killed one leaves no claim."""
    claim = WORK / "claims" / f"{run.place.name}-{run.out.name}"
    claim.parent.mkdir(parents=True, exist_ok=True)
    with claim.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield run.numbers is None


def scenes() -> Place:
    for name, count, seed in (("train", 1200, 21), ("test", 400, 22)):
        draw_boxes_dataset(WORK / "photos" / name, count, seed=seed, size=160, shown=False)
    given = {"data": str(WORK / "photos" / "train"), "split": "train+val+test", "val": "none", "size": 160}
    tested = {"data": str(WORK / "photos" / "test")}
    return Place("scenes", given, tested, teacher_steps=1500, steps=600, seeds=(0, 1, 2))


def bccd(data: Path) -> Place:
    """Sixty of the training photos labelled, in the order of their names; the others as files without boxes."""
    root = WORK / "photos" / "bccd"
    if not root.exists():
        shutil.unpack_archive(data, root)
    home = next(root.rglob("ImageSets")).parent
    names = sorted((home / "ImageSets" / "Main" / "train.txt").read_text().split())
    (WORK / "labelled.txt").write_text("\n".join(names[:60]) + "\n")
    others = WORK / "photos" / "bccd-unlabeled"
    others.mkdir(exist_ok=True)
    for name in names[60:]:
        shutil.copy(home / "JPEGImages" / f"{name}.jpg", others / f"{name}.jpg")
    given = {"data": str(home), "split": str(WORK / "labelled.txt"), "val": "none", "size": 192}
    tested = {"data": str(home), "split": "test"}
    return Place("bccd", given, tested, teacher_steps=450, steps=150, seeds=(0,), unlabeled=str(others))


def runs(place: Place) -> list[Run]:
    ways = [*WAYS, *([UNLABELED] if place.unlabeled else [])]
    return [Run(place, "teacher", 0), *(Run(place, way, seed) for seed in place.seeds for way in ways)]


def work(place: Place) -> bool:
    """Do one run that nobody does; the students wait for their teacher."""
    for run in runs(place):
        if run.numbers is None:
            with claimed(run) as mine:
                if mine:
                    run.train()
                    return True
            if run.way == "teacher":
                raise SystemExit("another process trains the teacher; start this one when it is there")
    return False


def table(place: Place) -> None:
    print("| " + " | ".join((place.name, *NUMBERS)) + " |\n|-" + "|-" * len(NUMBERS) + "|")
    every = runs(place)
    for way in dict.fromkeys(run.way for run in every):
        found = [run.numbers for run in every if run.way == way and run.numbers]
        cells = [told([100 * each[name] for each in found]) for name in NUMBERS]
        print(f"| {way} | " + " | ".join(cells) + " |")


def told(values: list[float]) -> str:
    if not values:
        return "–"
    return f"{mean(values):.1f}" + (f" ± {stdev(values):.1f}" if len(values) > 1 else "")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("place", choices=("scenes", "bccd"))
    options.add_argument("--data", type=Path, default=Path("../shared/data/bccd.zip"))
    options.add_argument("--table", action="store_true")
    asked = options.parse_args()
    place = scenes() if asked.place == "scenes" else bccd(asked.data)
    while not asked.table and work(place):
        pass
    table(place)


if __name__ == "__main__":
    main()
