"""SSD against the running reference, part by part: losses, gradients, detections, priors, matches, deltas."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from limbeck.detection import ssd_models
from limbeck.detection.batch import Targets, stacked
from limbeck.detection.matching import IGNORED, NOBODY, by_overlap
from limbeck.detection.priors import Level, priors
from limbeck.detection.rows import rows
from limbeck.detection.ssd import SSD, Raw
from limbeck.layers.boxes import decode, encode, overlaps
from limbeck.records import Frame, Target
from tests.detection.told import SEEDS, fixture

BOXES_OF_A_CELL = (4, 6, 6, 6, 4, 4)


def headless(classes: int, counts: tuple[int, ...] = BOXES_OF_A_CELL) -> SSD:
    levels = [Level(1, 1, 1, (2, 3)[: (count - 2) // 2]) for count in counts]
    return SSD(nn.Identity(), nn.Identity(), [], [], [], levels, classes)


def raw_of(told: dict[str, Tensor]) -> tuple[Raw, list[Tensor], list[Tensor]]:
    scores = [told[f"cls_score{level}"].requires_grad_() for level in range(6)]
    deltas = [told[f"bbox_pred{level}"].requires_grad_() for level in range(6)]
    lengths = [each.shape[1] // 4 * each.shape[2] * each.shape[3] for each in deltas]
    raw = Raw([rows(s, 11) for s in scores], [rows(d, 4) for d in deltas], list(told["priors"].split(lengths)))
    return raw, scores, deltas


@pytest.mark.parametrize("seed", SEEDS)
def test_losses_and_gradients_are_the_reference_s(shared: Path, seed: int) -> None:
    told = fixture(shared, f"ssd_loss_s{seed}")
    raw, scores, deltas = raw_of(told)
    targets = Targets.of([Target(told["gt0"], told["gl0"]), Target(told["gt1"], told["gl1"])])
    losses = headless(10).losses(raw, targets, torch.full((2, 4), 300.0))
    torch.testing.assert_close(losses["classification"], told["loss_cls"].sum(), rtol=1e-6, atol=0)
    torch.testing.assert_close(losses["boxes"], told["loss_bbox"].sum(), rtol=1e-6, atol=0)
    sum(losses.values()).backward()  # type: ignore[union-attr]
    for name, inputs in (("grad_cls", scores), ("grad_bbox", deltas)):
        largest = max(told[f"{name}{level}"].abs().max() for level in range(6))
        for level, each in enumerate(inputs):
            assert (each.grad - told[f"{name}{level}"]).abs().max() <= 1e-6 * largest


@pytest.mark.parametrize("seed", SEEDS)
def test_from_the_reference_s_raw_tensors_the_detections_are_its_own(shared: Path, seed: int) -> None:
    told = fixture(shared, f"ssd_loss_s{seed}")
    raw, *_ = raw_of(told)
    found = headless(10).boxes(raw, stacked([Frame(300, 300, 300, 300)] * 2)).detections()[0]
    assert torch.equal(found.labels, told["det0_labels"])
    assert torch.equal(found.boxes, told["det0_bboxes"])
    assert torch.equal(found.scores, told["det0_scores"])


@pytest.mark.parametrize(
    ("name", "model"), [("ssd300", "ssd300"), ("ssd512", "ssd512"), ("ssdlite320", "ssdlite_mobilenetv2")]
)
def test_priors_are_the_reference_s(shared: Path, name: str, model: str) -> None:
    told = fixture(shared, f"priors_{name}")
    levels = getattr(ssd_models, model)(2).levels
    sizes = [(int(side), int(side)) for side in told["feat"]]
    ours = priors(levels, sizes, torch.device("cpu"))
    assert [len(each) for each in ours] == told["num_level"].tolist()
    assert (torch.cat(ours) - told["priors"]).abs().max() < 1e-4


@pytest.mark.parametrize("seed", SEEDS)
def test_matches_are_the_reference_s(shared: Path, seed: int) -> None:
    told, anchors = fixture(shared, f"maxiou_s{seed}"), fixture(shared, f"atss_s{seed}")["priors"]
    boxes = told["gt_bboxes"][None]
    there = torch.ones(boxes.shape[:2], dtype=torch.bool)
    match = by_overlap(anchors, boxes, there, above=0.5, below=0.5)[0]
    assert torch.equal(match + 1, told["ssd_gt_inds"])
    alone = by_overlap(anchors, boxes, there, above=0.5, below=0.5, claim_from=None)[0]
    assert torch.equal(alone + 1, told["rcnn_gt_inds"])


def test_between_the_thresholds_nobody_learns() -> None:
    box = torch.tensor([[[0.0, 0.0, 10.0, 10.0]]])
    anchors = torch.tensor([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 4.5], [0.0, 0.0, 10.0, 3.0]])
    match = by_overlap(anchors, box, torch.ones(1, 1, dtype=torch.bool), above=0.5, below=0.4)
    assert match.tolist() == [[0, IGNORED, NOBODY]]


@pytest.mark.parametrize("seed", SEEDS)
def test_deltas_are_the_reference_s(shared: Path, seed: int) -> None:
    told = fixture(shared, f"delta_s{seed}")
    ssd, one = (0.1, 0.1, 0.2, 0.2), (1.0, 1.0, 1.0, 1.0)
    torch.testing.assert_close(
        decode(told["deltas"], told["priors"], ssd), told["dec_std01_noclip"], rtol=1e-6, atol=1e-4
    )
    torch.testing.assert_close(encode(told["gt"], told["priors"], ssd), told["enc_std01"], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(encode(told["gt"], told["priors"], one), told["enc_std1"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_overlaps_are_the_reference_s(shared: Path, seed: int) -> None:
    told = fixture(shared, f"atss_s{seed}")
    torch.testing.assert_close(overlaps(told["priors"], told["gt_bboxes"]), told["iou"], rtol=0, atol=1e-7)


def toy(classes: int = 3) -> tuple[SSD, Raw]:
    torch.manual_seed(0)
    levels = [Level(16, 16, 32, (2,)), Level(32, 32, 60, (2,))]
    model = SSD(nn.Identity(), nn.Identity(), [], [], [], levels, classes)
    grid = priors(levels, [(4, 4), (2, 2)], torch.device("cpu"))
    logits = [torch.randn(2, len(each), classes + 1, requires_grad=True) for each in grid]
    deltas = [torch.randn(2, len(each), 4, requires_grad=True) for each in grid]
    return model, Raw(logits, deltas, grid)


def test_a_batch_with_no_object_costs_nothing_and_trains_without_nan() -> None:
    model, raw = toy()
    empty = Target(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
    losses = model.losses(raw, Targets.of([empty, empty]), torch.full((2, 4), 64.0))
    total = losses["classification"] + losses["boxes"]
    total.backward()
    assert total == 0
    assert all((each.grad == 0).all() for each in (*raw.logits, *raw.deltas))


def test_padding_and_crowds_change_nothing() -> None:
    model, raw = toy()
    one = Target(torch.tensor([[4.0, 4.0, 20.0, 30.0]]), torch.tensor([1]))
    three = Target(
        torch.tensor([[0.0, 0.0, 60.0, 60.0], [30.0, 30.0, 50.0, 44.0], [1.0, 1.0, 9.0, 9.0]]),
        torch.tensor([0, 2, 1]),
        crowd=torch.tensor([False, False, True]),
    )
    both = model.losses(raw, Targets.of([one, three]), torch.full((2, 4), 64.0))
    pair = Target(three.boxes[:2], three.labels[:2])
    same = model.losses(raw, Targets.of([one, pair]), torch.full((2, 4), 64.0))
    assert both["classification"] == same["classification"]
    assert both["boxes"] == same["boxes"]
    assert both["boxes"] > 0


def test_images_of_a_batch_do_not_touch_each_other() -> None:
    model, raw = toy()
    frames = stacked([Frame(64, 64, 128, 96), Frame(64, 64, 64, 64)])
    together = model.boxes(raw, frames).detections()
    for image in range(2):
        alone = Raw([x[[image]] for x in raw.logits], [x[[image]] for x in raw.deltas], raw.priors)
        (found,) = model.boxes(alone, frames[[image]]).detections()
        assert torch.equal(found.boxes, together[image].boxes)
        assert torch.equal(found.labels, together[image].labels)
        assert len(found)
        assert (found.scores.diff() <= 0).all()


def test_matching_and_losses_wait_for_no_host() -> None:
    """No result whose shape depends on values, so that a GPU need not be waited for: the meta device has no values."""
    model, raw = toy()
    with torch.device("meta"):
        targets = Targets(
            torch.empty(2, 5, 4), torch.empty(2, 5, dtype=torch.int64), torch.empty(2, 5, dtype=torch.bool)
        )
        there = Raw(*([x.detach().to("meta") for x in each] for each in raw))
        losses = model.losses(there, targets, torch.empty(2, 4))
    assert losses["boxes"].device.type == "meta"
