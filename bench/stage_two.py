"""Stage two on real CIFAR-10 photos: a distilled student goes on with labelled photos, in the two ways there are.

    python bench/cifar.py --data ../shared/data      # the students that go on
    python bench/stage_two.py                        # what is not there yet
    python bench/stage_two.py --table

The paper's words: with the true labels (`limbeck finetune`). Its authors' released code: with the teacher's soft labels
still (`limbeck distill --student RUN`). Both for 400 steps of 128, from the same students (1,800 steps of `js`, two
seeds), at two small rates, on 4,000 labelled photos and on all 50,000.
"""

import argparse
import statistics
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import limbeck
from cifar import BATCH, STEPS, WORK, distilled

SEEDS, RATES, STAGE_TWO_STEPS = (0, 1), (0.016, 0.16), 400
LABELLED = {"4,000": WORK / "few.txt", "50,000": WORK / "photos" / "train"}
WAYS = "true labels", "the teacher's labels"


@dataclass(frozen=True)
class Second:
    """A student that goes on."""

    way: str
    labelled: str
    rate: float
    seed: int

    @property
    def folder(self) -> Path:
        name = f"{self.way}-{self.labelled}-lr{self.rate}-seed{self.seed}"
        return WORK / "stage-two" / name.replace(" ", "-").replace("'", "").replace(",", "")

    @property
    def top1(self) -> float | None:
        if not (self.folder / "report.html").exists():
            return None
        return 100 * float(limbeck.load(self.folder).card.metrics["top1"])


def train(run: Second) -> None:
    print(f"== {run.folder.name}", flush=True)
    student = distilled("losses", "js", 1.6, run.seed).folder
    common = {"images": str(LABELLED[run.labelled]), "out": str(run.folder), "batch": BATCH, "lr": run.rate}
    common |= {"steps": STAGE_TWO_STEPS, "weight_decay": 1e-4, "crop_scale": (0.4, 1.0), "seed": run.seed}
    common |= {"eval": str(WORK / "photos" / "test"), "workers": 0, "track": "none", "evaluate_every": 1000}
    common |= {"resume": (run.folder / "config.json").exists()}
    if run.way == "true labels":
        limbeck.finetune(student, labels="", layer_rates=(1.0,), **common)
    else:
        teacher = {"teacher": "cifar_teacher", "teacher_weights": str(WORK / "teacher.safetensors")}
        limbeck.distill(student=str(student), probe=0.0, loss="js", **teacher, **common)


def table(runs: list[Second]) -> None:
    before = [distilled("losses", "js", 1.6, seed).top1 for seed in SEEDS]
    print(f"before ({STEPS:,} steps without labels): {', '.join(f'{score:.2f}' for score in before if score)}")
    print("| labelled photos | goes on with | rate | top-1 of each seed | mean | against before |\n|-|-|-|-|-|-|")
    for labelled, way, rate in product(LABELLED, WAYS, RATES):
        scores = [run.top1 for run in runs if (run.labelled, run.way, run.rate) == (labelled, way, rate)]
        if None not in scores:
            told = ", ".join(f"{score:.2f}" for score in scores)
            gain = statistics.mean(score - start for score, start in zip(scores, before))
            print(f"| {labelled} | {way} | {rate} | {told} | {statistics.mean(scores):.2f} | {gain:+.2f} |")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--table", action="store_true")
    chosen = options.parse_args()
    runs = [Second(way, labelled, rate, seed) for seed, rate, labelled, way in product(SEEDS, RATES, LABELLED, WAYS)]
    for run in runs:
        if not chosen.table and run.top1 is None:
            train(run)
    table(runs)


if __name__ == "__main__":
    main()
