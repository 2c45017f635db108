"""Every detector of the table: what it gives, that it learns, and how its losses are divided."""

from typing import Any

import pytest
import torch
from accelerate import Accelerator

from limbeck.checkpoints.detector_card import assembled
from limbeck.classification.models import build
from limbeck.detection import DETECTORS
from limbeck.detection.batch import Targets, stacked
from limbeck.detection.detector import Detector, Look, design
from limbeck.detection.loader import DetectionBatch
from limbeck.detection.step import DetectionStep
from limbeck.records import Frame, Target
from limbeck.training.attempt import forward_backward
from limbeck.training.loop import average_gradients
from limbeck.training.ranks import Ranks

CLASSES = 3
SIDES = {"ssd300": 300, "ssd512": 512, "ssd300_vgg16": 300}  # the others take small images
HEAVY = {*SIDES, "ssdlite320_mobilenet_v3_large_whole"}
LONG = {"gfl", "gfl_dcn", "retinanet", "ssdlite320_mobilenet_v3_large"}  # many steps with towers of 256 channels
TABLE = [pytest.param(name, marks=pytest.mark.slow if name in HEAVY else ()) for name in DETECTORS]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make(name: str) -> Detector:
    torch.manual_seed(0)
    backbone = build("test_resnet") if design(name).strides else None
    return assembled(name, CLASSES, backbone)


def batch_of(name: str, counts: tuple[int, ...] = (1, 3)) -> DetectionBatch:
    """Noise, on which bright squares are what is to be found."""
    side = SIDES.get(name, 96)
    draws = torch.Generator().manual_seed(1)
    images = (torch.rand(len(counts), 3, side, side, generator=draws) * 80).to(torch.uint8)
    targets = []
    for image, count in zip(images, counts):
        boxes = torch.zeros(count, 4)
        for number in range(count):
            x, y = (torch.rand(2, generator=draws) * side / 2).tolist()
            boxes[number] = torch.tensor([x, y, x + side * 0.3, y + side * 0.4])
            image[:, int(y) : int(y + side * 0.4), int(x) : int(x + side * 0.3)] = 120 + 60 * (number % CLASSES)
        targets.append(Target(boxes, torch.arange(count) % CLASSES))
    rows = torch.arange(len(counts))
    frames = stacked([Frame(side, side, 2 * side, 3 * side)] * len(counts))
    return DetectionBatch(images.contiguous(memory_format=torch.channels_last), Targets.of(targets), frames, rows, rows)


@pytest.mark.parametrize("name", TABLE)
def test_what_it_gives(name: str) -> None:
    model, batch = make(name).eval(), batch_of(name)
    look = design(name).look
    with torch.no_grad():
        raw = model(batch.normalised(look.mean, look.std))
        losses = model.losses(raw, batch.targets, batch.frames)
        found = model.boxes(raw, batch.frames)
    assert model.classes == CLASSES
    assert all(value.ndim == 0 and bool(value.isfinite()) and float(value) >= 0 for value in losses.values())
    assert found.boxes.shape == (2, *found.scores.shape[1:], 4)
    assert bool((found.scores[:, :-1] >= found.scores[:, 1:]).all())
    for each in found.detections():
        assert bool((each.labels < CLASSES).all())
        assert bool((each.boxes[:, 0::2] <= 3 * SIDES.get(name, 96) + 1).all())
    divisors = model.divisors(raw, batch.targets, batch.frames)
    assert divisors.shape == (model.divided,)
    same = model.losses(raw, batch.targets, batch.frames, divisors)
    assert all(torch.equal(same[loss], value) for loss, value in losses.items())


@pytest.mark.parametrize("name", TABLE)
def test_a_batch_without_any_object_trains_on(name: str) -> None:
    model, batch = make(name), batch_of(name, (0, 0))
    losses = DetectionStep(model, design(name).look, "float32")(batch)
    torch.stack(list(losses.values())).sum().backward()
    assert all(bool(value.isfinite()) for value in losses.values())
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in HEAVY | LONG else ()) for name in DETECTORS]
)
def test_it_learns_one_batch(name: str) -> None:
    model, batch = make(name), batch_of(name)
    step = DetectionStep(model, design(name).look, "float32")
    steps = 10 if name in HEAVY else 30
    optimizer = torch.optim.Adam(model.parameters(), 2e-3 if "lite" in name else 1e-4)
    first = last = 0.0
    for number in range(steps):
        loss = torch.stack(list(step(batch).values())).sum()
        last = float(loss.detach())
        first = first if number else last
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert last < 0.75 * first, (first, last)


@pytest.mark.parametrize("name", ["ssdlite", "retinanet", "gfl"])
def test_parts_add_up_to_the_whole(name: str) -> None:
    """Images with one object and with nine: means over parts would count the one as much as the nine."""
    ranks, batch = Ranks(Accelerator(cpu=True)), batch_of(name, (1, 9, 0, 2))
    gradients: list[list[torch.Tensor]] = []
    losses: list[dict[str, torch.Tensor]] = []
    for parts in (1, 4):
        model = make(name).eval()  # norms that take no statistics: those would be the parts' own
        step = DetectionStep(model, Look((96, 96)), "float32")
        trial = forward_backward(step, batch, parts, ranks, seed=0)
        average_gradients(step, ranks)
        gradients.append([p.grad for p in model.parameters() if p.grad is not None])
        losses.append(trial.losses)
    for whole, parted in zip(*gradients, strict=True):
        assert torch.allclose(whole, parted, rtol=1e-3, atol=1e-5 * float(whole.abs().max()) + 1e-7)
    for loss, value in losses[0].items():
        assert float(losses[1][loss]) == pytest.approx(float(value), rel=1e-4)


def test_a_design_tells_its_images() -> None:
    look = design("ssd300").look
    batch = batch_of("ssdlite")
    pixels = batch.normalised(look.mean, look.std)[0, :, 0, 0]
    expected = batch.images[0, :, 0, 0].float() - torch.tensor([123.675, 116.28, 103.53])
    assert torch.allclose(pixels, expected, atol=1e-3)
    assert Look.from_dict(look.to_dict()) == look
