"""Does softening the teacher's answers help? KL at temperature 4 beside limbeck's losses, which have none.

    python bench/cifar.py --data ../shared/data      # the photos, the teacher, the losses without temperature
    python bench/temperature.py                      # goes on where it stopped; two at once share the work
    python bench/temperature.py --table

The same student, photos, views and steps as in bench/cifar.py; three learning rates, the best with a second seed.
"""

import argparse
from dataclasses import replace

from torch import Tensor

import cifar
from limbeck.divergence import DIVERGENCES, Teacher, kl
from limbeck.records import SoftLabels

DEGREES = 4
RATES = (0.2, 0.4, 0.8)
NAME = f"kl-t{DEGREES}"


def softened(student: Tensor, teacher: Teacher, *, reduction: str = "mean") -> Tensor:
    """KL of both sides' answers at a temperature, times its square, as Hinton has it; the store keeps all classes."""
    answers = teacher.log_probability if isinstance(teacher, SoftLabels) else teacher
    return DEGREES**2 * kl(student / DEGREES, answers / DEGREES, reduction=reduction)


def training(rate: float, seed: int) -> cifar.Run:
    run = cifar.distilled("temperature", NAME, rate, seed)
    return replace(run, options=run.options | {"store": str(cifar.WORK / "temperature")})


def runs() -> list[cifar.Run]:
    tried = [training(rate, 0) for rate in RATES]
    top = cifar.best(tried)
    return [*tried, training(top.options["lr"], 1)] if top else tried


def work() -> bool:
    for run in runs():
        if run.top1 is None:
            with cifar.claimed(run) as mine:
                if mine:
                    cifar.train(run)
                    return True
    return False


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--table", action="store_true")
    if not options.parse_args().table:
        DIVERGENCES[NAME] = "temperature:softened"
        while work():
            pass
    for run in runs():
        if run.top1 is not None:
            print(f"| {run.name} | {run.top1:.2f} |")


if __name__ == "__main__":
    main()
