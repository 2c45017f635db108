"""The terms of localization distillation against its authors' code and mmdetection's."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from limbeck.detection.atss import Matched, adaptive
from limbeck.detection.batch import Targets, stacked
from limbeck.detection.dense import Raw
from limbeck.detection.gfl import GFL, STRIDES, Weighing, grid
from limbeck.detection.rows import rows
from limbeck.ld.regions import near_objects, nearness, surroundings
from limbeck.ld.terms import around_objects, of_classes, of_features, on_objects, softened
from limbeck.records import Frame, Target
from tests.detection.told import SEEDS, fixture, gfl_raw, sides_of

LEVELS = range(5)


def student() -> GFL:
    return GFL(nn.Identity(), [8, 8, 8], 8, padded_to=1, weighing=Weighing(least=None))


def sure(raw: Raw, matched: Matched) -> Tensor:
    """The student's surest class at the places that own a box."""
    return torch.cat(raw.logits, 1).detach().sigmoid().amax(2) * (matched.owner >= 0)


@pytest.mark.parametrize("seed", SEEDS)
def test_softened_divergence(shared: Path, seed: int) -> None:
    told = fixture(shared, f"ld_kl_s{seed}")
    for prefix, temperature, weight in (("", 10.0, 0.25), ("cls_", 2.0, 10.0)):
        student = told[f"{prefix}pred"].requires_grad_()
        ours = weight * softened(student, told[f"{prefix}soft"], temperature) * told[f"{prefix}weight"]
        torch.testing.assert_close(ours, told[f"{prefix}loss_none"], rtol=1e-5, atol=1e-7)
        (ours.sum() / told[f"{prefix}avg_factor"]).backward()
        assert student.grad is not None
        slope = told[f"{prefix}grad_pred"]
        assert (student.grad - slope).abs().max() <= 1e-5 * slope.abs().max()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_main_region_of_mmdetection(shared: Path, seed: int) -> None:
    told = fixture(shared, f"gfl_ld_head_s{seed}")
    raw, _, sides = gfl_raw(told)
    shapes = [tuple(map(int, told[f"img_shape{image}"])) for image in range(2)]
    targets = Targets.of([Target(told[f"gt{image}"], told[f"gl{image}"]) for image in range(2)])
    frames, model = stacked([Frame(*shape, *shape) for shape in shapes]), student()
    weight = sure(raw, model.assign(raw, targets, frames))
    teacher = torch.cat([sides_of(told[f"soft{level}"]) for level in LEVELS], 1)
    apart = softened(torch.cat(raw.sides, 1), teacher, 10.0).sum(2)
    added = 0.25 * on_objects(apart, weight)
    torch.testing.assert_close(added, told["ld_loss_ld"].sum(), rtol=1e-5, atol=0)
    losses = model.losses(raw, targets, frames)
    (losses["quality"] + losses["boxes"] + losses["distributions"] + added).backward()
    slopes = fixture(shared, f"gfl_ld_head_grads_s{seed}")
    largest = max(slopes[f"ld_grad_bbox{level}"].abs().max() for level in LEVELS)
    for level, each in enumerate(sides):
        assert each.grad is not None
        assert (each.grad - slopes[f"ld_grad_bbox{level}"]).abs().max() <= 1e-5 * largest


@pytest.mark.parametrize("seed", SEEDS)
def test_regions(shared: Path, seed: int) -> None:
    told = fixture(shared, f"fork_vlr_s{seed}")
    anchors, boxes = told["anchors"], told["gt_bboxes"][None]
    there = torch.ones(boxes.shape[:2], dtype=torch.bool)
    levels = anchors.split(told["num_level"].tolist())
    matched = adaptive(levels, boxes, there, torch.ones(1, len(anchors), dtype=torch.bool))
    assert torch.equal(nearness(boxes, anchors, "iof")[0].T, told["diou_as_coded"])
    assert torch.equal(surroundings(levels, boxes, there, matched, "iof")[0], told["vlr_region"])
    assert torch.equal(near_objects(there, matched)[0], told["im_finegrained"] > 0)
    paper = surroundings(levels, boxes, there, matched, "diou")[0]
    assert (paper > 0).any()
    assert not torch.equal(paper, told["vlr_region"])


def test_nearness_is_the_paper_s_where_it_is_asked_for() -> None:
    box, prior = torch.tensor([[0.0, 0.0, 4.0, 4.0]]), torch.tensor([[2.0, 0.0, 6.0, 4.0]])
    # shared 8, union 24, centres 2 apart, hull 6 x 4
    assert nearness(box, prior, "diou").item() == pytest.approx(8 / 24 - 4 / 52)
    assert nearness(box, prior, "iof").item() == pytest.approx(8 / 16 - 4 / 52)


@pytest.mark.parametrize("seed", SEEDS)
def test_all_terms_of_the_authors_code(shared: Path, seed: int) -> None:
    told, theirs = fixture(shared, f"fork_ldhead_in_s{seed}"), fixture(shared, f"fork_ldhead_out_s{seed}")
    raw, logits, sides = gfl_raw(told)
    targets = Targets.of([Target(told[f"gt{image}"], told[f"gl{image}"]) for image in range(2)])
    shape = tuple(map(int, told["img_shape"]))
    frames, model = stacked([Frame(*shape, *shape)] * 2), student()
    matched = model.assign(raw, targets, frames)
    lengths = [len(each) for each in raw.points]
    owned = (matched.owner >= 0).split(lengths, 1)
    region = surroundings(model.priors(raw), targets.boxes, targets.there, matched, "iof")
    assert torch.equal(region, torch.cat([theirs[f"vlr{level}"] for level in LEVELS], 1))
    own, teacher = torch.cat(raw.sides, 1), torch.cat([sides_of(told[f"t_bbox{level}"]) for level in LEVELS], 1)
    apart = softened(own, teacher, 10.0).sum(2)
    classes = [of_classes(raw.logits[level], rows(told[f"t_cls{level}"], 8), owned[level], 2.0) for level in LEVELS]
    near = near_objects(targets.there, matched).split(lengths, 1)
    features = [
        of_features(rows(told[f"x{level}"], 256), rows(told[f"tx{level}"], 256), near[level]) * owned[level].any()
        for level in LEVELS
    ]
    losses = model.losses(raw, targets, frames)
    found = {
        "loss_cls": losses["quality"],
        "loss_bbox": losses["boxes"],
        "loss_dfl": losses["distributions"],
        "loss_ld": 0.25 * on_objects(apart, sure(raw, matched)),
        "loss_ld_vlr": 0.25 * around_objects(apart, region),
        "loss_kd": 10 * torch.stack(classes).sum(),
        "loss_im": 2 * torch.stack(features).sum(),
    }
    for name, value in found.items():
        torch.testing.assert_close(value, theirs[f"finegrained.{name}"].sum(), rtol=1e-5, atol=0, msg=name)
    torch.stack(list(found.values())).sum().backward()
    for name, inputs in (("grad_cls", logits), ("grad_bbox", sides)):
        largest = max(theirs[f"{name}{level}"].abs().max() for level in LEVELS)
        for level, each in enumerate(inputs):
            assert each.grad is not None
            assert (each.grad - theirs[f"{name}{level}"]).abs().max() <= 1e-5 * largest


def test_without_any_object_every_term_is_nothing() -> None:
    raw, there = torch.randn(2, 6, 4, 17, requires_grad=True), torch.zeros(2, 0, dtype=torch.bool)
    nothing = torch.zeros(2, 6)
    boxes, levels = torch.zeros(2, 0, 4), [torch.tensor([[0.0, 0.0, 8.0, 8.0]]).repeat(6, 1)]
    matched = adaptive(levels, boxes, there, torch.ones(2, 6, dtype=torch.bool))
    assert (surroundings(levels, boxes, there, matched, "diou") == 0).all()
    assert not near_objects(there, matched).any()
    apart = softened(raw, raw.detach() + torch.randn(17), 10.0).sum(2)
    total = on_objects(apart, nothing) + around_objects(apart, nothing)
    total = total + of_classes(raw[:, :, 0], raw[:, :, 1].detach(), nothing, 2.0)
    total = total + of_features(raw[:, :, 0], raw[:, :, 1].detach(), nothing)
    assert total == 0


def test_places_in_the_padding_of_a_smaller_image_are_in_no_region() -> None:
    """They see nothing of the image; the reference looks at the places inside alone."""
    model, frames = student(), stacked([Frame(64, 64, 64, 64), Frame(64, 128, 64, 128)])
    boxes = torch.tensor([[[30.0, 8.0, 64.0, 60.0]], [[30.0, 8.0, 64.0, 60.0]]])
    targets = Targets(boxes, torch.zeros(2, 1, dtype=torch.int64), torch.ones(2, 1, dtype=torch.bool))
    points = [grid((64 // stride or 1, 128 // stride), stride, torch.device("cpu")) for stride in STRIDES]
    raw = Raw([torch.zeros(2, len(each), 8) for each in points], [], points)
    matched = model.assign(raw, targets, frames)
    outside = torch.cat(points)[:, 0] >= 64
    for form in ("iof", "diou"):
        small, large = surroundings(model.priors(raw), boxes, targets.there, matched, form)
        assert (small[outside] == 0).all()
        assert (large[outside] > 0).any()
        assert (small > 0).any()
    near, everywhere = near_objects(targets.there, matched)
    assert not near[outside].any()
    alone = near_objects(targets.there[:1], Matched(*(each[:1] for each in matched)))
    assert torch.equal(alone[0], near)
    assert near.any()
    assert everywhere.any()
