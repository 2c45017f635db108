"""The step of localization distillation: what it adds up to, and that nothing in it waits for the host."""

from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from limbeck.detection.batch import Targets, stacked
from limbeck.detection.dense import Dense, Raw
from limbeck.detection.detector import Look
from limbeck.detection.gfl import GFL, Weighing
from limbeck.detection.loader import DetectionBatch
from limbeck.detection.retinanet import RetinaNet
from limbeck.detection.rows import rows
from limbeck.errors import OptionError
from limbeck.ld.step import DistilledDetectionStep, Lesson, Terms, learned
from limbeck.ld.teacher import Teacher, check, differences, teacher_of
from limbeck.records import Frame, Target
from limbeck.training.attempt import forward_backward
from limbeck.training.ranks import Ranks
from tests.detection.told import SEEDS, fixture, gfl_raw, sides_of

LEVELS = range(5)
ALL = Terms(main=0.25, around=0.25, classes=10.0, features=2.0)
PLAIN = Look((64, 64), keep_ratio=True, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
CLASSES = ("cat", "dog", "tram")


class Maps(nn.Module):
    """A backbone of three maps without layers of its own to speak of."""

    channels = (4, 4, 4)

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=8, padding=1)

    def forward(self, images: Tensor) -> list[Tensor]:
        first = self.conv(images)
        return [first, first[..., ::2, ::2], first[..., ::4, ::4]]


def gfl(seed: int, classes: int = 3) -> GFL:
    torch.manual_seed(seed)
    return GFL(Maps(), Maps.channels, classes, weighing=Weighing(least=None))


def teacher(seed: int = 1, classes: tuple[str, ...] = CLASSES, look: Look = PLAIN) -> Teacher:
    return teacher_of("big", "gfl", gfl(seed, len(classes)), look, classes, "float32")


def batch_of(count: int, boxes: int = 2, seed: int = 0) -> DetectionBatch:
    draw = torch.Generator().manual_seed(seed)
    targets = []
    for _ in range(count):
        low = torch.rand(boxes, 2, generator=draw) * 30
        high = low + 10 + torch.rand(boxes, 2, generator=draw) * 20
        targets.append(Target(torch.cat([low, high], 1), torch.randint(0, 3, (boxes,), generator=draw)))
    images = (torch.rand(count, 3, 64, 64, generator=draw) * 255).to(torch.uint8)
    frames = stacked([Frame(64, 64, 64, 64)] * count)
    indices = torch.arange(count)
    return DetectionBatch(images, Targets.of(targets), frames, indices, torch.zeros_like(indices))


def step_of(terms: Terms = ALL, labelled: int | None = None) -> DistilledDetectionStep:
    return DistilledDetectionStep(gfl(0), teacher(), PLAIN, "float32", terms, labelled)


@pytest.mark.parametrize("seed", SEEDS)
def test_all_terms_of_the_authors_code_through_the_step_s_own_way(shared: Path, seed: int) -> None:
    told, theirs = fixture(shared, f"fork_ldhead_in_s{seed}"), fixture(shared, f"fork_ldhead_out_s{seed}")
    raw, logits, sides = gfl_raw(told)
    mine = raw._replace(maps=[told[f"x{level}"] for level in LEVELS])
    other = Raw(
        [rows(told[f"t_cls{level}"], 8) for level in LEVELS],
        [sides_of(told[f"t_bbox{level}"]) for level in LEVELS],
        raw.points,
        [told[f"tx{level}"] for level in LEVELS],
    )
    targets = Targets.of([Target(told[f"gt{image}"], told[f"gl{image}"]) for image in range(2)])
    shape = tuple(map(int, told["img_shape"]))
    model = GFL(nn.Identity(), [8, 8, 8], 8, padded_to=1, weighing=Weighing(least=None))
    frames = stacked([Frame(*shape, *shape)] * 2)
    matched = model.assign(raw, targets, frames)
    found = learned(Lesson(ALL, model, mine, other, matched, targets))
    for name, what in (("main", "ld"), ("around", "ld_vlr"), ("classes", "kd"), ("features", "im")):
        torch.testing.assert_close(found[f"ld_{name}"], theirs[f"finegrained.loss_{what}"].sum(), rtol=1e-5, atol=0)
    total = sum(found.values(), sum(model.losses(raw, targets, frames, matched=matched).values(), torch.zeros(())))
    total.backward()
    for name, inputs in (("grad_cls", logits), ("grad_bbox", sides)):
        largest = max(theirs[f"{name}{level}"].abs().max() for level in LEVELS)
        for level, each in enumerate(inputs):
            assert each.grad is not None
            assert (each.grad - theirs[f"{name}{level}"]).abs().max() <= 1e-5 * largest


def test_terms_are_off_unless_they_are_named() -> None:
    batch = batch_of(2)
    own = {"quality", "boxes", "distributions"}
    assert set(step_of(Terms())(batch)) == own
    assert set(step_of(Terms(main=0.25))(batch)) == own | {"ld_main"}
    assert set(step_of()(batch)) == own | {"ld_main", "ld_around", "ld_classes", "ld_features"}
    assert not Terms()
    assert Terms(features=1.0)


def test_a_teacher_that_agrees_teaches_nothing() -> None:
    step = DistilledDetectionStep(gfl(0), teacher(seed=0), PLAIN, "float32", ALL)
    found = step(batch_of(2))
    assert all(found[name].abs() < 1e-5 for name in found if name.startswith("ld_"))
    other = step_of()(batch_of(2))
    assert all(other[name] > 1e-4 for name in other if name.startswith("ld_"))


def test_the_student_is_all_that_learns_and_all_that_is_kept() -> None:
    step = step_of()
    before = {name: value.clone() for name, value in step.teacher.model.state_dict().items()}
    torch.stack([*step(batch_of(2)).values()]).sum().backward()
    assert all(parameter.grad is None for parameter in step.teacher.model.parameters())
    assert all(parameter.grad is not None for parameter in step.student.parameters())
    assert {name.partition(".")[0] for name in step.state_dict()} == {"student"}
    step.train()
    assert not step.teacher.model.training
    assert all(torch.equal(value, before[name]) for name, value in step.teacher.model.state_dict().items())


@pytest.mark.parametrize("labelled", [None, 4])
def test_parts_add_up_to_the_whole(labelled: int | None) -> None:
    """Also where a part has no image with true boxes."""
    found = []
    for parts in (1, 3):
        step = step_of(Terms(main=0.25, around=0.25, images=6), labelled)
        trial = forward_backward(step, batch_of(6), parts, Ranks(Accelerator(cpu=True)), seed=0)
        found.append((trial.losses, [p.grad for p in step.student.parameters() if p.grad is not None]))
    (whole, gradients), (added, theirs) = found
    assert {name: float(value) for name, value in added.items()} == pytest.approx(
        {name: float(value) for name, value in whole.items()}, rel=1e-5
    )
    for one, other in zip(gradients, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5 * float(one.abs().max()))


def test_the_sums_count_a_batch_of_the_size_that_their_weights_are_for() -> None:
    """Twice the same images are twice the sum; the weights' own batch makes them count the same."""
    once = batch_of(2)
    both = torch.cat
    twice = DetectionBatch(
        both([once.images] * 2),
        Targets(*(both([each] * 2) for each in once.targets)),
        both([once.frames] * 2),
        torch.arange(4),
        torch.zeros(4, dtype=torch.int64),
    )
    plain, scaled = step_of(), step_of(Terms(main=0.25, around=0.25, images=3))
    for name in ("ld_main", "ld_around"):
        torch.testing.assert_close(plain(twice)[name], 2 * plain(once)[name])
        torch.testing.assert_close(scaled(twice)[name], scaled(once)[name])
        torch.testing.assert_close(scaled(once)[name], 1.5 * plain(once)[name])


def test_photos_without_true_boxes_learn_from_the_teacher_alone() -> None:
    batch, step = batch_of(4), step_of(labelled=2)
    first, whole = batch.rows(slice(0, 2)), step_of()
    mixed, known, all_known = step(batch), whole(first), whole(batch)
    for name in ("quality", "boxes", "distributions"):
        torch.testing.assert_close(mixed[name], known[name] / 2, msg="two of four images have boxes")
    for name in ("ld_main", "ld_around", "ld_classes", "ld_features"):
        torch.testing.assert_close(mixed[name], all_known[name])
    unknown = batch.rows(slice(2, 4))
    alone = step(unknown)
    assert all(alone[name] == 0 for name in ("quality", "boxes", "distributions"))
    assert alone["ld_main"] > 0
    torch.stack([*alone.values()]).sum().backward()
    assert all(parameter.grad is not None for parameter in step.student.parameters())


def test_a_batch_without_any_object_is_no_nonsense() -> None:
    step = step_of()
    found = step(batch_of(2, boxes=0))
    assert all(found[name] == 0 for name in found if name != "quality")
    torch.stack([*found.values()]).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in step.student.parameters() if p.grad is not None)


class Waits(TorchDispatchMode):
    """Refuses whatever makes the host wait for a device, or whose shape depends on values."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(func)
        by_mask = name.startswith(("aten.index.", "aten.index_put")) and any(
            isinstance(each, Tensor) and each.dtype in (torch.bool, torch.uint8) for each in args[1]
        )
        shaped = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "repeat_interleave.Tensor", "item")
        if by_mask or any(part in name for part in shaped):
            raise AssertionError(f"{name} waits")
        return func(*args, **(kwargs or {}))


def test_what_waits_is_noticed() -> None:
    values = torch.arange(3.0)
    for wait in (
        lambda: values[values > 1],
        lambda: values.sum().item(),
        lambda: values.nonzero(),
        lambda: bool(values[0]),
    ):
        with Waits(), pytest.raises(AssertionError, match="waits"):
            wait()


def test_nothing_in_assignment_losses_and_terms_waits_for_the_host() -> None:
    torch.manual_seed(0)
    batch = batch_of(3)
    retinanet = RetinaNet(Maps(), Maps.channels, 3)
    with Waits():
        torch.stack([*step_of(labelled=2)(batch).values()]).sum().backward()
        raw = retinanet(batch.normalised(PLAIN.mean, PLAIN.std))
        torch.stack([*retinanet.losses(raw, batch.targets, batch.frames).values()]).sum().backward()


def test_what_does_not_agree_is_told_with_both_sides() -> None:
    student, look = gfl(0), PLAIN
    check(teacher(), "gfl", student, look, CLASSES)

    def told(one: Teacher, pupil: Any = student, seen: Look = look, classes: tuple[str, ...] = CLASSES) -> str:
        with pytest.raises(OptionError) as error:
            check(one, "retinanet", pupil, seen, classes)
        return str(error.value)

    other = told(teacher(), classes=("cat", "dog", "bus"))
    assert "cat, dog, tram" in other
    assert "cat, dog, bus" in other
    assert "--classes cat dog tram" in told(teacher(), classes=("dog", "cat", "tram"))
    finer = teacher()
    finer.model.bins = 9
    assert "9 bins a side" in told(finer)
    assert "17 at" in told(finer)
    coarser = teacher()
    coarser.model.strides = (16, 32)
    assert "strides 16 32" in told(coarser)
    squeezed = Look((64, 64), mean=look.mean, std=look.std)
    assert "squeezed" in told(teacher(look=squeezed))
    plain = RetinaNet(Maps(), Maps.channels, 3)
    assert "the student is of the kind retinanet" in told(teacher(), pupil=plain)
    with pytest.raises(OptionError, match="--teacher net is of the kind retinanet"):
        teacher_of("net", "retinanet", plain, look, CLASSES, "float32")
    small = Look((32, 32), keep_ratio=True)
    assert len(differences(teacher(look=small), look)) == 2
    assert isinstance(student, Dense)
