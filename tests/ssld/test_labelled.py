"""What a run with labels is made of: rates by layer, heads, splits by class, mixed photos."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from limbeck.classification.models import Architecture, build
from limbeck.classification.names import numbered
from limbeck.errors import ImagesError, OptionError
from limbeck.images.imageset import ImageSet
from limbeck.records import Preprocess
from limbeck.ssld.batch import PhotoBatch
from limbeck.ssld.holdout import MOST, hold_out_each
from limbeck.ssld.labels import Labels
from limbeck.ssld.mixup import Mixup
from limbeck.ssld.origin import Origin, choose_head, head_names
from limbeck.ssld.step import LabelledStep, StudentInput
from limbeck.training.rates import MOBILE, RESIDUAL, norm_parameters, parameter_rates, parts_of, reference_rates


@pytest.mark.parametrize(
    ("name", "first", "parts", "rates"),
    [
        ("resnet50d", ["stem", "layer1", "layer2", "layer3", "layer4"], 5, RESIDUAL),
        ("torchvision/resnet18", ["stem", "layer1", "layer2"], 5, RESIDUAL),
        ("mobilenetv3_large_100", ["blocks.0.0", "blocks.1.0", "blocks.1.1", "blocks.2.0"], 15, MOBILE),
        ("mobilenet_v3_large", ["blocks.0.0", "blocks.1.0"], 15, MOBILE),
        ("mobilenet_v1", ["blocks.0.0"], 13, MOBILE),
        ("test_vit", ["blocks.0", "blocks.1"], 6, ()),
        ("convnext_atto", ["stages.0", "stages.1", "stages.2", "stages.3"], 4, ()),
    ],
)
def test_the_parts_of_a_backbone(name: str, first: list[str], parts: int, rates: tuple[float, ...]) -> None:
    with torch.device("meta"):
        model = build(name, classes=5)
    head = head_names(Architecture.parse(name, classes=5))
    found = parts_of(model, head)
    assert [part for part, _ in found][: len(first)] == first
    assert len(found) == parts
    names = [name for name, _ in model.named_parameters()]
    assert [name for _, own in found for name in own] == [name for name in names if name not in head]
    assert reference_rates(model, head) == rates


def test_three_blocks_of_a_mobilenet_share_a_rate() -> None:
    model = build("mobilenetv3_large_100", classes=5)
    rates = parameter_rates(model, ["classifier.weight", "classifier.bias"], layer_rates=MOBILE)
    depthwise = [f"{name}.weight" for name, module in model.named_modules() if name.endswith("conv_dw")]
    assert [rates[name] for name in depthwise] == [rate for rate in MOBILE for _ in range(3)]
    assert rates["conv_stem.weight"] == 0.25
    assert rates["conv_head.weight"] == 0.75
    assert "classifier.weight" not in rates


def test_what_is_tuned() -> None:
    model, head = build("test_vit", classes=3), ["head.weight", "head.bias"]
    names = {name for name, _ in model.named_parameters()}
    assert set(parameter_rates(model, head, "head")) == names - set(head)
    assert set(parameter_rates(model, head, "norms")) == names - set(head) - norm_parameters(model)
    assert {"norm.weight", "blocks.0.norm1.bias"} <= norm_parameters(model)
    assert parameter_rates(model, head) == {}
    with pytest.raises(OptionError, match="--layer-rates has 7 rates, and this backbone 6 parts"):
        parameter_rates(model, head, layer_rates=[0.1] * 7)


@pytest.mark.parametrize(
    ("known", "kinds", "classes", "anew", "told"),
    [
        (("cat", "dog"), {"cat", "dog"}, ("cat", "dog"), False, "its head is kept"),
        (("dog", "cat"), {"cat", "dog"}, ("dog", "cat"), False, "and so is their order"),
        (("house cat, tabby", "dog"), {"House_Cat", "dog"}, ("house cat, tabby", "dog"), False, "its head is kept"),
        (numbered(2), {"cat", "dog"}, ("cat", "dog"), False, "without names, taken to be these"),
        (("cat", "dog"), {"0", "1"}, ("cat", "dog"), False, "its head is kept"),
        (("cat", "dog"), {"cat", "emu"}, ("cat", "emu"), True, "2 classes before, 2 now, and called otherwise (dog"),
        (("cat", "dog", "emu"), {"cat", "dog"}, ("cat", "dog"), True, "3 classes before, 2 now"),
        ((), {"cat", "dog"}, ("cat", "dog"), True, "the head is new: 2 classes"),
    ],
)
def test_what_becomes_of_a_head(
    known: tuple[str, ...], kinds: set[str], classes: tuple[str, ...], anew: bool, told: str
) -> None:
    head = choose_head(kinds, Origin({}, known, "run", distilled=False))
    assert (head.classes, head.anew) == (classes, anew)
    assert told in head.told


@pytest.fixture
def labels(tmp_path: Path) -> Labels:
    """Forty photos of 'a', five of 'b', two of 'c', and a copy of the first beside it."""
    rng = np.random.default_rng(0)
    truth = [0] * 41 + [1] * 5 + [2] * 2
    drawn = rng.integers(0, 255, (len(truth), 8, 8, 3), np.uint8)
    drawn[1] = drawn[0]
    for number, pixels in enumerate(drawn):
        Image.fromarray(pixels).save(tmp_path / f"{number:02d}.png")
    images = ImageSet.open(str(tmp_path), cache=tmp_path / "cache", workers=0, shown=False)
    return Labels(images, torch.tensor(truth), ("a", "b", "c"))


def test_each_class_gives_its_share(labels: Labels) -> None:
    learned, held = hold_out_each(labels, 0.2)
    assert [sum(pair) for pair in zip(learned.counts(), held.counts(), strict=True)] == [41, 5, 2]
    assert held.counts()[0] in (8, 9)  # the copy goes with its photo
    assert held.counts()[1:] == [1, 1]
    keys = {key.tobytes() for key in learned.photos.keys}
    assert not any(key.tobytes() in keys for key in held.photos.keys)
    turned = labels.take(np.arange(len(labels.photos))[::-1].copy())
    assert {key.tobytes() for key in hold_out_each(turned, 0.2)[1].photos.keys} == {
        key.tobytes() for key in held.photos.keys
    }
    assert MOST == 2000
    assert min(hold_out_each(labels, 0.95)[0].counts()) == 1  # something of each class is left to learn from


def test_a_class_of_copies_elsewhere_is_told(labels: Labels) -> None:
    mixed = Labels(labels.photos, torch.tensor([0, 1, *[0] * 39, *[1] * 7]), ("a", "b"))
    learned, held = hold_out_each(mixed, 0.2)
    keys = {key.tobytes() for key in learned.photos.keys}
    assert not any(key.tobytes() in keys for key in held.photos.keys)
    with pytest.raises(ImagesError, match="the class 'c' has 1 photo"):
        hold_out_each(Labels(labels.photos, torch.tensor([0] * 41 + [1] * 6 + [2]), ("a", "b", "c")), 0.2)


def batch(images: torch.Tensor, truth: torch.Tensor, mixup: Mixup | None, step: int = 3) -> PhotoBatch:
    rows = torch.arange(len(images))
    mixed = mixup(images, truth, step) if mixup else None
    return PhotoBatch(images, rows, rows, None, {}, truth=truth, mixed=mixed)  # type: ignore[arg-type]


def test_mixed_photos_are_a_function_of_seed_and_step() -> None:
    images = torch.randint(0, 256, (8, 3, 4, 4), dtype=torch.uint8)
    truth = torch.arange(8)
    one, same = (Mixup(0.4, seed=1)(images, truth, step=5) for _ in range(2))
    assert torch.equal(one.share, same.share)
    assert torch.equal(one.truth, same.truth)
    assert torch.equal(one.images, images[one.truth])
    for other in (Mixup(0.4, 1)(images, truth, 6), Mixup(0.4, 2)(images, truth, 5), Mixup(0.4, 1)(images, truth, 5, 1)):
        assert not torch.equal(one.share, other.share)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_that_of_soft_targets(smoothing: float) -> None:
    torch.manual_seed(0)
    student = nn.Sequential(nn.Flatten(), nn.Linear(48, 5))
    step = LabelledStep(student, StudentInput(Preprocess((4, 4)), "float32"), smoothing)
    images, truth = torch.randint(0, 256, (6, 3, 4, 4), dtype=torch.uint8), torch.tensor([0, 1, 2, 3, 4, 0])
    whole = batch(images, truth, Mixup(0.8, seed=0))
    loss = step(whole)["cross_entropy"]
    mixed = whole.mixed
    assert mixed is not None
    share = mixed.share[:, None]
    hard = share * nn.functional.one_hot(truth, 5) + (1 - share) * nn.functional.one_hot(mixed.truth, 5)
    soft = (1 - smoothing) * hard + smoothing / 5
    pixels = share[..., None, None] * images + (1 - share[..., None, None]) * mixed.images
    look = Preprocess((4, 4))
    normal = (pixels / 255 - torch.tensor(look.mean)[:, None, None]) / torch.tensor(look.std)[:, None, None]
    expected = -(soft * student(normal).log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-5)
    parts = [step(part)["cross_entropy"] * len(part) / 6 for part in whole.split(3)]
    torch.testing.assert_close(sum(parts), loss)
