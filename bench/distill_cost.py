"""What distillation costs: seconds a step against plain supervised training of the same student, in one process.

    python bench/distill_cost.py            # every case, one thread
    python bench/distill_cost.py --case small --rounds 5

Variants are interleaved round by round; the medians of their CPU seconds are compared, so that only ratios are told:
(a) supervised training as limbeck does it, (b) online distillation, (c) distillation from a full store, and the naive
online way (float32 for both models, default layout, unfused optimizer, softmax + log + two kl_div).
Goals: (c) <= 1.05 x (a), and (b) <= 0.6 x naive.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.divergence import js
from limbeck.images.imageset import ImageSet
from limbeck.records import Preprocess
from limbeck.runs.devices import student_precision, teacher_precision
from limbeck.ssld.batch import PhotoBatch
from limbeck.ssld.step import LabelledStep, LabelSource, SoftLabelStep, StudentInput
from limbeck.ssld.store import SoftLabelStore, default_keep, encode
from limbeck.ssld.teacher import TeacherSpec
from limbeck.step import Step
from limbeck.training.attempt import forward_backward
from limbeck.training.optimizer import sgd
from limbeck.training.plan import Plan
from limbeck.training.ranks import Ranks


@dataclass(frozen=True)
class Case:
    student: str
    teacher: str
    size: int
    batch: int
    classes: int = 1000


CASES = {
    "mobile": Case("mobilenetv3_large_100", "resnet50d", 224, 16),
    "small": Case("test_resnet", "resnet50d", 64, 64),
    "medium": Case("resnet10t", "resnet50d", 64, 32),
}
PLAN = Plan(steps=1000, steps_per_epoch=1000, batch=1, lr=0.01, weight_decay=1e-5)


def naive(case: Case, teacher: nn.Module, pixels: Tensor) -> Callable[[], None]:
    """One online step as it is usually written."""
    student = timm.create_model(case.student, num_classes=case.classes)
    optimizer = torch.optim.SGD(student.parameters(), 0.01, 0.9, weight_decay=1e-5, foreach=False)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))

    def step() -> None:
        x = (pixels.float() / 255 - mean) / std
        with torch.no_grad():
            q = teacher(x).softmax(1)
        p = student(x).softmax(1)
        m = ((p + q) / 2).log()
        loss = (F.kl_div(m, p, reduction="batchmean") + F.kl_div(m, q, reduction="batchmean")) / 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def ours(step: Step, batch: Callable[[], PhotoBatch], ranks: Ranks) -> Callable[[], None]:
    """One step of limbeck's loop, without reading photos."""
    step.student.to(memory_format=torch.channels_last)
    optimizer = sgd(step.student, PLAN)

    def one() -> None:
        forward_backward(step, batch(), 1, ranks, seed=0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return one


def measure(case: Case, rounds: int, root: str) -> None:
    from accelerate import Accelerator

    ranks = Ranks(Accelerator(cpu=True))
    torch.manual_seed(0)
    pixels = torch.randint(0, 256, (case.batch, 3, case.size, case.size), dtype=torch.uint8)
    views = pixels.contiguous(memory_format=torch.channels_last)
    precision = student_precision("auto", ranks.device)
    inputs = StudentInput(Preprocess((case.size, case.size)), precision)
    spec = TeacherSpec.parse(case.teacher, pretrained=False, size=case.size)
    teacher = spec.load(ranks.device, teacher_precision("auto", ranks.device))
    keep = default_keep(case.classes)
    store = SoftLabelStore.open(root, teacher="t", views="v", classes=case.classes, keep=keep, shown=False)
    keys = np.random.default_rng(0).integers(0, 256, (4096, 16), dtype=np.uint8)
    numbers = np.zeros(4096, np.uint32)
    store.add(keys, numbers, encode(torch.randn(4096, case.classes) * 4, keep))
    store.commit()
    rows = torch.arange(case.batch)

    def student() -> nn.Module:
        return timm.create_model(case.student, num_classes=case.classes).train()

    def batch(**more: object) -> PhotoBatch:
        return PhotoBatch(views, rows, torch.zeros_like(rows), ImageSet, {}, **more)  # type: ignore[arg-type]

    def from_store() -> PhotoBatch:
        labels, hit = store.look_up(keys[: case.batch], numbers[: case.batch])
        return batch(stored=labels, hit=torch.from_numpy(hit), whole=True)

    truth = torch.randint(0, case.classes, (case.batch,))
    online = SoftLabelStep(student(), inputs, js, "js", LabelSource(teacher.log_probabilities))
    stored = SoftLabelStep(student(), inputs, js, "js", LabelSource(teacher.log_probabilities))
    plain = timm.create_model(case.teacher, num_classes=case.classes).eval()
    variants = {
        "naive online": naive(case, plain, pixels),
        "(a) supervised": ours(LabelledStep(student(), inputs), lambda: batch(truth=truth), ranks),
        "(b) online": ours(online, batch, ranks),
        "(c) full store": ours(stored, from_store, ranks),
    }
    times: dict[str, list[float]] = {name: [] for name in variants}
    for turn in range(rounds + 1):
        for name, step in variants.items():
            start = time.process_time()
            step()
            if turn:  # the first round warms up
                times[name].append(time.process_time() - start)
    median = {name: statistics.median(values) for name, values in times.items()}
    precisions = f"{precision}, teacher {case.teacher} {teacher_precision('auto', ranks.device)}"
    print(f"{case.student} at {case.size}, batch {case.batch}, {precisions}")
    for name, value in median.items():
        supervised, naively = value / median["(a) supervised"], value / median["naive online"]
        print(f"  {name:<16}{supervised:6.2f} x supervised   {naively:6.2f} x naive")
    tell("(c) / (a)", median["(c) full store"] / median["(a) supervised"], 1.05)
    tell("(b) / naive", median["(b) online"] / median["naive online"], 0.6)
    print(f"  store: {store.bytes_for(1)} bytes a view ({keep} of {case.classes} classes)")


def tell(what: str, ratio: float, goal: float) -> None:
    print(f"  {what} = {ratio:.3f}, goal <= {goal}: {'met' if ratio <= goal else 'missed'}")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--case", choices=CASES, action="append")
    options.add_argument("--rounds", type=int, default=7)
    chosen = options.parse_args()
    torch.set_num_threads(1)
    for name in chosen.case or CASES:
        with tempfile.TemporaryDirectory() as root:
            measure(CASES[name], chosen.rounds, root)


if __name__ == "__main__":
    main()
