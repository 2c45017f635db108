"""How many classes a soft label must keep: what the rest, spread evenly, does to the gradient.

    python bench/keep_top.py

Teachers are drawn: rank r of an answer gets r^-a, times lognormal noise, with an exponent a drawn for each photo, so
that answers reach from sure to unsure and the mean top probability is that of good ImageNet classifiers. "smoothed"
teachers were trained with label smoothing: a tenth of their mass is even already. Students stand at three points of a
training: flat answers, halfway to the teacher, and near it. The deviation is |g_K - g| / |g| over the gradients of 256
photos. The verdict leaves the start out: it is left behind in a few steps, and the rest decides where a student ends.
"""

import math

import torch
from torch import Tensor

from limbeck.divergence import jeffreys, js
from limbeck.ssld.codes import default_keep
from limbeck.ssld.shard import layout, shard_bytes
from limbeck.ssld.store import encode

PHOTOS = 256
KEPT = (10, 20, 50, 100, 200)
LIMIT = 0.05


def teacher(classes: int, smoothing: float) -> Tensor:
    """Log-probabilities [PHOTOS, classes]."""
    generator = torch.Generator().manual_seed(0)
    exponent = 1.2 + 4.3 * torch.rand(PHOTOS, 1, generator=generator)
    by_rank = -exponent * torch.arange(1, classes + 1).log()
    noisy = by_rank + 0.5 * torch.randn(PHOTOS, classes, generator=generator)
    order = torch.rand(PHOTOS, classes, generator=generator).argsort(1)
    sharp = noisy.log_softmax(1).gather(1, order)
    even = torch.tensor(smoothing / classes)
    return torch.logaddexp(sharp + math.log(1 - smoothing), even.log()) if smoothing else sharp


def students(answers: Tensor) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(answers.shape, generator=generator)
    return {"start": 0.1 * noise, "halfway": 0.5 * answers + noise, "near": 0.9 * answers + 0.5 * noise}


def gradient(loss, student: Tensor, labels) -> Tensor:
    student = student.clone().requires_grad_()
    loss(student, labels, reduction="none").sum().backward()
    return student.grad


def main() -> None:
    heading = "".join(f"{f'top-{keep}':>9}" for keep in KEPT)
    print(f"{'classes':>7} {'teacher':<9} {'loss':<9} {'student':<8} {heading}")
    for classes in (1000, 21841):
        worst = {loss: dict.fromkeys(KEPT, 0.0) for loss in (js, jeffreys)}
        for name, smoothing in (("sharp", 0.0), ("smoothed", 0.1)):
            answers = teacher(classes, smoothing)
            labels = {keep: encode(answers, keep) for keep in KEPT}
            mass = "".join(f"{1 - label.log_rest.exp().mean().item():>9.4f}" for label in labels.values())
            print(f"{classes:>7} {name:<9} {'mass':<9} {'':<8} {mass}  mean top {answers.amax(1).exp().mean():.2f}")
            for loss in (js, jeffreys):
                for stage, student in students(answers).items():
                    full = gradient(loss, student, answers)
                    apart = {keep: (gradient(loss, student, labels[keep]) - full).norm() / full.norm() for keep in KEPT}
                    if stage != "start":
                        worst[loss] = {keep: max(worst[loss][keep], float(apart[keep])) for keep in KEPT}
                    row = "".join(f"{float(value):>9.4f}" for value in apart.values())
                    print(f"{classes:>7} {name:<9} {loss.__name__:<9} {stage:<8} {row}")
        sizes = "".join(f"{shard_bytes(1, layout(classes, keep)):>9}" for keep in KEPT)
        print(f"{classes:>7} bytes a view {'':<15} {sizes}   all: {shard_bytes(1, layout(classes, classes))}")
        for loss, apart in worst.items():
            enough = next((f"from top-{keep}" for keep in KEPT if apart[keep] <= LIMIT), "with none of these")
            print(
                f"{classes:>7} {loss.__name__} within {LIMIT:.0%} {enough}; the default keeps {default_keep(classes)}"
            )
        print()


if __name__ == "__main__":
    main()
