"""limbeck's own step: the parts of the one training loop, in its order."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import Accelerator
from serve import DECAY, LR, MOMENTUM, Photos, serve
from torch import Tensor

from limbeck.commands.train import starting_options
from limbeck.commands.train_job import on_device
from limbeck.commands.train_model import student_of
from limbeck.detection.batch import Targets, stacked
from limbeck.detection.detector import design
from limbeck.detection.loader import DetectionBatch
from limbeck.detection.ssd import SSD, Raw
from limbeck.detection.step import DetectionStep, raw_of
from limbeck.images.stream import keep_freed_memory
from limbeck.records import Frame, Target
from limbeck.runs.devices import student_precision
from limbeck.training.attempt import forward_backward
from limbeck.training.loop import average_gradients, ensure_finite
from limbeck.training.optimizer import sgd
from limbeck.training.plan import Plan
from limbeck.training.ranks import Ranks

RECIPES = {
    "ssd300": "ssd300_coco",
    "ssdlite_mobilenetv2": "ssdlite_mobilenetv2_scratch_600e_coco",
    "ssdlite_mobilenetv3": "ssdlite",
}


def make(model: str, photos: Photos, variant: str) -> Callable[[], dict[str, float]]:
    """`shipped`: as `limbeck train` has it; `equal`: in the others' layout and precision; or shipped in a precision."""
    options = starting_options(RECIPES[model])
    backbone = options.backbone if design(options.detector).strides else ""  # its own, without published weights
    options = replace(options, backbone=backbone, pretrained=False)
    if variant in ("float32", "bfloat16"):
        options = replace(options, precision=variant)
    ranks = Ranks(Accelerator(cpu=True))
    built, _, look = student_of(options, 80)
    detector = on_device(built, options, ranks)
    assert isinstance(detector, SSD)
    images = photos["images"]
    keep_freed_memory()  # as reading photos does in a process that trains
    precision = student_precision(options.precision, ranks.device)
    if variant == "equal":
        detector, images, precision = detector.to(memory_format=torch.contiguous_format), images.contiguous(), "float32"
    count, side = len(images), images.shape[2]
    truth = [Target(boxes, labels) for boxes, labels in zip(photos["boxes"], photos["labels"], strict=True)]
    frames, rows = stacked([Frame(side, side, side, side)] * count), torch.arange(count)
    batch = DetectionBatch(images, Targets.of(truth), frames, rows, torch.zeros_like(rows))
    step = DetectionStep(detector, look, precision, count)
    plan = Plan(steps=1, steps_per_epoch=1, batch=count, lr=LR, momentum=MOMENTUM, weight_decay=DECAY, decay_norm=True)
    optimizer = sgd(detector, plan)

    def once() -> dict[str, float]:
        trial = forward_backward(step, batch, 1, ranks, seed=0)
        average_gradients(step, trial, ranks)
        ensure_finite(step, trial, batch, 0, Path(), ranks)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return {}

    def with_share() -> dict[str, float]:
        once()
        passed, worked = time.perf_counter(), time.process_time()
        loss = seconds_of_losses(detector, batch, raw)
        aside = {"aside_passed": time.perf_counter() - passed, "aside_worked": time.process_time() - worked}
        return aside | {"matching_and_loss": loss}

    with torch.no_grad():
        raw = raw_of(detector, look, precision, batch)
    assert isinstance(raw, Raw)
    return with_share


def seconds_of_losses(detector: SSD, batch: DetectionBatch, raw: Raw) -> float:
    """Of matching, losses and their gradients down to the raw outputs."""

    def leaves(tensors: list[Tensor]) -> list[Tensor]:
        return [each.detach().requires_grad_() for each in tensors]

    own = Raw(leaves(raw.logits), leaves(raw.deltas), raw.priors)
    started = time.process_time()
    losses = detector.losses(own, batch.targets, batch.frames)
    torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
    return time.process_time() - started


if __name__ == "__main__":
    serve(make)
