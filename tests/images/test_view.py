import dataclasses
import hashlib
import io
import random
from importlib import resources
from typing import Any

import numpy as np
import pytest
import torch
from photos import encoded, jpeg, pixels
from PIL import Image
from torchvision.transforms import v2

from limbeck.errors import OptionError, UnknownName
from limbeck.images import view as viewing
from limbeck.images.decode import decode
from limbeck.images.policies import COLOURS, colour
from limbeck.images.prepare import evaluation_view
from limbeck.images.view import View, ViewPolicy, draw, render
from limbeck.records import Preprocess

KEY = bytes(range(16))
POLICY = ViewPolicy(64)


def test_draws_are_pure() -> None:
    expected = [draw(POLICY, KEY, number, 375, 500) for number in range(20)]
    random.seed(1)
    torch.manual_seed(1)
    assert [draw(POLICY, KEY, number, 375, 500) for number in range(20)] == expected
    assert len(set(expected)) == 20
    assert draw(POLICY, bytes(16), 0, 375, 500) != expected[0]
    assert draw(dataclasses.replace(POLICY, seed=1), KEY, 0, 375, 500) != expected[0]


def test_drawing_moves_no_random_state() -> None:
    states = torch.get_rng_state(), random.getstate(), str(np.random.get_state())
    for name in COLOURS:
        render(dataclasses.replace(POLICY, colour=name), jpeg(), KEY, (0, 1, 2))
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (random.getstate(), str(np.random.get_state())) == states[1:]


def test_boxes_are_those_of_random_resized_crop() -> None:
    height, width = 375, 500
    drawn = [draw(POLICY, KEY, number, height, width) for number in range(4000)]
    torch.manual_seed(0)
    crop = v2.RandomResizedCrop(64)
    theirs = [crop.make_params([torch.empty(3, height, width)]) for _ in range(4000)]
    ours = np.array([[box.top, box.left, box.height, box.width] for box in drawn])
    reference = np.array([[box["top"], box["left"], box["height"], box["width"]] for box in theirs])
    assert (ours[:, :2] >= 0).all()
    assert (ours[:, 0] + ours[:, 2] <= height).all()
    assert (ours[:, 1] + ours[:, 3] <= width).all()
    for quantile in (0.05, 0.25, 0.5, 0.75, 0.95):
        assert np.abs(np.quantile(ours, quantile, axis=0) - np.quantile(reference, quantile, axis=0)).max() < 20
    assert 0.45 < np.mean([box.flip for box in drawn]) < 0.55


@pytest.mark.parametrize(("height", "width"), [(10, 1000), (1000, 10), (1, 1)])
def test_photos_of_odd_shapes_fall_back_to_the_centre(height: int, width: int) -> None:
    policy = ViewPolicy(8, scale=(1.0, 1.0))
    box = draw(policy, KEY, 0, height, width)
    assert min(box.height, box.width) == min(height, width)
    assert abs(2 * box.top + box.height - height) <= 1
    assert abs(2 * box.left + box.width - width) <= 1
    assert render(policy, encoded(Image.new("RGB", (width, height)), "PNG"), KEY, (0,)).shape == (1, 3, 8, 8)


@pytest.mark.parametrize(
    ("height", "width", "tolerance", "reductions"),
    [(120, 180, 0.1, ["1/1"]), (400, 600, 4.0, ["1/2", "1/4"]), (800, 1200, 4.0, ["1/4", "1/8"])],
)
def test_a_view_is_the_box_resized_as_pillow_does_and_flipped(
    height: int, width: int, tolerance: float, reductions: list[str]
) -> None:
    data = jpeg(height, width)
    photo = Image.open(io.BytesIO(data)).convert("RGB")
    seen = set()
    for number in range(12):
        box = draw(POLICY, KEY, number, height, width)
        by = viewing._reduction(box, 64)
        edges = (box.left, box.top, box.left + box.width, box.top + box.height)
        in_whole_pixels_of_the_reduced_photo = tuple(round(edge / by) * by for edge in edges)
        expected = photo.resize((64, 64), Image.Resampling.BILINEAR, box=in_whole_pixels_of_the_reduced_photo)
        if box.flip:
            expected = expected.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        view = render(POLICY, data, KEY, (number,))[0].permute(1, 2, 0).numpy().astype(np.int16)
        assert np.abs(view - np.asarray(expected, dtype=np.int16)).mean() < tolerance
        seen |= {box.flip, f"1/{by}"}
    assert seen == {True, False, *reductions}


@pytest.mark.parametrize("size", [16, 64])
def test_views_of_one_read_are_those_of_single_reads(size: int) -> None:
    data, policy = jpeg(500, 700), ViewPolicy(size, colour="autoaugment")
    together = render(policy, data, KEY, tuple(range(8)))
    assert together.is_contiguous(memory_format=torch.channels_last)
    for number in range(8):
        assert torch.equal(together[number], render(policy, data, KEY, (number,))[0])


def test_one_decode_for_all_views_unless_the_photo_is_much_larger(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[Any] = []

    def counted(data: bytes, **options: Any) -> torch.Tensor:
        decoded.append(options)
        return decode(data, **options)

    monkeypatch.setattr(viewing, "decode", counted)
    render(ViewPolicy(224), jpeg(375, 500), KEY, tuple(range(8)))
    assert len(decoded) == 1
    decoded.clear()
    render(ViewPolicy(24), jpeg(375, 500), KEY, tuple(range(8)))
    assert 2 <= len(decoded) <= 4
    assert len({each["smallest"] for each in decoded}) == len(decoded)


def test_a_crop_keeps_the_pixels_that_its_view_shows() -> None:
    assert viewing._reduction(View(0, 0, 448, 600, False), 224) == 2
    assert viewing._reduction(View(0, 0, 447, 600, False), 224) == 1
    assert viewing._reduction(View(0, 0, 4000, 4000, False), 224) == 8


@pytest.mark.parametrize("name", COLOURS)
def test_colour_policies_are_pure_and_do_what_they_say(name: str) -> None:
    policy = dataclasses.replace(POLICY, colour=name)
    data = jpeg()
    views = render(policy, data, KEY, tuple(range(6)))
    torch.rand(7)
    assert torch.equal(views, render(policy, data, KEY, tuple(range(6))))
    assert torch.equal(views, render(POLICY, data, KEY, tuple(range(6)))) == (name == "none")


def test_colours_keep_shape_and_type() -> None:
    image = torch.from_numpy(pixels(32, 32)).permute(2, 0, 1)
    for name in COLOURS:
        out = colour(name)(image)
        assert (out.shape, out.dtype) == (image.shape, torch.uint8)


@pytest.mark.parametrize(
    "change",
    [
        {"size": 65},
        {"scale": (0.1, 1.0)},
        {"ratio": (0.7, 4 / 3)},
        {"flip": 0.4},
        {"colour": "jitter"},
        {"seed": 1},
        {"centre": "bicubic"},
    ],
    ids=str,
)
def test_the_fingerprint_differs_with_every_field(change: dict[str, Any]) -> None:
    assert {field.name for field in dataclasses.fields(ViewPolicy)} == set(
        ["size", "scale", "ratio", "flip", "colour", "seed", "centre"]
    )
    assert dataclasses.replace(POLICY, **change).fingerprint() != POLICY.fingerprint()
    assert ViewPolicy(64).fingerprint() == POLICY.fingerprint()


@pytest.mark.parametrize("reduced", [False, True], ids=["whole", "reduced"])
def test_the_fingerprint_notices_another_decoder(reduced: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = POLICY.fingerprint()

    def slightly_brighter(data: bytes, *, smallest: tuple[int, int]) -> torch.Tensor:
        image = decode(data, smallest=smallest)
        is_reduced = image.shape != decode(data).shape
        return image.clamp(max=254) + 1 if is_reduced == reduced else image

    monkeypatch.setattr(viewing, "decode", slightly_brighter)
    viewing._fingerprint.cache_clear()
    changed = POLICY.fingerprint()
    viewing._fingerprint.cache_clear()
    assert changed != expected


def test_senseless_policies_are_refused() -> None:
    with pytest.raises(UnknownName, match="autoaugment"):
        ViewPolicy(64, colour="autoaugmnt")
    for wrong in ({"size": 0}, {"scale": (0.5, 0.1)}, {"scale": (0.0, 1.0)}, {"ratio": (0.0, 1.0)}, {"flip": 1.5}):
        with pytest.raises(OptionError, match="expected"):
            dataclasses.replace(POLICY, **wrong)


def test_a_centre_view_is_what_evaluation_shows_without_a_margin() -> None:
    policy = ViewPolicy(64, centre="bilinear")
    views = render(policy, jpeg(96, 128), KEY, (0, 7))
    shown = evaluation_view(Preprocess((64, 64), interpolation="bilinear", crop=1.0), jpeg(96, 128))
    assert torch.equal(views[0], shown)
    assert torch.equal(views[1], shown)
    assert views.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(render(policy, jpeg(96, 128), bytes(16), (3,))[0], shown)
    prints = {dataclasses.replace(policy, centre=name).fingerprint() for name in ("", "bilinear", "bicubic")}
    assert len(prints) == 3


def test_the_fingerprint_of_a_random_view_is_what_it_was_before_centre_views() -> None:
    """Else the stores of older runs would be refused."""
    fields = [field.name for field in dataclasses.fields(ViewPolicy)]
    assert fields[-1] == "centre"
    digest = hashlib.blake2b(repr(dataclasses.astuple(POLICY)[:-1]).encode(), digest_size=8)
    probe = resources.files("limbeck.images").joinpath("probe.jpg").read_bytes()
    everything = tuple(range(16))
    for size in (64, 24, 80):
        digest.update(render(dataclasses.replace(POLICY, size=size), probe, b"probe", everything).numpy().tobytes())
    assert POLICY.fingerprint() == digest.hexdigest()
