"""Does a student without labels beat the same student with labels? Real CIFAR-10 photos, equal steps.

    python bench/cifar_teacher.py --data ../shared/data --out .bench/cifar/teacher.safetensors
    python bench/cifar.py --data ../shared/data                 # what is not there yet; two at once share the work
    python bench/cifar.py --data ../shared/data --only losses   # one study
    python bench/cifar.py --table                               # what is there so far

The student (0.17 M parameters) learns (i) from 4,000 labels, (ii) from all 50,000, (iii) from the teacher on the 50,000
photos without any; then each loss at several learning rates, the best one with three seeds; then fresh views against
four stored ones. The runs share one soft-label store: with as many views as epochs its labels are those of fresh
views, so the teacher answers each view once for all runs.
"""

import argparse
import fcntl
import json
import math
import statistics
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cifar_models  # noqa: F401  (registers the two networks with timm)
import limbeck

WORK = Path(".bench/cifar")
STEPS, BATCH, SEEDS, LABEL_SEEDS = 1800, 128, 3, 2
FRESH = 8  # views: more than the epochs of a run, so that none comes twice
# for a batch of 256; soft-ce has the gradient of kl, so kl's best serves both
RATES = {"js": (0.4, 0.8, 1.6, 3.2), "jeffreys": (0.2, 0.4, 0.8, 1.6), "kl": (0.2, 0.4, 0.8), "soft-ce": ()}
LABEL_RATES = (0.1, 0.4, 0.8, 1.6)


@dataclass(frozen=True)
class Run:
    """One training of the student: its name is its folder."""

    study: str
    name: str
    options: dict[str, Any] = field(default_factory=dict, compare=False)

    @property
    def folder(self) -> Path:
        return WORK / "runs" / self.name

    @property
    def top1(self) -> float | None:
        """Test top-1 in percent, once the run is whole."""
        if not (self.folder / "report.html").exists():
            return None
        card = json.loads((self.folder / "student" / "card.json").read_text())
        return 100 * float(card["metrics"]["top1"])


def labelled(few: bool, rate: float, seed: int) -> Run:
    images = str(WORK / "few.txt") if few else str(WORK / "photos" / "train")
    name = f"labels-{'4000' if few else '50000'}-lr{rate}-seed{seed}"
    return Run("labels", name, {"images": images, "loss": "cross-entropy", "lr": rate, "seed": seed, "probe": 0.0})


def distilled(study: str, loss: str, rate: float, seed: int, views: int = FRESH, steps: int = STEPS) -> Run:
    options = {"images": str(WORK / "photos" / "train"), "teacher": "cifar_teacher", "loss": loss, "lr": rate}
    options |= {"teacher_weights": str(WORK / "teacher.safetensors"), "seed": seed, "views": views, "steps": steps}
    options |= {"store": str(WORK / "store")}
    return Run(study, f"{loss}-lr{rate}-seed{seed}-views{views}-steps{steps}", options)


def best(runs: list[Run]) -> Run | None:
    """The best of runs that are all done."""
    scores = [run.top1 for run in runs]
    return max(runs, key=lambda run: run.top1 or 0.0) if None not in scores else None


def sweep(loss: str) -> list[Run]:
    return [distilled("losses", loss, rate, 0) for rate in RATES[loss] or RATES["kl"]]


def chosen_rate(loss: str) -> float | None:
    """The best learning rate of a loss on the first seed, once all are tried."""
    tried = sweep("kl" if loss == "soft-ce" else loss)
    top = best(tried)
    return top.options["lr"] if top else None


def plan() -> Iterator[Run]:
    """Every run, those first whose results decide later ones."""
    for rate in LABEL_RATES:
        yield labelled(False, rate, 0)
    for loss in ("js", "jeffreys", "kl"):
        yield from sweep(loss)
    for rate in LABEL_RATES:
        yield labelled(True, rate, 0)
    for seed in range(SEEDS):
        for few in (False, True):
            top = best([labelled(few, rate, 0) for rate in LABEL_RATES])
            if top and seed < LABEL_SEEDS:
                yield labelled(few, top.options["lr"], seed)
        for loss in RATES:
            if rate := chosen_rate(loss):
                yield distilled("losses", loss, rate, seed)
    if rate := chosen_rate("js"):
        for views in (2 * FRESH + 4, 4):
            yield distilled("views", "js", rate, 0, views, 2 * STEPS)


@contextmanager
def claimed(run: Run) -> Iterator[bool]:
    """Whether this process may do a run: several can work at once, and a killed one leaves no claim."""
    WORK.joinpath("claims").mkdir(parents=True, exist_ok=True)
    with (WORK / "claims" / run.name).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield run.top1 is None


def prepare(data: Path) -> None:
    """The archives as folders, and the list of the 4,000 labelled photos (400 a class)."""
    photos = WORK / "photos"
    for part in ("train", "test"):
        if not (photos / part).exists():
            with tarfile.open(data / f"cifar10_{part}.tar.gz") as tar:
                tar.extractall(photos, filter="data")
    few = [
        str(path.resolve())
        for folder in sorted((photos / "train").iterdir())
        for path in sorted(folder.iterdir())[:400]
    ]
    (WORK / "few.txt").write_text("\n".join(few) + "\n")


def train(run: Run) -> None:
    print(f"== {run.name}", flush=True)
    common = {"student": "cifar_student", "out": str(run.folder), "batch": BATCH, "steps": STEPS, "weight_decay": 1e-4}
    common |= {"crop_scale": (0.4, 1.0), "eval": str(WORK / "photos" / "test"), "evaluate_every": 1000}
    common |= {"save_every": 300, "log_every": 100, "workers": 0, "track": "none", "warmup_epochs": 1.0}
    limbeck.distill(**common | run.options, resume=(run.folder / "config.json").exists())


def table() -> None:
    """Markdown rows: means and spreads over the seeds that are there."""
    print("| study | run | top-1 of each seed | mean | spread |\n|---|---|---|---|---|")
    groups: dict[tuple[str, str], list[float]] = {}
    for run in dict.fromkeys(plan()):
        if run.top1 is not None:
            name = run.name.replace(f"-seed{run.options['seed']}", "")
            groups.setdefault((run.study, name), []).append(run.top1)
    for (study, name), scores in groups.items():
        spread = f"{statistics.stdev(scores):.2f}" if len(scores) > 1 else ""
        seeds = ", ".join(f"{score:.2f}" for score in scores)
        print(f"| {study} | {name} | {seeds} | {statistics.mean(scores):.2f} | {spread} |")
    verdict()


def verdict() -> None:
    """The goal: two points or more over all the labels, at equal steps."""

    def mean(runs: list[Run]) -> float:
        scores = [run.top1 for run in runs if run.top1 is not None]
        return statistics.mean(scores) if scores else math.nan

    top = best([labelled(False, rate, 0) for rate in LABEL_RATES])
    if top is None:
        return
    labels = mean([labelled(False, top.options["lr"], seed) for seed in range(LABEL_SEEDS)])
    for loss in RATES:
        if rate := chosen_rate(loss):
            gain = mean([distilled("losses", loss, rate, seed) for seed in range(SEEDS)]) - labels
            met = "met" if gain >= 2 else "missed"
            print(f"{loss} at lr {rate}: {gain:+.2f} points over 50,000 labels (goal +2: {met})")


def work(study: str | None) -> bool:
    """Do the first run that is neither done nor under way."""
    for run in plan():
        if run.top1 is None and study in (None, run.study):
            with claimed(run) as mine:
                if mine:
                    train(run)
                    return True
    return False


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path)
    options.add_argument("--only", choices=("labels", "losses", "views"))
    options.add_argument("--table", action="store_true")
    options.add_argument(
        "--part", type=int, nargs=2, default=(0, 1), metavar=("K", "N"), help="every Nth run from K on"
    )
    chosen = options.parse_args()
    if not chosen.table:
        if chosen.data is None:
            options.error("--data: the folder that holds cifar10_train.tar.gz and cifar10_test.tar.gz")
        prepare(chosen.data)
        while work(chosen.only):
            pass
    table()


if __name__ == "__main__":
    main()
