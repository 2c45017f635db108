"""A checkpoint, ready to answer."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.checkpoints.card import WEIGHTS, Card, find, read_card
from limbeck.checkpoints.pixels import device_named, many, pixels_of
from limbeck.checkpoints.weights import fit_weights, read_weights
from limbeck.errors import CheckpointError, ImagesError
from limbeck.images.decode import Unreadable
from limbeck.images.prepare import centre_view, to_input
from limbeck.records import Preprocess, Skipped


@dataclass(frozen=True)
class Prediction:
    """The best classes of one image, the best first."""

    name: str
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        answers = [{"class": c, "probability": p} for c, p in zip(self.classes, self.probabilities, strict=True)]
        return {"file": self.name, "answers": answers}


@dataclass(frozen=True)
class Loaded:
    """A model in eval mode, and what is known of it."""

    model: nn.Module
    classes: tuple[str, ...]
    preprocess: Preprocess
    card: Card

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def predict(
        self, images: Any, *, top: int = 5, batch: int = 32, skipped: list[Skipped] | None = None
    ) -> list[Prediction]:
        """The top answers to one image or many: paths, bytes, PIL images, or uint8 arrays (height, width, 3).

        An unreadable image is an error, unless a list is given that takes it.
        """
        predictions: list[Prediction] = []
        for views, names in _batches(self.preprocess, many(images), batch, skipped):
            best = self.log_probabilities(views).exp().topk(min(top, len(self.classes)), dim=1)
            for name, values, indices in zip(names, best.values.tolist(), best.indices.tolist(), strict=True):
                predictions.append(Prediction(name, tuple(self.classes[i] for i in indices), tuple(values)))
        return predictions

    def log_probabilities(self, views: Tensor) -> Tensor:
        """The answers to evaluation views, uint8 [B, 3, h, w], as float32 log-probabilities [B, classes]."""
        if not self.classes:
            raise CheckpointError(
                f"this {type(self.model).__name__} is a backbone: it has no head",
                expected="a classifier",
                hint="limbeck finetune CHECKPOINT --images PHOTOS_IN_CLASS_FOLDERS --out RUN, which gives it one",
            )
        look = self.preprocess
        with torch.inference_mode():
            inputs = to_input(views.to(self.device), look.size, look.mean, look.std)
            logits: Tensor = self.model(inputs)
        return logits.float().log_softmax(dim=1)


def load(path: str | Path, *, device: str = "cpu") -> Loaded:
    """The model of a run or checkpoint folder; the device is `cpu`, `cuda`, `mps`, or `auto` for the best there is.

    >>> load("no/such/run")
    Traceback (most recent call last):
    limbeck.errors.CheckpointError: no checkpoint in no/such/run
      expected: model.safetensors and card.json, in this folder or in its folder student
      try:      limbeck distill --images PHOTOS --teacher TEACHER --student STUDENT --out RUN
    """
    folder = find(path)
    card = read_card(folder)
    model = card.build_from().build()
    fit_weights(model, read_weights(folder / WEIGHTS), str(folder))
    return Loaded(model.eval().to(device_named(device)), tuple(card.classes), card.preprocess, card)


def _batches(
    preprocess: Preprocess, images: Sequence[Any], batch: int, skipped: list[Skipped] | None
) -> Iterable[tuple[Tensor, list[str]]]:
    views: list[Tensor] = []
    names: list[str] = []
    for number, image in enumerate(images):
        name = str(image) if isinstance(image, str | Path) else f"image {number}"
        try:
            views.append(centre_view(preprocess, pixels_of(image)))
            names.append(name)
        except (Unreadable, OSError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            if skipped is None:
                raise ImagesError(
                    f"{name} cannot be read: {reason}", expected="a photo", hint="leave it out"
                ) from error
            skipped.append(Skipped(name, reason))
        if len(views) == batch:
            yield torch.stack(views), names
            views, names = [], []
    if views:
        yield torch.stack(views), names
