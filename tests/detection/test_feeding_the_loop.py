"""The one training loop takes a detector's batches as they are; a stopped run goes on to the same weights."""

from collections.abc import Generator
from itertools import islice
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from limbeck.detection.dataset import DetectionSet
from limbeck.detection.loader import DetectionBatch, Loader
from limbeck.detection.policies import ssd
from limbeck.detection.priors import Level
from limbeck.detection.ssd import SSD
from limbeck.scenes.dataset import draw_boxes_dataset
from limbeck.step import Step
from limbeck.training.attempt import Batch
from limbeck.training.loop import Batches
from limbeck.training.plan import Plan
from tests.training.toy import same, train

PLAN = Plan(steps=6, steps_per_epoch=3, batch=4, lr=0.01, log_every=1, save_every=2)


class Maps(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Sequential(nn.Conv2d(3, 8, 3, 4, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU())

    def forward(self, images: Tensor) -> list[Tensor]:
        return [self.one(images)]


class Detecting(Step):
    def __init__(self, classes: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        level = Level(8, 12, 24, (2,))
        heads = [nn.Conv2d(8, width, 3, 1, 1) for width in (4 * (classes + 1), 16)]
        self.student = self.detector = SSD(Maps(), nn.Identity(), [], heads[:1], heads[1:], [level], classes)
        self.watched = {}

    def forward(self, batch: DetectionBatch) -> dict[str, Tensor]:
        images = batch.normalised((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
        return self.detector.losses(self.detector(images), batch.targets, batch.frames)


def test_the_loop_trains_on_it_and_goes_on_where_it_was(tmp_path: Path) -> None:
    draw_boxes_dataset(tmp_path / "set", 12, seed=2, size=40, workers=1, shown=False)
    photos = DetectionSet.open(tmp_path / "set", workers=0, shown=False)
    batches: Batches = Loader(photos, ssd((32, 32)), batch=4, steps=PLAN.steps, seed=5)
    whole = train(tmp_path / "whole", PLAN, Detecting(12), batches)

    def cut(done: int, replaced: dict[int, int]) -> Generator[Batch, None, None]:
        yield from islice(batches(done, replaced), 3)
        raise OSError("the machine goes down")

    with pytest.raises(OSError, match="goes down"):
        train(tmp_path / "parts", PLAN, Detecting(12), cut)
    assert same(train(tmp_path / "parts", PLAN, Detecting(12), batches), whole)
