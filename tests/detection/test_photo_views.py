"""Views of photos with boxes: pure functions, and step by step what the references compute."""

import dataclasses
import subprocess
import sys
import tracemalloc
from pathlib import Path
from random import Random

import cv2
import numpy as np
import pytest
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from limbeck.detection import cropping
from limbeck.detection import scene as scenes
from limbeck.detection.cropping import centred, maybe_cut, maybe_enlarged, overlap
from limbeck.detection.masks import Masks, Outlines, Size
from limbeck.detection.photometric import Colours, distorted, drawn_colours
from limbeck.detection.policies import (
    MEAN,
    POLICIES,
    FlipResize,
    SSDView,
    flip_resize,
    resize,
    ssd,
    ssd_photometric_last,
    within,
)
from limbeck.detection.scene import Scene, enlarged, filled, filled_at, resized, seen
from limbeck.detection.views import Policy, View, render
from limbeck.errors import OptionError
from limbeck.layers.boxes import overlaps
from limbeck.records import Frame, Target
from limbeck.scenes.dataset import to_jpeg
from limbeck.scenes.scene import draw_scene

SIZE = 96
JPEG = to_jpeg(draw_scene(5, size=SIZE, objects=4))
ALL = [ssd((64, 64)), ssd_photometric_last((64, 64)), flip_resize((80, 120)), resize((64, 48))]


def target(masks: bool = False) -> Target:
    objects = draw_scene(5, size=SIZE, objects=4).objects
    boxes = torch.tensor([each.box for each in objects])
    runs = [{"size": [SIZE, SIZE], "counts": _runs(each.mask)} for each in objects]
    outlines = Outlines(runs)
    drawn = Masks(tuple(outlines[row] for row in range(len(objects))), Size(SIZE, SIZE)) if masks else None
    return Target(boxes, torch.arange(len(objects)) + 7, torch.zeros(len(objects), dtype=torch.bool), None, drawn)


def _runs(mask: np.ndarray) -> list[int]:
    down = np.concatenate([[False], mask.T.ravel()])
    runs: list[int] = np.diff(np.flatnonzero(down[1:] != down[:-1]), prepend=0, append=mask.size).tolist()
    return runs


def photo(seed: int = 0, height: int = 60, width: int = 80) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def boxes_on(height: int, width: int, count: int, seed: int, share: tuple[float, float] = (0.05, 0.6)) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 1 - share[1], (count, 2)) * (width, height)
    high = np.minimum(low + rng.uniform(*share, (count, 2)) * (width, height), (width, height))
    return torch.tensor(np.concatenate([low, high], 1), dtype=torch.float32).reshape(-1, 4)


def same(one: View, other: View) -> bool:
    return (
        torch.equal(one.image, other.image)
        and torch.equal(one.target.boxes, other.target.boxes)
        and torch.equal(one.target.labels, other.target.labels)
        and one.frame == other.frame
    )


@pytest.mark.parametrize("policy", ALL, ids=lambda policy: type(policy).__name__)
def test_a_view_is_a_pure_function_of_policy_key_and_number(policy: Policy) -> None:
    first = render(policy, JPEG, target(), b"key", 3)
    torch.manual_seed(9)
    assert same(first, render(policy, JPEG, target(), b"key", 3))
    before = torch.get_rng_state(), np.random.get_state(legacy=False)
    render(policy, JPEG, target(), b"key", 4)
    assert torch.equal(before[0], torch.get_rng_state())
    np.testing.assert_equal(before[1], np.random.get_state(legacy=False))
    if policy != ALL[3]:
        others = [render(policy, JPEG, target(), key, number) for key, number in ((b"key", 4), (b"yek", 3), (b"k", 3))]
        assert isinstance(policy, SSDView | FlipResize)
        others.append(render(dataclasses.replace(policy, seed=1), JPEG, target(), b"key", 3))
        assert not all(same(first, other) for other in others)


def test_another_process_shows_the_same_and_has_the_same_fingerprint() -> None:
    lines = "\n".join(
        [
            "from limbeck.detection.policies import ssd, ssd_photometric_last, flip_resize, resize",
            "print(*[policy.fingerprint() for policy in (ssd((64, 64)), ssd_photometric_last((64, 64)), "
            "flip_resize((80, 120)), resize((64, 48)))])",
        ]
    )
    out = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=True).stdout
    assert out.split() == [policy.fingerprint() for policy in ALL]
    assert len({*out.split(), ssd((64, 65)).fingerprint(), ssd((64, 64), seed=1).fingerprint()}) == 6


def test_every_named_policy_is_there() -> None:
    assert set(POLICIES) == {"ssd", "ssd_photometric_last", "flip_resize", "flip_multiscale", "resize"}


@pytest.mark.parametrize("policy", ALL, ids=lambda policy: type(policy).__name__)
def test_boxes_stay_on_their_objects_and_masks_too(policy: Policy) -> None:
    left = 0
    for number in range(12):
        view = render(policy, JPEG, target(masks=True), b"key", number)
        height, width = view.image.shape[1:]
        assert view.frame == Frame(height, width, SIZE, SIZE)
        boxes, masks = view.target.boxes, view.target.masks.decode()
        assert masks.shape == (len(boxes), height, width)
        assert (boxes[:, :2] < boxes[:, 2:]).all()
        assert boxes.min() >= 0
        assert (boxes[:, 2:] <= torch.tensor([width, height])).all()
        for box, mask in zip(boxes.tolist(), masks):
            rows, columns = mask.nonzero().unbind(1)
            if len(rows) < 40:
                continue
            left += 1
            around = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
            assert around[0] >= box[0] - 1.5
            assert around[1] >= box[1] - 1.5
            assert around[2] <= box[2] + 1.5
            assert around[3] <= box[3] + 1.5
    assert left > 12


def test_nothing_on_the_photo_is_no_obstacle() -> None:
    nothing = Target(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.bool))
    for policy in ALL:
        for number in range(20):
            view = render(policy, JPEG, nothing, b"key", number)
            assert view.target.boxes.shape == (0, 4)
            assert torch.isfinite(view.image.float()).all()


def test_dtypes_on_the_way() -> None:
    kinds = [render(policy, JPEG, target(), b"key", 0).image.dtype for policy in ALL]
    assert kinds == [torch.float16, torch.float16, torch.uint8, torch.uint8]
    for policy in ALL[:2]:
        assert isinstance(policy, SSDView)
        exact = dataclasses.replace(policy, exact=True)
        worst = rounded = 0.0
        for number in range(20):
            one, other = (render(each, JPEG, target(), b"key", number).image.float() for each in (policy, exact))
            worst = max(worst, float((one - other).abs().max()))
            rounded = max(rounded, float((other.round().clamp(0, 255) - other).abs().max()))
        assert worst <= 0.125  # a quarter of a byte's own rounding
        assert rounded > 20  # what bytes would cut off


# The reference's steps, told once more in plain numpy


def told_colours(bgr: np.ndarray, colours: Colours) -> np.ndarray:
    out = bgr.astype(np.float32)
    if colours.brightness is not None:
        out = out + np.float32(colours.brightness)
    if colours.contrast is not None and colours.contrast_first:
        out = out * np.float32(colours.contrast)
    hsv = np.asarray(cv2.cvtColor(out, cv2.COLOR_BGR2HSV), np.float32)
    if colours.saturation is not None:
        hsv[..., 1] = hsv[..., 1] * np.float32(colours.saturation)
        if colours.saturation > 1:
            hsv[..., 1] = hsv[..., 1].clip(0, 1)
    if colours.hue is not None:
        hue = hsv[..., 0] + np.float32(colours.hue)
        hsv[..., 0] = np.where(hue > 360, hue - 360, np.where(hue < 0, hue + 360, hue))
    out = np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR), np.float32)
    if colours.contrast is not None and not colours.contrast_first:
        out = out * np.float32(colours.contrast)
    return out


def test_colours_are_the_references() -> None:
    drawn = Random(0)
    for seed in range(40):
        colours = drawn_colours(drawn)
        pixels = photo(seed)
        ours = distorted(pixels, dataclasses.replace(colours, channels=None))
        np.testing.assert_allclose(ours[..., ::-1], told_colours(pixels[..., ::-1], colours), atol=2e-4)
        if colours.channels:
            assert np.array_equal(distorted(pixels, colours), ours[..., list(colours.channels)])
    unchanged = distorted(photo(), Colours(None, None, True, None, None, None))
    np.testing.assert_allclose(unchanged, photo(), atol=1e-3)


def test_each_colour_is_drawn_in_half_of_the_views_and_in_its_range() -> None:
    drawn = Random(1)
    many = [drawn_colours(drawn) for _ in range(2000)]
    for name, low, high in (
        ("brightness", -32, 32),
        ("contrast", 0.5, 1.5),
        ("saturation", 0.5, 1.5),
        ("hue", -18, 18),
    ):
        values = [getattr(each, name) for each in many if getattr(each, name) is not None]
        assert 900 < len(values) < 1100
        assert low <= min(values) < low + 0.02 * (high - low)
        assert high - 0.02 * (high - low) < max(values) <= high
    assert 900 < sum(each.contrast_first for each in many) < 1100
    assert 900 < sum(each.channels is not None for each in many) < 1100
    assert len({each.channels for each in many}) == 7


def test_why_torchvisions_distortion_is_not_used() -> None:
    # it multiplies, and cuts to the range of bytes; the references add, and cut nothing
    bright = np.full((4, 4, 3), 250, np.uint8)
    assert distorted(bright, Colours(32.0, None, True, None, None, None)).max() == pytest.approx(282, abs=1e-3)
    assert F.adjust_brightness(torch.from_numpy(bright).permute(2, 0, 1), 1.125).max() == 255


def test_the_larger_canvas_is_filled_with_the_mean_cut_to_bytes() -> None:
    pixels, nothing = photo(), Target(boxes_on(60, 80, 3, 0), torch.arange(3))
    scene = enlarged(Scene.of(pixels, nothing), 30, 20, 120, 200)
    part, place = seen(scene)
    bytes_, floats = (filled(scene, kind, place, MEAN).photo for kind in (part, part.astype(np.float32)))
    assert bytes_[0, 0].tolist() == [123, 116, 103]
    assert floats[0, 0].tolist() == pytest.approx(MEAN)
    for canvas in (bytes_, floats):
        assert canvas.shape == (120, 200, 3)
        assert np.array_equal(canvas[20:80, 30:110], pixels)
    torch.testing.assert_close(scene.boxes.as_subclass(torch.Tensor), nothing.boxes + torch.tensor([30, 20, 30, 20]))


def test_a_canvas_that_is_cut_again_never_exists_and_looks_the_same() -> None:
    drawn = Random(2)
    cuts = 0
    for seed in range(30):
        whole = Scene.of(photo(seed), Target(boxes_on(60, 80, 2, seed), torch.arange(2)))
        larger = enlarged(whole, 25, 10, 150, 220)
        canvas = filled(larger, *seen(larger), MEAN).photo
        part = maybe_cut(larger, drawn)
        left, top = part.window[0] + 25, part.window[1] + 10
        expected = canvas[top : top + part.height, left : left + part.width]
        assert np.array_equal(filled(part, *seen(part), MEAN).photo, expected)
        cuts += part.window != larger.window
    assert cuts > 10


@pytest.mark.parametrize(("kind", "most"), [(np.float32, 0.01), (np.uint8, 1)])
def test_only_the_pixels_that_are_asked_for_are_the_same(
    kind: type, most: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = Random(3)
    sampled = 0
    for seed in range(30):
        pixels = photo(seed)
        thing = Target(boxes_on(60, 80, 2, seed), torch.arange(2))
        whole = enlarged(Scene.of(pixels, thing), seed, 2 * seed, 60 + 3 * seed, 80 + 5 * seed)
        cut = maybe_cut(whole, drawn)
        part, place = seen(cut)
        shown = 20 + seed, 70 - seed
        want = resized(filled(cut, part.astype(kind), place, MEAN), *shown)
        monkeypatch.setattr(scenes, "_WHOLE", 10**7)
        exact = filled_at(cut, part.astype(kind), place, MEAN, *shown)
        monkeypatch.setattr(scenes, "_WHOLE", 0)
        few = filled_at(cut, part.astype(kind), place, MEAN, *shown)
        assert np.array_equal(exact.photo, want.photo)
        assert few.photo.dtype == kind
        assert few.window == want.window
        assert np.abs(few.photo.astype(np.float32) - want.photo).max() <= most
        assert torch.equal(few.boxes, want.boxes)
        sampled += not np.array_equal(few.photo, want.photo)
    assert sampled > 5


def test_a_large_photo_on_a_large_canvas_takes_little_memory_and_its_boxes_fit() -> None:
    pixels = np.zeros((3000, 4000, 3), np.uint8)
    box = 1201, 777, 3203, 2500
    pixels[box[1] : box[3], box[0] : box[2]] = 255
    target = Target(torch.tensor([box], dtype=torch.float32), torch.tensor([0]))
    scene = enlarged(Scene.of(pixels, target), 5003, 3001, 12000, 16000)
    tracemalloc.start()
    try:
        view = filled_at(scene, *seen(scene), (0.0, 0.0, 0.0), 300, 300)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 20e6  # the canvas: 576 MB
    rows, columns = (view.photo[..., 0] > 127).nonzero()
    around = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    assert np.abs(np.array(around) - view.boxes[0].numpy()).max() <= 0.5


def test_cocos_photos_are_filled_whole() -> None:
    assert scenes._WHOLE >= 640 * 640 * 4 * 4


def test_a_crop_agrees_with_every_box(monkeypatch: pytest.MonkeyPatch) -> None:
    for least in (0.1, 0.3, 0.5, 0.7):
        monkeypatch.setattr(cropping, "_OVERLAPS", (least, 1.0))
        drawn = Random(0)
        crops = 0
        for seed in range(150):
            boxes = boxes_on(60, 80, 1 + seed % 2, seed, (0.5, 0.9))
            scene = maybe_cut(Scene.of(photo(), Target(boxes, torch.arange(len(boxes)))), drawn)
            if (scene.height, scene.width) == (60, 80):
                continue
            crops += 1
            window = torch.tensor([scene.window], dtype=torch.float32)
            assert overlaps(window, boxes).min() >= least - 1e-6
            middle = (boxes[:, :2] + boxes[:, 2:]) / 2
            inside = ((middle > window[0, :2]) & (middle < window[0, 2:])).all(1)
            assert scene.rows.tolist() == inside.nonzero()[:, 0].tolist() != []
            shift = torch.tensor([scene.window[0], scene.window[1]]).repeat(2)
            cut = boxes[inside] - shift
            cut[:, 0::2].clamp_(0, scene.width)
            cut[:, 1::2].clamp_(0, scene.height)
            assert torch.equal(scene.boxes.as_subclass(torch.Tensor), cut)
            assert 0.29 * 60 < scene.height <= 60
            assert 0.29 * 80 < scene.width <= 80
        assert crops > 3


def test_torchvisions_crop_asks_one_box_only() -> None:
    # what RandomIoUCrop accepts (one box of those inside overlaps enough) the references refuse
    boxes = torch.tensor([[0.0, 0.0, 60.0, 60.0], [70.0, 50.0, 74.0, 54.0]])
    torch.manual_seed(0)
    theirs = v2.RandomIoUCrop(sampler_options=[0.5])
    framed = tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=(60, 80))
    _, kept = theirs(tv_tensors.Image(torch.zeros(3, 60, 80)), framed)
    assert kept.canvas_size != (60, 80)
    window = (0, 0, kept.canvas_size[1], kept.canvas_size[0])
    assert overlap(boxes.numpy(), window).min() < 0.5


def test_overlap_and_centres_are_those_of_the_layers() -> None:
    boxes = boxes_on(60, 80, 20, 3)
    window = (10, 12, 50, 44)
    ours = overlap(boxes.numpy(), window)
    np.testing.assert_allclose(ours, overlaps(torch.tensor([window]).float(), boxes)[0].numpy(), atol=1e-6)
    assert centred(np.array([[0, 0, 20, 24], [0, 0, 21, 25]], np.float32), window).tolist() == [False, True]


def test_a_photo_is_enlarged_in_half_of_the_views_up_to_four_times() -> None:
    drawn = Random(4)
    scene = Scene.of(photo(), Target(boxes_on(60, 80, 1, 0), torch.arange(1)))
    ratios = [maybe_enlarged(scene, drawn).width / 80 for _ in range(600)]
    larger = [ratio for ratio in ratios if ratio > 1]
    assert 240 < len(larger) < 360
    assert max(larger) <= 4
    assert max(larger) > 3.8


def test_resizing_is_opencvs_and_torchvision_differs_by_one_grey_level() -> None:
    smooth = cv2.GaussianBlur(photo(height=120, width=160), (0, 0), 2)
    for pixels, most in ((smooth, 1), (smooth.astype(np.float32), 2e-3)):
        scene = resized(Scene.of(pixels, Target(boxes_on(120, 160, 2, 0), torch.arange(2))), 75, 70)
        theirs = F.resize(torch.from_numpy(pixels).permute(2, 0, 1), [75, 70], antialias=False).permute(1, 2, 0)
        apart = np.abs(theirs.float().numpy() - scene.photo)
        assert apart.max() <= most
        if pixels.dtype == np.uint8:
            assert (apart > 0).mean() > 0.02  # which is why OpenCV is called
    expected = boxes_on(120, 160, 2, 0) * torch.tensor([70 / 160, 75 / 120, 70 / 160, 75 / 120])
    torch.testing.assert_close(scene.boxes.as_subclass(torch.Tensor), expected)


def test_both_orders_draw_alike_and_differ_in_colour_alone() -> None:
    changed = 0
    for number in range(20):
        first, last = (
            render(dataclasses.replace(policy, exact=True), JPEG, target(), b"key", number)
            for policy in (ssd((64, 64)), ssd_photometric_last((64, 64)))
        )
        assert torch.equal(first.target.boxes, last.target.boxes)
        assert torch.equal(first.target.labels, last.target.labels)
        changed += not torch.equal(first.image, last.image)
    assert changed == 20


@pytest.mark.parametrize(
    ("height", "width", "size", "expected"),
    [
        (480, 640, (800, 1333), (800, 1067)),
        (640, 480, (800, 1333), (1067, 800)),
        (400, 1000, (800, 1333), (533, 1333)),
        (427, 640, (800, 1333), (800, 1199)),
        (1200, 1200, (1333, 800), (800, 800)),
        (1, 4000, (800, 1333), (1, 1333)),
    ],
)
def test_within_keeps_proportions(height: int, width: int, size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert within(height, width, size) == expected


def test_several_sizes_and_those_between_two() -> None:
    chosen = FlipResize(((40, 60), (60, 90)))
    heights = {render(chosen, JPEG, target(), b"key", number).image.shape[1] for number in range(20)}
    assert heights == {40, 60}
    spanned = FlipResize(((40, 300), (60, 300)), spanned=True)
    heights = {render(spanned, JPEG, target(), b"key", number).image.shape[1] for number in range(60)}
    assert len(heights) > 10
    assert min(heights) >= 40
    assert max(heights) <= 60
    assert render(spanned.at((32, 64)), JPEG, target(), b"key", 0).image.shape == (3, 32, 32)
    for wrong in (dict(sizes=()), dict(sizes=((1, 1),), spanned=True)):
        with pytest.raises(OptionError):
            FlipResize(**wrong)


def test_a_flip_mirrors_pixels_boxes_and_masks() -> None:
    always, never = FlipResize(((96, 96),), flip=1.0), FlipResize(((96, 96),), flip=0.0)
    one, other = (render(policy, JPEG, target(masks=True), b"key", 0) for policy in (always, never))
    assert torch.equal(one.image, other.image.flip(2))
    assert torch.equal(
        one.target.boxes[:, [2, 1, 0, 3]],
        other.target.boxes * torch.tensor([-1, 1, -1, 1]) + torch.tensor([96, 0, 96, 0]),
    )
    assert torch.equal(one.target.masks.decode(), other.target.masks.decode().flip(2))


def test_evaluation_shows_the_whole_photo_unchanged(tmp_path: Path) -> None:
    exact = render(resize((64, 48)), JPEG, target(), b"key", 0)
    assert exact.frame == Frame(64, 48, SIZE, SIZE)
    torch.testing.assert_close(exact.target.boxes, target().boxes * torch.tensor([48, 64, 48, 64]) / SIZE)
    assert same(exact, render(resize((64, 48)), JPEG, target(), b"other", 5))
    kept = render(resize((80, 200), keep_ratio=True), JPEG, target(), b"key", 0)
    assert kept.frame == Frame(80, 80, SIZE, SIZE)
