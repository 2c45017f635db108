"""A checkpoint, ready to answer."""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn

from limbeck.checkpoints.card import WEIGHTS, Card, find, read_card
from limbeck.checkpoints.weights import fit_weights, read_weights
from limbeck.errors import CheckpointError, ImagesError, OptionError
from limbeck.images.decode import Unreadable, decode
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
        for views, names in _batches(self.preprocess, _many(images), batch, skipped):
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
    return Loaded(model.eval().to(_device(device)), tuple(card.classes), card.preprocess, card)


def _device(name: str) -> torch.device:
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "auto": True}
    if not there.get(name.partition(":")[0]):
        known = ", ".join(each for each, available in there.items() if available)
        raise OptionError(f"device '{name}': there is none on this machine", expected=known, hint="--device auto")
    if name != "auto":
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _many(images: Any) -> Sequence[Any]:
    if isinstance(images, str | Path | bytes | Image.Image | np.ndarray):
        return [images]
    return list(images)


def _batches(
    preprocess: Preprocess, images: Sequence[Any], batch: int, skipped: list[Skipped] | None
) -> Iterable[tuple[Tensor, list[str]]]:
    views: list[Tensor] = []
    names: list[str] = []
    for number, image in enumerate(images):
        name = str(image) if isinstance(image, str | Path) else f"image {number}"
        try:
            views.append(centre_view(preprocess, _pixels(image)))
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


def _pixels(image: Any) -> Tensor:
    """uint8 [3, H, W] of whatever shows a picture."""
    if isinstance(image, str | Path):
        return decode(Path(image).read_bytes())
    if isinstance(image, bytes):
        return decode(image)
    if isinstance(image, Image.Image):
        return decode(_png(image))
    if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim in (2, 3):
        grey = image if image.ndim == 3 else image[:, :, None]
        if grey.shape[2] in (1, 3, 4):
            colours = np.repeat(grey, 3, axis=2) if grey.shape[2] == 1 else grey[:, :, :3]
            return torch.from_numpy(np.ascontiguousarray(colours.transpose(2, 0, 1)))
    found = (
        f"an array of {image.dtype}, {image.shape}" if isinstance(image, np.ndarray) else f"a {type(image).__name__}"
    )
    raise ImagesError(
        f"{found} is no image",
        expected="a path, bytes, a PIL image, or a uint8 array (height, width, 3)",
        hint="its path",
    )


def _png(image: Image.Image) -> bytes:
    # through the one decoder: it knows turned, 16-bit, palette and alpha images
    upright = ImageOps.exif_transpose(image)
    stream = io.BytesIO()
    keeps = upright.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
    (upright if keeps else upright.convert("RGB")).save(stream, format="PNG", compress_level=0)
    return stream.getvalue()
