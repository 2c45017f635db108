"""A detector learns from boxes."""

from typing import Any

import torch
from torch import Tensor

from limbeck.detection.batch import Found
from limbeck.detection.detector import Detector, Look
from limbeck.detection.loader import DetectionBatch
from limbeck.step import Step


class DetectionStep(Step):
    """The losses of a detector, divided over the whole batch even where parts or processes share it.

    `whole` is how many images a process has when nobody else has any. Where a part has fewer, its losses tell what they
    were divided by, and the loop weighs parts by that: exact, but for detectors whose losses each have a divisor.
    """

    student: Detector

    def __init__(self, student: Detector, look: Look, precision: str, whole: int) -> None:
        super().__init__()
        self.student, self.look, self.precision, self.whole = student, look, precision, whole
        self.watched: dict[str, Tensor] = {}

    def forward(self, batch: DetectionBatch) -> dict[str, Tensor]:
        raw = raw_of(self.student, self.look, self.precision, batch)
        split = len(batch) < self.whole
        self.weight = self.student.divisor(raw, batch.targets, batch.frames) if split else None
        return self.student.losses(raw, batch.targets, batch.frames)


def raw_of(model: Detector, look: Look, precision: str, batch: DetectionBatch) -> Any:
    """What a detector makes of a batch's pixels."""
    images = batch.normalised(look.mean, look.std)
    with torch.autocast(images.device.type, getattr(torch, precision), enabled=precision != "float32"):
        return model(images)


def found_by(model: Detector, look: Look, precision: str, batch: DetectionBatch) -> Found:
    """What a detector finds on the images of a batch, in their own pixels."""
    with torch.inference_mode():
        return model.boxes(raw_of(model, look, precision, batch), batch.frames)
