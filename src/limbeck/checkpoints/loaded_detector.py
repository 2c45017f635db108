"""A detector of a checkpoint, ready to answer."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import Tensor

from limbeck.checkpoints.detector_card import DetectorCard, read_detector
from limbeck.checkpoints.pixels import device_named, many, pixels_of
from limbeck.detection.batch import Found
from limbeck.detection.detector import Detector, Look
from limbeck.detection.loader import DetectionBatch, collated
from limbeck.detection.step import found_by
from limbeck.detection.views import View
from limbeck.errors import ImagesError, OptionError, counted
from limbeck.images.decode import Unreadable
from limbeck.records import Detections, Skipped, Target


@dataclass(frozen=True, repr=False)
class Seen:
    """What was found on one image, the surest first; boxes in the pixels of the image."""

    name: str
    boxes: Tensor  # float32 [K, 4]: x1, y1, x2, y2
    scores: Tensor  # float32 [K]
    labels: Tensor  # int64 [K], into `classes`
    classes: tuple[str, ...]  # of the model

    @property
    def names(self) -> tuple[str, ...]:
        """The class of each box."""
        return tuple(self.classes[label] for label in self.labels.tolist())

    @property
    def counts(self) -> dict[str, int]:
        """How many boxes there are of each class that there is, the most first."""
        return dict(Counter(self.names).most_common())

    def __len__(self) -> int:
        return len(self.scores)

    def __repr__(self) -> str:
        told = ", ".join(f"{count:,} {name}" for name, count in self.counts.items())
        return f"<Seen {self.name}: {counted(len(self), 'box', 'boxes')}{told and f' ({told})'}>"

    def above(self, score: float) -> "Seen":
        """The boxes of at least this score.

        >>> boxes, labels = torch.zeros(2, 4), torch.tensor([0, 0])
        >>> Seen("cats.jpg", boxes, torch.tensor([0.9, 0.2]), labels, ("cat",)).above(0.5)
        <Seen cats.jpg: 1 box (1 cat)>
        """
        sure = self.scores >= score
        return replace(self, boxes=self.boxes[sure], scores=self.scores[sure], labels=self.labels[sure])

    @property
    def detections(self) -> Detections:
        return Detections(self.boxes, self.scores, self.labels)

    def to_dict(self) -> dict[str, Any]:
        rows = zip(self.names, self.scores.tolist(), self.boxes.tolist(), strict=True)
        return {"file": self.name, "objects": [{"class": c, "score": s, "box": box} for c, s, box in rows]}

    def to_supervision(self) -> Any:
        """The same as `supervision.Detections`."""
        try:
            import supervision  # type: ignore[import-not-found, unused-ignore]
        except ImportError:
            raise OptionError(
                "supervision is not installed", expected="supervision", hint="pip install supervision"
            ) from None
        return supervision.Detections(
            xyxy=self.boxes.numpy(),
            confidence=self.scores.numpy(),
            class_id=self.labels.numpy(),
            data={"class_name": list(self.names)},
        )


@dataclass(frozen=True)
class LoadedDetector:
    """A detector in eval mode, and what is known of it."""

    model: Detector
    classes: tuple[str, ...]
    look: Look
    card: DetectorCard

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def predict(
        self, images: Any, *, score: float = 0.3, batch: int = 8, skipped: list[Skipped] | None = None
    ) -> list[Seen]:
        """What is found on one image or many with this score or more: paths, bytes, PIL images, or uint8 arrays.

        An unreadable image is an error, unless a list is given that takes it.
        """
        return list(self.seen(_read(many(images), skipped), score=score, batch=batch))

    def seen(self, photos: Iterable[tuple[str, Tensor]], *, score: float = 0.3, batch: int = 8) -> Iterator[Seen]:
        """What is found on photos as they come: names, and pixels uint8 [3, H, W]."""
        names: list[str] = []
        views: list[View] = []
        for name, pixels in photos:
            names.append(name)
            views.append(self.view(pixels))
            if len(names) == batch:
                yield from self._told(names, views, score)
                names, views = [], []
        if names:
            yield from self._told(names, views, score)

    def view(self, pixels: Tensor) -> View:
        """A photo as the detector evaluates it."""
        nothing = Target(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
        return self.look.policy().show(pixels.permute(1, 2, 0).numpy(), nothing, Random(0))

    def preprocess(self, views: list[View]) -> DetectionBatch:
        """Views as one batch on the model's device."""
        rows = list(range(len(views)))
        return collated(views, rows, rows, self.look.policy().divisor, {}, {}).to(self.device)

    def find(self, batch: DetectionBatch) -> Found:
        """All that is found on a batch, in the pixels of the images themselves."""
        return found_by(self.model, self.look, "float32", batch)

    def _told(self, names: list[str], views: list[View], score: float) -> Iterator[Seen]:
        found = Found(*(column.cpu() for column in self.find(self.preprocess(views))))
        for name, each in zip(names, found.detections(), strict=True):
            yield Seen(name, each.boxes, each.scores, each.labels, self.classes).above(score)


def load_detector(path: str | Path, *, device: str = "cpu") -> LoadedDetector:
    """The detector of a run or checkpoint folder, in eval mode."""
    model, card = read_detector(path)
    return LoadedDetector(model.eval().to(device_named(device)), tuple(card.classes), card.look, card)


def _read(images: Iterable[Any], skipped: list[Skipped] | None) -> Iterator[tuple[str, Tensor]]:
    for number, image in enumerate(images):
        name = str(image) if isinstance(image, str | Path) else f"image {number}"
        try:
            yield name, pixels_of(image)
        except (Unreadable, OSError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            if skipped is None:
                raise ImagesError(
                    f"{name} cannot be read: {reason}", expected="a photo", hint="leave it out"
                ) from error
            skipped.append(Skipped(name, reason))
