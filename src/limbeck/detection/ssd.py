"""SSD and SSDLite: one look at a picture, boxes from six or seven maps of it (arXiv 1512.02325)."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.detection.batch import Found, Targets
from limbeck.detection.detector import Detector
from limbeck.detection.matching import by_overlap
from limbeck.detection.priors import Level, priors
from limbeck.detection.rows import owners_rows, rows
from limbeck.detection.suppress import Limits, in_original_pixels, joined, suppressed, surest_pairs
from limbeck.layers.boxes import decode, encode

DEVIATIONS = (0.1, 0.1, 0.2, 0.2)
KEPT = Limits(score=0.02, pairs=1000, overlap=0.45, detections=200)


class Raw(NamedTuple):
    """What depends on the pixels alone, one tensor a level; the background is the last class."""

    logits: list[Tensor]  # [B, N, classes + 1]
    deltas: list[Tensor]  # [B, N, 4]
    priors: list[Tensor]  # [N, 4]


# boxes, scores and classes of what may be found, [B, K, ...] each
Candidates = Callable[[Raw, int, Limits], tuple[Tensor, ...]]


def of_each_level(raw: Raw, classes: int, kept: Limits) -> tuple[Tensor, ...]:
    """The surest pairs of place and class of each level."""
    candidates = []
    for logits, deltas, level in zip(*raw, strict=True):
        shares = logits.float().softmax(2)[..., :classes]
        scores, place, label = surest_pairs(shares, kept.score, kept.pairs)
        picked = deltas.float().gather(1, place[..., None].expand(-1, -1, 4))
        candidates.append((decode(picked, level[place], DEVIATIONS), scores, label))
    return joined(candidates)


def of_each_class(raw: Raw, classes: int, kept: Limits) -> tuple[Tensor, ...]:
    """The surest places of each class, whatever their level."""
    shares = torch.cat(raw.logits, 1).float().softmax(2)[..., :classes].transpose(1, 2)
    scores, place = shares.topk(min(kept.pairs, shares.shape[2]))
    label = torch.arange(classes, device=place.device)[:, None].expand_as(place)
    scores, place, label = (each.flatten(1) for each in (torch.where(scores > kept.score, scores, 0.0), place, label))
    picked = torch.cat(raw.deltas, 1).float().gather(1, place[..., None].expand(-1, -1, 4))
    return decode(picked, torch.cat(raw.priors)[place], DEVIATIONS), scores, label


class SSD(Detector):
    """A backbone's maps and further ones behind its last, a head on each; which boxes are whose is `levels`."""

    def __init__(
        self,
        backbone: nn.Module,
        first: nn.Module,
        extras: Sequence[nn.Module],
        class_heads: Sequence[nn.Module],
        box_heads: Sequence[nn.Module],
        levels: Sequence[Level],
        classes: int,
        kept: Limits = KEPT,
        candidates: Candidates = of_each_level,
    ) -> None:
        super().__init__()
        self.backbone, self.first = backbone, first
        self.extras, self.class_heads, self.box_heads = map(nn.ModuleList, (extras, class_heads, box_heads))
        self.levels, self.classes, self.kept, self.candidates = tuple(levels), classes, kept, candidates

    def maps(self, images: Tensor) -> list[Tensor]:
        """What the heads look at, the finest first."""
        maps: list[Tensor] = list(self.backbone(images))
        maps[0] = self.first(maps[0])
        for extra in self.extras:
            maps.append(extra(maps[-1]))
        return maps

    def forward(self, images: Tensor) -> Raw:
        maps = self.maps(images)
        logits = [rows(head(each), self.classes + 1) for head, each in zip(self.class_heads, maps)]
        deltas = [rows(head(each), 4) for head, each in zip(self.box_heads, maps)]
        return Raw(
            logits, deltas, priors(self.levels, [(each.shape[2], each.shape[3]) for each in maps], images.device)
        )

    def losses(self, raw: Raw, targets: Targets, frames: Tensor, divisors: Tensor | None = None) -> dict[str, Tensor]:
        """Cross-entropy of matched priors and of three times as many hard backgrounds; smooth L1 of the deltas."""
        logits, deltas = torch.cat(raw.logits, 1).float(), torch.cat(raw.deltas, 1).float()
        every = torch.cat(raw.priors)
        match = self._match(raw, targets)
        matched = match >= 0
        owner = match.clamp(min=0)
        count = matched.sum(1)
        labels = owners_rows(targets.labels, owner).masked_fill(~matched, self.classes)
        boxes = owners_rows(targets.boxes, owner)
        surprise = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view_as(match)
        hardest = surprise.masked_fill(matched, -1.0).sort(1, descending=True).values
        rank = torch.arange(hardest.shape[1], device=hardest.device)
        mined = hardest.clamp(min=0) * (rank < 3 * count[:, None])
        wanted = encode(torch.where(matched[..., None], boxes, every), every, DEVIATIONS)
        apart = F.smooth_l1_loss(deltas, wanted, reduction="none").sum(2) * matched
        divisor = (_count(match) if divisors is None else divisors)[0]
        return {
            "classification": ((surprise * matched).sum() + mined.sum()) / divisor,
            "boxes": apart.sum() / divisor,
        }

    def divisors(self, raw: Raw, targets: Targets, frames: Tensor) -> Tensor:
        """The matched priors, of each image one at least."""
        return _count(self._match(raw, targets))

    def _match(self, raw: Raw, targets: Targets) -> Tensor:
        return by_overlap(torch.cat(raw.priors), targets.boxes, targets.there, above=0.5, below=0.5)

    def boxes(self, raw: Raw, frames: Tensor) -> Found:
        """The final detections, in the pixels of the original images."""
        found, scores, labels = self.candidates(raw, self.classes, self.kept)
        own = in_original_pixels(found, frames)
        return suppressed(own, scores, labels, overlap=self.kept.overlap, most=self.kept.detections)


def _count(match: Tensor) -> Tensor:
    return (match >= 0).sum(1).clamp(min=1).sum()[None].float()
