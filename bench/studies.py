"""Tables 3, 5 and 6 of the paper at 3 points and 2 seeds, on real CIFAR-10 photos with the networks of bench/cifar.py.

    python bench/cifar.py --data ../shared/data --only labels       # the photos
    for n in 1 3 12; do python bench/cifar_teacher.py --data ../shared/data --epochs $n \
        --out .bench/cifar/teachers/epochs$n.safetensors; done
    python bench/studies.py                                         # goes on where it stopped; two at once share it
    python bench/studies.py --only volume
    python bench/studies.py --table                                 # what is there so far, in Markdown

Weight decay shrinks the weights by (mean learning rate x steps x decay) over a run. The paper's 3e-5 to 1e-5, over 2.4
million steps at a mean rate of .05, are 3.7 to 1.2 of that; here, 1,800 steps at a mean rate of .4, 5e-3 to 1.7e-3
are. The third point is 1e-4, this student's own. The volumes are trained for equal steps, not for equal epochs as in
Table 6: what more photos bring is then not what more training brings.
"""

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import cifar_models  # noqa: F401  (registers the two networks with timm)
import limbeck

WORK = Path(".bench/cifar")
OUT = WORK / "studies"
TEACHERS = tuple(WORK / "teachers" / f"epochs{epochs}.safetensors" for epochs in (1, 3, 12))
COMMON: dict[str, Any] = {
    "student": "cifar_student",
    "teacher": "cifar_teacher",
    "teacher_weights": str(TEACHERS[-1]),
    "eval": str(WORK / "photos" / "test"),
    "steps": 1800,
    "batch": 128,
    "loss": "js",
    "lr": 1.6,
    "weight_decay": 1e-4,
    "warmup_epochs": 1.0,
    "crop_scale": (0.4, 1.0),
    "views": 8,
    "workers": 0,
    "track": "none",
    "save_every": 300,
    "log_every": 100,
}
STAGE_TWO: dict[str, Any] = {"labelled": str(WORK / "photos" / "train"), "finetune_steps": 300}
# weight decay first: its runs are evaluated each epoch, for Figure 3, the others at their end
STUDIES: dict[str, dict[str, Any]] = {
    "weight-decay": {"points": (5e-3, 1.7e-3, 1e-4), "evaluate_every": 1, **STAGE_TWO},
    "volume": {"points": (12_500, 25_000, 50_000), "evaluate_every": 1000, **STAGE_TWO},
    "teacher": {"teachers": [f"cifar_teacher={file}" for file in TEACHERS], "evaluate_every": 1000},
}


def table(name: str) -> None:
    """Markdown: a row for each point, mean ± spread of each stage."""
    with (OUT / f"{name}.csv").open() as file:
        rows = list(csv.DictReader(file))
    stages = list(dict.fromkeys(row["stage"] for row in rows))
    print(f"\n| {name} | {' | '.join(stages)} |\n|---{'|---' * len(stages)}|")
    for point in dict.fromkeys(row["point"] for row in rows):
        cells = []
        for stage in stages:
            of = [100 * float(row["top1"]) for row in rows if (row["point"], row["stage"]) == (point, stage)]
            cells.append(told(of))
        print(f"| {point} | {' | '.join(cells)} |")


def told(values: Sequence[float]) -> str:
    if not values:
        return "–"
    return f"{mean(values):.2f}" + (f" ± {stdev(values):.2f}" if len(values) > 1 else "")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--only", choices=tuple(STUDIES))
    options.add_argument("--table", action="store_true")
    options.add_argument("--stage-one", action="store_true", help="leave stage two for another time")
    chosen = options.parse_args()
    names = [chosen.only] if chosen.only else list(STUDIES)
    if not chosen.table:
        for name in names:
            given = COMMON | STUDIES[name]
            given = {key: value for key, value in given.items() if not (chosen.stage_one and key in STAGE_TWO)}
            limbeck.study(name, images=str(WORK / "photos" / "train"), out=str(OUT), **given)
    for name in names:
        if (OUT / f"{name}.csv").exists():
            table(name)


if __name__ == "__main__":
    main()
