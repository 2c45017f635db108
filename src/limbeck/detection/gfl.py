"""GFL: quality and class in one score, each side of a box as a distribution (arXiv 2006.04388)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.detection.atss import Matched, adaptive
from limbeck.detection.batch import Found, Targets
from limbeck.detection.dense import Dense, Raw
from limbeck.detection.detector import Design, Look
from limbeck.detection.remembered import remembered
from limbeck.detection.rows import owners_rows, rows
from limbeck.detection.suppress import Limits, in_original_pixels, joined, suppressed, surest_pairs
from limbeck.layers.boxes import around, pairwise_quality, reach
from limbeck.layers.pyramid import Pyramid

STRIDES = (8, 16, 32, 64, 128)
KEPT = Limits(score=0.05, pairs=1000, overlap=0.6, detections=100)
BINS = 17
_FARTHEST = BINS - 1 - 0.1
_SQUARE = 8  # side of a prior, in strides
_EPS = torch.finfo(torch.float32).eps


@dataclass(frozen=True)
class Weighing:
    """What the losses are multiplied with, and how the divisor of the box losses is kept from zero."""

    boxes: float = 2.0
    distributions: float = 0.25
    least: float | None = 1.0  # None: a millionth is added instead


class GFL(Dense):
    """A backbone of strides 8, 16 and 32, a pyramid of five maps, and one head for all of them."""

    bins, strides, divided = BINS, STRIDES, 2
    sound_in_bfloat16 = True

    def __init__(
        self,
        backbone: nn.Module,
        channels: Sequence[int],
        classes: int,
        *,
        kept: Limits = KEPT,
        weighing: Weighing = Weighing(),
        padded_to: int = 32,
    ) -> None:
        super().__init__()
        self.backbone, self.pyramid = backbone, Pyramid(channels, coarser=2)
        self.class_tower, self.side_tower = _tower(), _tower()
        self.class_head = nn.Conv2d(256, classes, 3, padding=1)
        self.side_head = nn.Conv2d(256, 4 * BINS, 3, padding=1)
        self.scales = nn.Parameter(torch.ones(len(STRIDES)))
        self.classes, self.kept, self.weighing, self.padded_to = classes, kept, weighing, padded_to
        for conv in (*self.class_tower, *self.side_tower, self.class_head, self.side_head):
            if isinstance(conv, nn.Conv2d):
                nn.init.normal_(conv.weight, std=0.01)
        assert self.class_head.bias is not None
        nn.init.constant_(self.class_head.bias, -math.log(99))

    def forward(self, images: Tensor) -> Raw:
        maps = self.pyramid(self.backbone(images))
        logits = [rows(self.class_head(self.class_tower(each)), self.classes) for each in maps]
        sides = [
            (rows(self.side_head(self.side_tower(each)), 4 * BINS) * scale).float().unflatten(2, (4, BINS))
            for each, scale in zip(maps, self.scales, strict=True)
        ]
        sizes = [(each.shape[2], each.shape[3]) for each in maps]
        return Raw(logits, sides, [grid(size, stride, images.device) for size, stride in zip(sizes, STRIDES)], maps)

    def assign(self, raw: Raw, targets: Targets, frames: Tensor) -> Matched:
        """Which true box each place answers for; places outside an image's own padded area take no part."""
        return adaptive(self.priors(raw), targets.boxes, targets.there, self.valid(raw, frames))

    def priors(self, raw: Raw) -> list[Tensor]:
        """A square of eight strides around each place."""
        sides = [_SQUARE * stride / 2 for stride in STRIDES]
        return [torch.cat([points - half, points + half], 1) for points, half in zip(raw.points, sides)]

    def valid(self, raw: Raw, frames: Tensor) -> Tensor:
        """The places inside each image's own padded area, [B, N]."""
        own = (frames[:, [1, 0]] / self.padded_to).ceil() * self.padded_to  # width, height
        return (torch.cat(raw.points) < own[:, None]).all(2)

    def losses(
        self,
        raw: Raw,
        targets: Targets,
        frames: Tensor,
        divisors: Tensor | None = None,
        matched: Matched | None = None,
    ) -> dict[str, Tensor]:
        """Quality focal loss; generalised overlap and distribution focal loss of the places that own a box."""
        logits, sides = torch.cat(raw.logits, 1).float(), torch.cat(raw.sides, 1)
        stride = strides_of(raw)
        points = torch.cat(raw.points) / stride[:, None]
        matched = self.assign(raw, targets, frames) if matched is None else matched
        owned = matched.owner >= 0
        owner = matched.owner.clamp(min=0)
        truth = owners_rows(targets.boxes, owner) / stride[:, None]
        found = around(points, expected(sides))
        overlap, generalised = pairwise_quality(found, truth)
        weight = _sureness(logits) * owned
        quality = torch.where(owned, overlap.detach(), 0.0)
        labels = owners_rows(targets.labels, owner)
        true = owned[..., None] & (labels[..., None] == torch.arange(self.classes, device=labels.device))
        focal = quality_focal(logits, quality[..., None], true)
        count, total = _sums(owned, weight) if divisors is None else divisors
        divisor = total + 1e-6 if self.weighing.least is None else total.clamp(min=self.weighing.least)
        target = reach(points, truth).clamp(0, _FARTHEST)
        spread = distribution_focal(sides, target).sum(2) / 4
        return {
            "quality": (focal.sum(2) * self.valid(raw, frames)).sum() / (count + _EPS),
            "boxes": self.weighing.boxes * (weight * (1 - generalised)).sum() / (1 + _EPS) / divisor,
            "distributions": self.weighing.distributions * (weight * spread).sum() / divisor,
        }

    def divisors(self, raw: Raw, targets: Targets, frames: Tensor, matched: Matched | None = None) -> Tensor:
        """The places that own a box, of each image one at least; and how sure the model is there of any class."""
        matched = self.assign(raw, targets, frames) if matched is None else matched
        owned = matched.owner >= 0
        return _sums(owned, _sureness(torch.cat(raw.logits, 1).float()) * owned)

    def boxes(self, raw: Raw, frames: Tensor) -> Found:
        """The final detections, in the pixels of the original images."""
        candidates = []
        for logits, sides, points, stride in zip(raw.logits, raw.sides, raw.points, STRIDES):
            scores, place, label = surest_pairs(logits.float().sigmoid(), self.kept.score, self.kept.pairs)
            picked = sides.gather(1, place[..., None, None].expand(-1, -1, 4, BINS))
            candidates.append((around(points[place], expected(picked) * stride), scores, label))
        found, scores, labels = joined(candidates)
        own = in_original_pixels(found, frames)
        return suppressed(own, scores, labels, overlap=self.kept.overlap, most=self.kept.detections)


def expected(sides: Tensor) -> Tensor:
    """The mean of each distribution over the bins, in strides: [..., 4].

    >>> expected(torch.zeros(4, BINS))
    tensor([8., 8., 8., 8.])
    """
    return sides.softmax(-1) @ torch.arange(BINS, dtype=sides.dtype, device=sides.device)


def quality_focal(logits: Tensor, wanted: Tensor, true: Tensor) -> Tensor:
    """Cross-entropy to a quality where a class is `true`, to zero elsewhere, weighed by the squared distance."""
    share = logits.sigmoid()
    target = torch.where(true, wanted, 0.0)
    return F.binary_cross_entropy_with_logits(logits, target, reduction="none") * (target - share).square()


def distribution_focal(sides: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy to the two bins beside the target, by nearness: [...] of sides [..., BINS]."""
    low = target.floor()
    share = target - low
    logs = sides.log_softmax(-1)
    index = low.long()[..., None]
    below, above = logs.gather(-1, index)[..., 0], logs.gather(-1, index + 1)[..., 0]
    return -(below * (1 - share) + above * share)


def _sureness(logits: Tensor) -> Tensor:
    return logits.detach().sigmoid().amax(2)


def _sums(owned: Tensor, weight: Tensor) -> Tensor:
    return torch.stack([owned.sum(1).clamp(min=1).sum().to(weight.dtype), weight.sum()])


def strides_of(raw: Raw) -> Tensor:
    """The stride of each place, [N]."""
    parts = [points.new_full((len(points),), stride) for points, stride in zip(raw.points, STRIDES)]
    return torch.cat(parts)


@remembered
def grid(size: tuple[int, int], stride: int, device: torch.device) -> Tensor:
    """The places of a map, row by row: [H x W, 2]."""
    y, x = (torch.arange(count, device=device, dtype=torch.float32) * stride for count in size)
    return torch.stack([x.expand(size), y[:, None].expand(size)], -1).flatten(0, 1)


def _tower() -> nn.Sequential:
    blocks = [(nn.Conv2d(256, 256, 3, padding=1, bias=False), nn.GroupNorm(32, 256), nn.ReLU()) for _ in range(4)]
    return nn.Sequential(*(layer for block in blocks for layer in block))


def _on(classes: int, backbone: Any) -> GFL:
    return GFL(backbone, backbone.channels, classes)


DESIGN = Design(_on, Look((800, 1333), keep_ratio=True), strides=(8, 16, 32))
