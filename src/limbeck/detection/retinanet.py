"""RetinaNet: one stage, and a loss that listens to what is hard (arXiv 1708.02002)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.detection.anchors import Anchors
from limbeck.detection.batch import Found, Targets
from limbeck.detection.detector import Design, Detector, Look
from limbeck.detection.matching import NOBODY, by_overlap
from limbeck.detection.rows import owners_rows, rows
from limbeck.detection.suppress import Limits, in_original_pixels, joined, suppressed, surest_pairs
from limbeck.layers.boxes import decode, encode
from limbeck.layers.pyramid import Pyramid

ANCHORS = Anchors((8, 16, 32, 64, 128), (4.0, 4 * 2 ** (1 / 3), 4 * 2 ** (2 / 3)), (0.5, 1.0, 2.0))
DEVIATIONS = (1.0, 1.0, 1.0, 1.0)
KEPT = Limits(score=0.05, pairs=1000, overlap=0.5, detections=100)
_ALPHA, _GAMMA = 0.25, 2
_EPS = torch.finfo(torch.float32).eps


class Raw(NamedTuple):
    """What depends on the pixels alone, one tensor a level."""

    logits: list[Tensor]  # [B, N, classes]
    deltas: list[Tensor]  # [B, N, 4]
    anchors: list[Tensor]  # [N, 4]


@dataclass(frozen=True)
class Variant:
    """Where the references differ: PaddleDetection's by default is mmdetection's with other fields.

    `coarser_from_backbone`: the further maps begin from the backbone's last one, not from the pyramid's.
    `whole_places`: the best of a level are places, not pairs of place and class. `clip`: boxes end with the image.
    """

    coarser_from_backbone: bool = True
    relu_between: bool = False
    whole_places: bool = False
    clip: bool = True


MMDETECTION = Variant()
PADDLEDETECTION = Variant(coarser_from_backbone=False, relu_between=True, whole_places=True, clip=False)


class RetinaNet(Detector):
    """A backbone of strides 8, 16 and 32, a pyramid of five maps, and one head for all of them."""

    sound_in_bfloat16 = True

    def __init__(
        self,
        backbone: nn.Module,
        channels: Sequence[int],
        classes: int,
        *,
        variant: Variant = MMDETECTION,
        kept: Limits = KEPT,
        padded_to: int = 32,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.pyramid = Pyramid(
            channels, coarser=2, from_backbone=variant.coarser_from_backbone, relu_between=variant.relu_between
        )
        self.class_tower, self.box_tower = _tower(), _tower()
        self.class_head = nn.Conv2d(256, ANCHORS.boxes_per_cell * classes, 3, padding=1)
        self.box_head = nn.Conv2d(256, ANCHORS.boxes_per_cell * 4, 3, padding=1)
        self.classes, self.variant, self.kept, self.padded_to = classes, variant, kept, padded_to
        for layer in (*self.class_tower, *self.box_tower, self.class_head, self.box_head):
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, std=0.01)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        nn.init.constant_(self.class_head.bias, -math.log(99))  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> Raw:
        maps = self.pyramid(self.backbone(images))
        logits = [rows(self.class_head(self.class_tower(each)), self.classes) for each in maps]
        deltas = [rows(self.box_head(self.box_tower(each)), 4) for each in maps]
        return Raw(logits, deltas, ANCHORS.boxes([(each.shape[2], each.shape[3]) for each in maps], images.device))

    def losses(self, raw: Raw, targets: Targets, frames: Tensor, divisors: Tensor | None = None) -> dict[str, Tensor]:
        """Focal loss of all anchors; absolute differences of the deltas of those that own a box."""
        logits, deltas = torch.cat(raw.logits, 1).float(), torch.cat(raw.deltas, 1).float()
        every = torch.cat(raw.anchors)
        valid = self._valid(raw, frames)
        match = self._match(raw, targets, valid)
        owned = (match >= 0) & valid
        counted = (owned | (match == NOBODY)) & valid
        owner = match.clamp(min=0)
        labels = owners_rows(targets.labels, owner)
        true = owned[..., None] & (labels[..., None] == torch.arange(self.classes, device=labels.device))
        divisor = (_count(owned) if divisors is None else divisors)[0] + _EPS
        boxes = torch.where(owned[..., None], owners_rows(targets.boxes, owner), every)
        apart = (deltas - encode(boxes, every, DEVIATIONS)).abs().sum(2)
        return {
            "focal": (focal(logits, true.to(logits.dtype)).sum(2) * counted).sum() / divisor,
            "boxes": (apart * owned).sum() / divisor,
        }

    def divisors(self, raw: Raw, targets: Targets, frames: Tensor) -> Tensor:
        """The anchors that own a box, of each image one at least."""
        valid = self._valid(raw, frames)
        return _count((self._match(raw, targets, valid) >= 0) & valid)

    def _match(self, raw: Raw, targets: Targets, valid: Tensor) -> Tensor:
        every = torch.cat(raw.anchors)
        return by_overlap(every, targets.boxes, targets.there, valid, above=0.5, below=0.4, claim_ties=True)

    def boxes(self, raw: Raw, frames: Tensor) -> Found:
        """The final detections, in the pixels of the original images."""
        candidates = []
        for logits, deltas, anchors in zip(*raw, strict=True):
            shares = logits.float().sigmoid()
            chosen = None
            if self.variant.whole_places and shares.shape[1] > self.kept.pairs:
                chosen = logits.float().amax(2).topk(self.kept.pairs, dim=1).indices
                shares = shares.gather(1, chosen[..., None].expand(-1, -1, self.classes))
            most = shares.shape[1] * shares.shape[2] if self.variant.whole_places else self.kept.pairs
            scores, place, label = surest_pairs(shares, self.kept.score, most)
            place = place if chosen is None else chosen.gather(1, place)
            picked = deltas.float().gather(1, place[..., None].expand(-1, -1, 4))
            candidates.append((decode(picked, anchors[place], DEVIATIONS), scores, label))
        found, scores, labels = joined(candidates)
        own = in_original_pixels(found, frames, clip=self.variant.clip)
        return suppressed(own, scores, labels, overlap=self.kept.overlap, most=self.kept.detections)

    def _valid(self, raw: Raw, frames: Tensor) -> Tensor:
        """The anchors around places inside each image's own padded area, [B, N]."""
        own = (frames[:, [1, 0]] / self.padded_to).ceil() * self.padded_to  # width, height
        every = torch.cat(raw.anchors)
        return (((every[:, :2] + every[:, 2:]) / 2) < own[:, None]).all(2)


def focal(logits: Tensor, true: Tensor) -> Tensor:
    """Cross-entropy of each class by itself, with less of it where the answer is right already."""
    share = logits.sigmoid()
    missed = (1 - share) * true + share * (1 - true)
    balance = _ALPHA * true + (1 - _ALPHA) * (1 - true)
    return F.binary_cross_entropy_with_logits(logits, true, reduction="none") * balance * missed.pow(_GAMMA)


def _tower() -> nn.Sequential:
    blocks = [(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU()) for _ in range(4)]
    return nn.Sequential(*(layer for block in blocks for layer in block))


def _count(owned: Tensor) -> Tensor:
    return owned.sum(1).clamp(min=1).sum()[None].float()


def _on(classes: int, backbone: Any) -> RetinaNet:
    return RetinaNet(backbone, backbone.channels, classes)


DESIGN = Design(_on, Look((800, 1333), keep_ratio=True), strides=(8, 16, 32))
