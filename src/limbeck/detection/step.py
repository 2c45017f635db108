"""A detector learns from boxes."""

from typing import Any

import torch
from torch import Tensor

from limbeck.detection.batch import Found
from limbeck.detection.detector import Detector, Look
from limbeck.detection.loader import DetectionBatch
from limbeck.step import Step


class DetectionStep(Step):
    """The losses of a detector, divided over the whole batch even where parts or processes share it."""

    student: Detector

    def __init__(self, student: Detector, look: Look, precision: str) -> None:
        super().__init__()
        self.student, self.look, self.precision = student, look, precision
        self.divided = student.divided
        self.watched: dict[str, Tensor] = {}

    def forward(self, batch: DetectionBatch) -> dict[str, Tensor]:
        raw = self._raw(batch)
        targets, frames = batch.targets, batch.frames
        divisors = self.agree(self.student.divisors(raw, targets, frames)) if self.agree else None
        losses = self.student.losses(raw, targets, frames, divisors)
        return {name: value / self.share for name, value in losses.items()} if self.agree else losses

    def divisors(self, batch: DetectionBatch) -> Tensor:
        return self.student.divisors(self._raw(batch), batch.targets, batch.frames)

    def _raw(self, batch: DetectionBatch) -> Any:
        return raw_of(self.student, self.look, self.precision, batch)


def raw_of(model: Detector, look: Look, precision: str, batch: DetectionBatch) -> Any:
    """What a detector makes of a batch's pixels."""
    images = batch.normalised(look.mean, look.std)
    with torch.autocast(images.device.type, getattr(torch, precision), enabled=precision != "float32"):
        return model(images)


def found_by(model: Detector, look: Look, precision: str, batch: DetectionBatch) -> Found:
    """What a detector finds on the images of a batch, in their own pixels."""
    with torch.inference_mode():
        return model.boxes(raw_of(model, look, precision, batch), batch.frames)
