"""limbeck's own step: the parts of the one training loop, in its order."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from serve import DECAY, LR, MOMENTUM, Photos, serve
from torch import Tensor

from limbeck.commands.train import starting_options
from limbeck.commands.train_job import step_of
from limbeck.commands.train_model import as_told, rates_of, student_of
from limbeck.detection.batch import Targets, stacked
from limbeck.detection.detector import Detector, design
from limbeck.detection.loader import DetectionBatch
from limbeck.detection.step import raw_of
from limbeck.images.stream import keep_freed_memory
from limbeck.ld.teacher import Teacher, teacher_of
from limbeck.records import Frame, Target
from limbeck.runs.devices import student_precision, teacher_precision
from limbeck.runs.placing import placed
from limbeck.training.attempt import forward_backward
from limbeck.training.frozen import freeze, rest
from limbeck.training.loop import average_gradients, ensure_finite
from limbeck.training.optimizer import sgd
from limbeck.training.plan import Plan
from limbeck.training.ranks import Ranks

RECIPES = {
    "ssd300": "ssd300_coco",
    "ssdlite_mobilenetv2": "ssdlite_mobilenetv2_scratch_600e_coco",
    "ssdlite_mobilenetv3": "ssdlite",
    "gfl_r18": "gfl_r18_fpn_coco_1x",
    "ld_r18": "ld_r18_gflv1_r101_fpn_coco_1x",
    "ld_r18_vlr": "ld_r18_gflv1_r101_fpn_coco_1x_vlr",
}
CLASSES = 80


def make(model: str, photos: Photos, variant: str) -> Callable[[], dict[str, float]]:
    """`shipped`: as `limbeck train` has it; `equal`: in the others' layout and precision; or shipped in a precision."""
    options = starting_options(RECIPES[model.partition("@")[0]])
    backbone = options.backbone if design(options.detector).strides else ""  # its own, without published weights
    options = replace(options, backbone=backbone, pretrained=False)
    if variant in ("float32", "bfloat16"):
        options = replace(options, precision=variant)
    ranks = Ranks(Accelerator(cpu=True))
    built, _, look = student_of(options, CLASSES)
    detector = placed(as_told(built, options), ranks.device, one_norm=False)
    images = photos["images"]
    keep_freed_memory()  # as reading photos does in a process that trains
    sound = detector if detector.sound_in_bfloat16 else None
    precision = "float32" if variant == "equal" else student_precision(options.precision, ranks.device, sound)
    options = replace(options, precision=precision)
    teacher = None
    if options.ld_main:
        shown = "float32" if variant == "equal" else teacher_precision("auto", ranks.device)
        large, _, _ = student_of(replace(options, backbone="resnet101"), CLASSES)
        teacher = teacher_of("r101", "gfl", large, look, [str(each) for each in range(CLASSES)], shown)
    if variant == "equal":
        detector, images = detector.to(memory_format=torch.contiguous_format), images.contiguous()
    count, side = len(images), images.shape[2]
    truth = [Target(boxes, labels) for boxes, labels in zip(photos["boxes"], photos["labels"], strict=True)]
    frames, rows = stacked([Frame(side, side, side, side)] * count), torch.arange(count)
    batch = DetectionBatch(images, Targets.of(truth), frames, rows, torch.zeros_like(rows))
    step = step_of(replace(options, batch=count), detector, look, teacher, count)
    rates = rates_of(detector, options)
    plan = Plan(steps=1, steps_per_epoch=1, batch=count, lr=LR, momentum=MOMENTUM, weight_decay=DECAY, decay_norm=True)
    plan = replace(plan, rates=rates)
    frozen = freeze(detector, rates)
    optimizer = sgd(detector, plan)
    step.train()

    def once() -> dict[str, float]:
        rest(frozen)
        trial = forward_backward(step, batch, 1, ranks, seed=0)
        average_gradients(step, ranks)
        ensure_finite(step, trial, batch, 0, Path(), ranks)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return {}

    def with_share() -> dict[str, float]:
        once()
        passed, worked = time.perf_counter(), time.process_time()
        told = {"matching_and_loss": seconds_of_losses(detector, batch, raw)}
        if teacher is not None:
            told["teacher"] = seconds_of(teacher, batch)
        aside = {"aside_passed": time.perf_counter() - passed, "aside_worked": time.process_time() - worked}
        return aside | told

    with torch.no_grad():
        raw = raw_of(detector, look, precision, batch)
    return with_share


def seconds_of_losses(detector: Detector, batch: DetectionBatch, raw: Any) -> float:
    """Of matching, losses and their gradients down to the raw outputs."""

    def leaves(tensors: list[Tensor]) -> list[Tensor]:
        return [each.detach().requires_grad_() for each in tensors]

    answers, places, *others = raw
    own = type(raw)(leaves(answers), leaves(places), *others)
    started = time.process_time()
    losses = detector.losses(own, batch.targets, batch.frames)
    torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
    return time.process_time() - started


def seconds_of(teacher: Teacher, batch: DetectionBatch) -> float:
    started = time.process_time()
    teacher(batch)
    return time.process_time() - started


if __name__ == "__main__":
    serve(make)
