"""GFL against the running reference, part by part: assignment, losses, gradients, detections."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from limbeck.detection.atss import adaptive
from limbeck.detection.batch import Targets, stacked
from limbeck.detection.dense import Raw
from limbeck.detection.gfl import GFL, STRIDES, Weighing, distribution_focal, expected, grid, quality_focal
from limbeck.layers.boxes import pairwise_quality
from limbeck.records import Frame, Target
from tests.detection.told import SEEDS, fixture, gfl_raw

LEVELS = range(5)


def posed(shared: Path, seed: int) -> tuple[dict[str, Tensor], Targets, Tensor]:
    told = fixture(shared, f"gfl_ld_head_s{seed}")
    shapes = [tuple(map(int, told[f"img_shape{image}"])) for image in range(2)]
    targets = Targets.of([Target(told[f"gt{image}"], told[f"gl{image}"]) for image in range(2)])
    return told, targets, stacked([Frame(*shape, *shape) for shape in shapes])


def headless(**changes: Any) -> GFL:
    return GFL(nn.Identity(), [8, 8, 8], 8, padded_to=1, **changes)


@pytest.mark.parametrize("seed", SEEDS)
def test_assignment_and_valid_areas_are_the_reference_s(shared: Path, seed: int) -> None:
    told, targets, frames = posed(shared, seed)
    raw, *_ = gfl_raw(told)
    model = headless()
    owner = model.assign(raw, targets, frames).owner
    labels = torch.where(owner >= 0, targets.labels.gather(1, owner.clamp(min=0)), 8)
    assert torch.equal(labels, torch.cat([told[f"labels{level}"] for level in LEVELS], 1))
    weights = torch.cat([told[f"label_weights{level}"] for level in LEVELS], 1)
    assert torch.equal(model.valid(raw, frames), weights > 0)
    assert not weights.all()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("least", "prefix"), [(1.0, "gfl"), (None, "ld")])
def test_losses_are_the_reference_s(shared: Path, seed: int, least: float | None, prefix: str) -> None:
    told, targets, frames = posed(shared, seed)
    raw, logits, sides = gfl_raw(told)
    losses = headless(weighing=Weighing(least=least)).losses(raw, targets, frames)
    for ours, theirs in (("quality", "cls"), ("boxes", "bbox"), ("distributions", "dfl")):
        torch.testing.assert_close(losses[ours], told[f"{prefix}_loss_{theirs}"].sum(), rtol=2e-6, atol=0)
    if prefix == "gfl":
        torch.stack(list(losses.values())).sum().backward()
        slopes = fixture(shared, f"gfl_ld_head_grads_s{seed}")
        for name, inputs in (("gfl_grad_cls", logits), ("gfl_grad_bbox", sides)):
            largest = max(slopes[f"{name}{level}"].abs().max() for level in LEVELS)
            for level, each in enumerate(inputs):
                assert each.grad is not None
                assert (each.grad - slopes[f"{name}{level}"]).abs().max() <= 1e-6 * largest


@pytest.mark.parametrize("seed", SEEDS)
def test_from_the_reference_s_raw_tensors_the_detections_are_its_own(shared: Path, seed: int) -> None:
    told, _, frames = posed(shared, seed)
    raw, *_ = gfl_raw(told)
    for image, found in enumerate(headless().boxes(raw, frames).detections()):
        assert torch.equal(found.labels, told[f"det{image}_labels"])
        assert torch.equal(found.boxes, told[f"det{image}_bboxes"])
        assert torch.equal(found.scores, told[f"det{image}_scores"])


@pytest.mark.parametrize("seed", SEEDS)
def test_adaptive_matches_are_the_reference_s(shared: Path, seed: int) -> None:
    told = fixture(shared, f"atss_s{seed}")
    boxes = told["gt_bboxes"][None]
    matched = adaptive(
        told["priors"].split(told["num_level"].tolist()),
        boxes,
        torch.ones(boxes.shape[:2], dtype=torch.bool),
        torch.ones(1, len(told["priors"]), dtype=torch.bool),
    )
    assert torch.equal(matched.owner[0] + 1, told["gt_inds"])


@pytest.mark.parametrize("seed", SEEDS)
def test_the_terms_are_the_reference_s(shared: Path, seed: int) -> None:
    told = fixture(shared, f"qfl_s{seed}")
    true = told["label"][:, None] == torch.arange(80)
    focal = quality_focal(told["pred"], told["score"][:, None], true).sum(1) * told["weight"]
    torch.testing.assert_close(focal, told["loss_none"], rtol=1e-5, atol=1e-6)
    told = fixture(shared, f"dfl_s{seed}")
    spread = 0.25 * distribution_focal(told["pred"], told["target"]) * told["weight"]
    torch.testing.assert_close(spread, told["loss_none"], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(expected(told["pred"].view(40, 4, 17)), told["integral"], rtol=1e-6, atol=1e-6)
    told = fixture(shared, f"giou_s{seed}")
    overlap, generalised = pairwise_quality(told["pred"], told["target"])
    torch.testing.assert_close(overlap, told["iou"], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(2 * (1 - generalised) * told["weight"], told["loss_none"], rtol=1e-5, atol=1e-6)


def small_raw() -> Raw:
    torch.manual_seed(0)
    points = [grid((64 // stride or 1, 64 // stride or 1), stride, torch.device("cpu")) for stride in STRIDES]
    logits = [torch.randn(2, len(each), 8, requires_grad=True) for each in points]
    return Raw(logits, [torch.randn(2, len(each), 4, 17, requires_grad=True) for each in points], points)


def test_a_batch_with_no_object_at_all_trains_without_nan() -> None:
    raw = small_raw()
    nothing = Target(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
    losses = headless().losses(raw, Targets.of([nothing, nothing]), torch.full((2, 4), 64.0))
    torch.stack(list(losses.values())).sum().backward()
    assert losses["quality"] > 0
    assert losses["boxes"] == losses["distributions"] == 0
    assert all(each.grad is not None and each.grad.isfinite().all() for each in raw.logits)


def test_a_neighbour_s_padding_changes_nothing() -> None:
    raw, frames = small_raw(), torch.full((2, 4), 64.0)
    one = Target(torch.tensor([[4.0, 4.0, 40.0, 36.0]]), torch.tensor([1]))
    three = Target(torch.tensor([[0.0, 0, 60, 60], [30, 30, 50, 44], [1, 1, 9, 9]]), torch.tensor([0, 2, 1]))
    both = headless().assign(raw, Targets.of([one, three]), frames).owner
    for image, target in enumerate((one, three)):
        alone = Raw(*([x[[image]] for x in each] for each in raw[:2]), raw.points)
        assert torch.equal(headless().assign(alone, Targets.of([target]), frames[:1]).owner[0], both[image])


def test_assignment_and_losses_wait_for_no_host() -> None:
    raw = small_raw()
    with torch.device("meta"):
        labels, there = torch.empty(2, 5, dtype=torch.int64), torch.empty(2, 5, dtype=torch.bool)
        bare = Raw(*([x.detach().to("meta") for x in each] for each in raw))
        losses = headless().losses(bare, Targets(torch.empty(2, 5, 4), labels, there), torch.empty(2, 4))
    assert {each.device.type for each in losses.values()} == {"meta"}
