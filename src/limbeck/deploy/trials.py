"""A model put to the test: what it does with one image, and what a training step does with many."""

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from limbeck.checkpoints.loaded import Loaded
from limbeck.checkpoints.loaded_detector import LoadedDetector
from limbeck.detection.batch import Targets
from limbeck.detection.step import DetectionStep, found_by
from limbeck.images.prepare import centre_view, to_input
from limbeck.records import Target
from limbeck.training.optimizer import sgd
from limbeck.training.plan import Plan

_OBJECTS = 7  # on a photo of COCO


class Trial(Protocol):
    """A photo as the model is shown it, the whole answer to that, and the losses of photos."""

    def view(self, pixels: Tensor) -> Any: ...
    def answer(self, view: Any) -> object: ...
    def losses(self, views: list[Any]) -> Callable[[], Tensor]: ...


class OfClassifier:
    """From pixels on the host to the best classes on the host; cross-entropy."""

    def __init__(self, loaded: Loaded, precision: str) -> None:
        self.loaded, self.precision = loaded, precision

    def view(self, pixels: Tensor) -> Tensor:
        return centre_view(self.loaded.preprocess, pixels)

    def answer(self, view: Tensor) -> object:
        with torch.inference_mode():
            return self._logits(view[None]).softmax(1).topk(min(5, len(self.loaded.classes))).indices.tolist()

    def losses(self, views: list[Tensor]) -> Callable[[], Tensor]:
        photos, labels = torch.stack(views), torch.arange(len(views)) % len(self.loaded.classes)
        return lambda: F.cross_entropy(self._logits(photos), labels.to(self.loaded.device))

    def _logits(self, photos: Tensor) -> Tensor:
        look, device = self.loaded.preprocess, self.loaded.device
        inputs = to_input(photos.to(device), look.size, look.mean, look.std)
        with torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            logits: Tensor = self.loaded.model(inputs)
        return logits.float()


class OfDetector:
    """From pixels on the host to final boxes on the host; the detector's own losses, of drawn boxes."""

    def __init__(self, loaded: LoadedDetector, precision: str) -> None:
        self.loaded, self.precision = loaded, precision

    def view(self, pixels: Tensor) -> Any:
        return self.loaded.view(pixels)

    def answer(self, view: Any) -> object:
        batch = self.loaded.preprocess([view])
        return found_by(self.loaded.model, self.loaded.look, self.precision, batch).detections()

    def losses(self, views: list[Any]) -> Callable[[], Tensor]:
        batch = self.loaded.preprocess(views)
        generator = torch.Generator().manual_seed(0)
        drawn = Targets.of([self._drawn(frame, generator) for frame in batch.frames.cpu()])
        batch = dataclasses.replace(batch, targets=Targets(*(each.to(self.loaded.device) for each in drawn)))
        step = DetectionStep(self.loaded.model, self.loaded.look, self.precision)
        return lambda: torch.stack(list(step(batch).values())).sum()

    def _drawn(self, frame: Tensor, generator: torch.Generator) -> Target:
        """Objects of a tenth to a half of the sides."""
        sides = frame[[1, 0]]
        extent = (0.1 + 0.4 * torch.rand(_OBJECTS, 2, generator=generator)) * sides
        corner = torch.rand(_OBJECTS, 2, generator=generator) * (sides - extent)
        labels = torch.randint(len(self.loaded.classes), (_OBJECTS,), generator=generator)
        return Target(torch.cat([corner, corner + extent], 1), labels)


def train(model: torch.nn.Module, losses: Callable[[], Tensor], steps: int) -> None:
    """Steps as the training loop takes them, so slow that nothing is learned."""
    model.to(memory_format=torch.channels_last).train()
    optimizer = sgd(model, Plan(steps=steps, steps_per_epoch=steps, batch=1, lr=1e-9))
    for _ in range(steps):
        torch.autograd.backward(losses())
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
