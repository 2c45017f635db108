"""Scenes are pure, varied, and know exactly where their objects are."""

import hashlib
import multiprocessing

import numpy as np
import pytest

from limbeck.scenes import scene as scenes
from limbeck.scenes.scene import DIFFICULTY, Canvas, Scene, box_around, draw_scene
from limbeck.scenes.shapes import CLASSES, CUT, SHAPES, outline


def digest(scene: Scene) -> str:
    whole = hashlib.sha256(scene.image.tobytes() + bytes([scene.label, scene.quality]))
    for each in scene.objects:
        whole.update(each.mask.tobytes() + repr((each.label, each.box)).encode())
    return whole.hexdigest()


def digests(seeds: list[int]) -> list[str]:
    return [digest(draw_scene(seed, objects=2)) for seed in seeds]


def test_a_scene_is_a_pure_function_in_every_process() -> None:
    seeds = [3, 1, 2**70, 0]
    here = digests(seeds)
    np.random.seed(5)
    draw_scene(99)
    assert digests(seeds[::-1]) == here[::-1]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(digests, (seeds,)) == here


def test_scenes_differ() -> None:
    assert len({digest(draw_scene(seed, label=4)) for seed in range(100)}) == 100


def test_a_label_that_is_drawn_gives_the_scene_of_that_label() -> None:
    drawn = draw_scene(11)
    assert digest(draw_scene(11, label=drawn.label)) == digest(drawn)
    assert draw_scene(11, label=(drawn.label + 1) % 12).label != drawn.label


@pytest.mark.parametrize("size", [32, 64, 96])
def test_a_picture_has_the_size_asked_for(size: int) -> None:
    scene = draw_scene(0, size=size)
    assert scene.image.shape == (size, size, 3)
    assert scene.image.dtype == np.uint8
    assert scene.objects[0].mask.shape == (size, size)


def test_every_scene_has_its_main_object_in_sight() -> None:
    for seed in range(120):
        scene = draw_scene(seed)
        (only,) = scene.objects
        assert only.label == scene.label
        assert only.mask.sum() >= 6


def test_several_objects_have_their_own_pixels_and_classes() -> None:
    for seed in range(20):
        scene = draw_scene(seed, objects=4, label=2)
        assert 2 <= len(scene.objects) <= 4
        assert scene.objects[0].label == 2
        assert np.sum([each.mask for each in scene.objects], axis=0).max() <= 2  # a pixel may be shared half and half
        assert all(each.box == box_around(each.mask) for each in scene.objects)


def test_the_mask_is_where_the_object_was_painted() -> None:
    for seed in range(24):
        canvas = Canvas(np.random.default_rng(seed), 64)
        canvas.place_clutter()
        before = canvas.pixels.copy()
        canvas.place_object(0, seed % len(CLASSES), crowd=1)
        changed = (canvas.pixels != before).any(2)
        owned = canvas.owner == 0
        assert not (changed & ~owned).any()
        assert changed.sum() >= 0.99 * owned.sum()  # a texture may happen to have the colour of what it covers
        (found,) = canvas.objects([seed % len(CLASSES)])
        quarters = changed.reshape(64, 2, 64, 2).sum((1, 3))
        assert found.mask[quarters > 2].all()
        assert (quarters[found.mask] > 0).mean() > 0.99


def test_what_hides_an_object_leaves_its_mask_and_enough_of_it() -> None:
    hidden = 0
    for seed in range(30):
        canvas = Canvas(np.random.default_rng(seed), 64)
        canvas.place_object(0, seed % len(CLASSES), crowd=1)
        before, alone = canvas.pixels.copy(), canvas.owner == 0
        for _ in range(6):
            canvas.place_clutter()
        left = canvas.owner == 0
        covered = (canvas.pixels != before).any(2)
        assert not (covered & left).any()
        assert left.sum() >= DIFFICULTY.visible * alone.sum()
        hidden += bool(left.sum() < alone.sum())
    assert hidden > 5


def test_the_photograph_keeps_everything_in_its_place() -> None:
    pixels = np.zeros((128, 128, 3), np.uint8)
    pixels[40:80, 20:60] = 255
    bright = scenes._photograph(np.random.default_rng(0), pixels, 64).mean(2) > 90
    assert np.abs(np.subtract(box_around(bright), (10, 20, 30, 40))).max() <= 1


@pytest.mark.parametrize("kind", CLASSES)
def test_objects_of_a_kind_vary_and_fill_their_square(kind: str) -> None:
    shapes = [outline(kind, np.random.default_rng(seed)) for seed in range(20)]
    ends = [np.concatenate([points for tone, points in shape if tone != CUT]) for shape in shapes]
    assert len({points.tobytes() for points in ends}) == 20
    for points in ends:
        assert np.abs(points).max() == pytest.approx(1)
        assert np.allclose(points.min(0) + points.max(0), 0)


def test_classes_are_in_the_order_in_which_class_folders_are_read() -> None:
    assert list(CLASSES) == sorted(SHAPES)
    assert len(CLASSES) >= 10


def test_colour_gives_nothing_away() -> None:
    # the mean colour of each class is that of all scenes, within what 60 draws scatter
    means = np.array([[draw_scene(k * 100 + n, label=k).image.mean((0, 1)) for n in range(60)] for k in range(12)])
    scatter = means.std((0, 1)) / np.sqrt(60)
    assert np.abs((means.mean(1) - means.mean((0, 1))) / scatter).max() < 4.5
