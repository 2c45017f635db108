"""RetinaNet's parts: anchors and matches are the reference's; both references' variants answer."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from limbeck.detection.anchors import Anchors
from limbeck.detection.batch import Targets, stacked
from limbeck.detection.gfl import grid
from limbeck.detection.matching import by_overlap
from limbeck.detection.retinanet import ANCHORS, MMDETECTION, PADDLEDETECTION, Raw, RetinaNet, Variant, focal
from limbeck.records import Frame, Target
from tests.detection.told import SEEDS, fixture

CPU = torch.device("cpu")
SIZES = [(24, 32), (12, 16), (6, 8), (3, 4), (2, 2)]


def test_anchors_are_the_reference_s(shared: Path) -> None:
    told = fixture(shared, "priors_retinanet_192x256")
    ours = ANCHORS.boxes([tuple(each) for each in told["feat"].tolist()], CPU)
    assert [len(each) for each in ours] == told["num_level"].tolist()
    assert (torch.cat(ours) - told["priors"]).abs().max() < 1e-4
    told = fixture(shared, "priors_rpn_192x256")
    ours = Anchors((4, 8, 16, 32, 64), (8.0,), (0.5, 1.0, 2.0)).boxes([tuple(e) for e in told["feat"].tolist()], CPU)
    assert (torch.cat(ours) - told["priors"]).abs().max() < 1e-4


@pytest.mark.parametrize("seed", SEEDS)
def test_matches_with_shared_claims_are_the_reference_s(shared: Path, seed: int) -> None:
    told, anchors = fixture(shared, f"maxiou_s{seed}"), fixture(shared, f"atss_s{seed}")["priors"]
    boxes = told["gt_bboxes"][None]
    there = torch.ones(boxes.shape[:2], dtype=torch.bool)
    for name, limits in (
        ("retina", {"above": 0.5, "below": 0.4, "claim_from": 0.0}),
        ("rpn", {"above": 0.7, "below": 0.3, "claim_from": 0.3}),
    ):
        match = by_overlap(anchors, boxes, there, claim_ties=True, **limits)[0]
        theirs = told[f"{name}_gt_inds"]
        assert torch.equal(torch.where(match == -2, -1, match + 1), theirs)


def headless(variant: Variant) -> RetinaNet:
    return RetinaNet(nn.Identity(), [8, 8, 8], 5, variant=variant)


def raw() -> Raw:
    torch.manual_seed(0)
    anchors = ANCHORS.boxes(SIZES, CPU)
    logits = [torch.randn(2, len(each), 5, requires_grad=True) for each in anchors]
    return Raw(logits, [torch.randn(2, len(each), 4, requires_grad=True) for each in anchors], anchors)


def found(variant: Variant, answers: Raw) -> list[Any]:
    return (
        headless(variant).boxes(answers, stacked([Frame(180, 250, 360, 500), Frame(192, 256, 192, 256)])).detections()
    )


def test_the_variants_differ_where_the_references_do() -> None:
    answers = raw()
    ours, theirs = found(MMDETECTION, answers)[0], found(PADDLEDETECTION, answers)[0]
    assert len(ours) == len(theirs) == 100
    assert ours.boxes.min() >= 0
    assert ours.boxes[:, 2].max() <= 500
    assert theirs.boxes.min() < 0
    assert headless(PADDLEDETECTION).pyramid.coarser[0].in_channels == 256
    assert headless(MMDETECTION).pyramid.coarser[0].in_channels == 8


def test_losses_of_padded_places_and_of_no_objects() -> None:
    answers, nothing = raw(), Target(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
    some = Target(torch.tensor([[10.0, 10.0, 90.0, 70.0]]), torch.tensor([3]))
    model, frames = headless(MMDETECTION), torch.tensor([[192.0, 256, 192, 256], [96.0, 128, 96, 128]])
    empty = model.losses(answers, Targets.of([nothing, nothing]), frames)
    assert empty["boxes"] == 0
    assert empty["focal"].isfinite()
    whole = model.losses(answers, Targets.of([nothing, nothing]), frames[[0, 0]])
    assert whole["focal"] > empty["focal"]
    losses = model.losses(answers, Targets.of([some, nothing]), frames)
    assert losses["boxes"] > 0
    (losses["focal"] + losses["boxes"]).backward()
    assert all(each.grad is not None and each.grad.isfinite().all() for each in answers.logits)


def test_focal_loss_is_its_formula() -> None:
    logits, true = torch.tensor([2.0, -1.0]), torch.tensor([1.0, 0.0])
    p = logits.sigmoid()
    by_hand = torch.stack([-0.25 * (1 - p[0]) ** 2 * p[0].log(), -0.75 * p[1] ** 2 * (1 - p[1]).log()])
    torch.testing.assert_close(focal(logits, true), by_hand)


def test_grid_and_anchors_share_their_places() -> None:
    (boxes,) = Anchors((8,), (8.0,), (1.0,)).boxes([(3, 4)], CPU)
    assert torch.equal((boxes[:, :2] + boxes[:, 2:]) / 2, grid((3, 4), 8, CPU))
