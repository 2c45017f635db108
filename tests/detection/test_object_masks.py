"""Masks are decoded on demand, as COCO's own tools draw them, and follow what is done to their picture."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from limbeck.detection.dataset import DetectionSet
from limbeck.detection.masks import Masks, Outlines, Size
from limbeck.scenes.dataset import draw_boxes_dataset

mask_tools = pytest.importorskip("pycocotools.mask")


def blob(seed: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(seed).random((height, width)) > 0.6


def run_lengths(mask: np.ndarray, packed: bool) -> dict[str, object]:
    text = mask_tools.encode(np.asfortranarray(mask.astype(np.uint8)))
    if packed:
        return {"size": list(mask.shape), "counts": text["counts"].decode()}
    down = mask.T.ravel()
    edges = np.flatnonzero(np.diff(down.astype(int), prepend=0))
    return {"size": list(mask.shape), "counts": np.diff(edges, prepend=0, append=down.size).tolist()}


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_polygons_are_drawn_as_by_cocos_tools() -> None:
    rng = np.random.default_rng(0)
    outlines = [
        [rng.uniform(0, 40, 2 * rng.integers(3, 9)).round(2).tolist() for _ in range(parts)] for parts in (1, 3)
    ]
    ours = Masks(tuple(map(Outlines(outlines).__getitem__, range(2))), Size(30, 40)).decode()
    for mask, polygons in zip(ours, outlines, strict=True):
        theirs = mask_tools.decode(mask_tools.frPyObjects(polygons, 30, 40)).any(2)
        assert np.array_equal(mask.numpy(), theirs)


@pytest.mark.parametrize("packed", [False, True])
def test_run_lengths_come_back(packed: bool) -> None:
    blobs = [blob(seed, 13, 17) for seed in range(3)]
    outlines = Outlines([*(run_lengths(each, packed) for each in blobs), None, [[0, 0, 2, 0, 2, 2]]])
    masks = Masks(tuple(map(outlines.__getitem__, range(5))), Size(13, 17)).decode()
    assert np.array_equal(masks[:3].numpy(), np.stack(blobs))
    assert not masks[3].any()
    assert masks[4].any()


def test_masks_follow_their_picture() -> None:
    blobs = np.stack([blob(seed, 12, 16) for seed in range(3)])
    outlines = Outlines([run_lengths(each, True) for each in blobs])
    masks = Masks(tuple(map(outlines.__getitem__, range(3))), Size(12, 16))
    larger = np.pad(blobs, ((0, 0), (2, 6), (4, 12)))
    assert np.array_equal(masks.cut(-4, -2, 28, 18).decode().numpy(), larger)
    assert np.array_equal(masks.cut(3, 2, 11, 10).decode().numpy(), blobs[:, 2:10, 3:11])
    assert np.array_equal(masks.resized(24, 32).decode().numpy(), blobs.repeat(2, 1).repeat(2, 2))
    both = masks.take([2, 0]).cut(3, 2, 11, 10).flipped().resized(16, 16).decode()
    assert np.array_equal(both.numpy(), blobs[[2, 0], 2:10, 10:2:-1].repeat(2, 1).repeat(2, 2))
    assert masks.take([]).resized(5, 6).decode().shape == (0, 5, 6)


def test_masks_of_a_set_are_those_of_the_scenes(tmp_path: Path) -> None:
    draw_boxes_dataset(tmp_path, 14, seed=3, size=48, workers=1, shown=False)
    photos = DetectionSet.open(tmp_path, masks=True, workers=0, shown=False)
    plain = DetectionSet.open(tmp_path, workers=0, shown=False)
    assert plain.target(0).masks is None
    several = 0
    for index in range(len(photos)):
        target = photos.target(index)
        masks = target.masks.decode()
        several += len(masks) > 1
        assert torch.equal(target.boxes, plain.target(index).boxes)
        for mask, box in zip(masks, target.boxes.int().tolist(), strict=True):
            rows, columns = mask.nonzero().unbind(1)
            found = [int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1]
            assert found == box
    assert several


def test_an_area_that_no_file_says_is_the_masks(tmp_path: Path) -> None:
    draw_boxes_dataset(tmp_path, 3, seed=3, size=48, objects=1, workers=1, shown=False)
    path = tmp_path / "annotations.json"
    content = json.loads(path.read_text())
    said = content["annotations"][0].pop("area")
    path.write_text(json.dumps(content))
    photos, plain = (DetectionSet.open(tmp_path, masks=masks, workers=0, shown=False) for masks in (True, False))
    assert np.isnan(photos.columns.area).tolist() == [True, False, False]
    assert int(photos.target(0).masks.decode().sum()) == said
    left, top, right, bottom = plain.columns.boxes[0].tolist()
    assert plain.columns.area[0] == (right - left) * (bottom - top)
