"""Batches of photos with boxes: the same whoever reads them, padded, split, and from any step on."""

import dataclasses
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from limbeck.detection.dataset import DetectionSet
from limbeck.detection.loader import DetectionBatch, Loader, evaluation_batches
from limbeck.detection.policies import FlipResize, flip_resize, resize, ssd
from limbeck.detection.shared_draws import Sizes
from limbeck.detection.views import render
from limbeck.errors import ImagesError, OptionError
from limbeck.scenes.dataset import draw_boxes_dataset
from tests.checkup.sets import HEIGHT, WIDTH, coco, coco_content, photo

COUNT = 18
POLICY = ssd((32, 32))


@pytest.fixture
def photos(tmp_path: Path) -> DetectionSet:
    draw_boxes_dataset(tmp_path / "set", COUNT, seed=2, size=40, workers=1, shown=False)
    return opened(tmp_path / "set")


def opened(folder: Path, masks: bool = False) -> DetectionSet:
    return DetectionSet.open(folder, masks=masks, workers=0, shown=False)


def same(ours: list[DetectionBatch], theirs: list[DetectionBatch]) -> bool:
    return len(ours) == len(theirs) and all(
        all(
            torch.equal(a, b)
            for a, b in zip(
                (one.images, *one.targets, one.frames, one.indices, one.numbers),
                (other.images, *other.targets, other.frames, other.indices, other.numbers),
            )
        )
        and (one.replaced, one.reasons) == (other.replaced, other.reasons)
        for one, other in zip(ours, theirs)
    )


def read(photos: DetectionSet, workers: int = 0, done: int = 0, **options: object) -> list[DetectionBatch]:
    settings: dict[str, object] = {"batch": 4, "steps": 7, "seed": 3, **options}
    policy = settings.pop("policy", POLICY)
    return list(Loader(photos, policy, workers=workers, **settings)(done, {}))  # type: ignore[arg-type]


def test_the_same_bytes_for_any_number_of_workers_and_from_any_step_on(photos: DetectionSet) -> None:
    alone = read(photos)
    assert len(alone) == 7
    assert alone[0].images.shape == (4, 3, 32, 32)
    assert alone[0].images.is_contiguous(memory_format=torch.channels_last)
    assert same(read(photos, workers=3), alone)
    assert same(read(photos, workers=1, done=4), alone[4:])
    first = alone[0]
    index, number = int(first.indices[2]), int(first.numbers[2])
    key = photos.images.keys[index].tobytes()
    view = render(POLICY, photos.images.read(index), photos.target(index), key, number)
    assert torch.equal(first.images[2], view.image)
    assert torch.equal(first.targets.boxes[2][first.targets.there[2]], view.target.boxes)
    assert first.frames[2].tolist() == [32, 32, 40, 40]
    assert first.names()[2] == photos.images.path(index)


def test_two_processes_read_what_one_does(photos: DetectionSet) -> None:
    one = read(photos)[2]
    halves = [read(photos, rank=rank, world=2)[2] for rank in range(2)]
    assert torch.equal(torch.cat([half.images for half in halves]), one.images)
    assert torch.equal(torch.cat([half.indices for half in halves]), one.indices)


@pytest.mark.parametrize("repeats", [1, 3])
def test_an_epoch_shows_each_image_so_often_each_time_otherwise(photos: DetectionSet, repeats: int) -> None:
    feed = Loader(photos, POLICY, batch=6, steps=0, repeats=repeats)
    assert feed.steps_per_epoch == COUNT * repeats // 6
    epochs = [
        [feed.reads(epoch * feed.steps_per_epoch + step) for step in range(feed.steps_per_epoch)] for epoch in (0, 1)
    ]
    shown = [Counter(index for reads in epoch for index, _ in reads) for epoch in epochs]
    assert shown == [Counter(dict.fromkeys(range(COUNT), repeats))] * 2
    views = [each for epoch in epochs for reads in epoch for each in reads]
    assert len(set(views)) == len(views)
    assert {number for _, number in views} == set(range(2 * repeats))
    with pytest.raises(OptionError):
        Loader(photos, POLICY, batch=6, steps=0, repeats=0)
    with pytest.raises(ImagesError, match="fewer than a batch"):
        Loader(photos, POLICY, batch=COUNT * repeats + 1, steps=0, repeats=repeats)


def test_a_batch_of_one_size_for_each_step(photos: DetectionSet) -> None:
    sizes = Sizes(((32, 32), (48, 48), (64, 64)), every=2)
    batches = read(photos, sizes=sizes, steps=12)
    shapes = [tuple(batch.images.shape[2:]) for batch in batches]
    assert shapes == [sizes.at(step) for step in range(12)]
    assert len(set(shapes)) > 1
    assert all(one == other for one, other in zip(shapes[::2], shapes[1::2]))
    assert same(read(photos, workers=2, done=5, sizes=sizes, steps=12), batches[5:])


def test_images_of_different_sizes_share_a_canvas(tmp_path: Path) -> None:
    root = coco(tmp_path / "set")
    Image.fromarray(np.full((80, 40, 3), 200, np.uint8)).save(root / "images" / "3.jpg")
    photos = DetectionSet.open(root, skip_bad=True, workers=0, shown=False)  # 3.jpg has another size now
    assert len(photos) == 19
    policy = FlipResize(((50, 100), (40, 60)))
    (batch,) = read(photos, policy=policy, batch=16, steps=1)
    assert batch.images.dtype == torch.uint8
    assert [side % 32 for side in batch.images.shape[2:]] == [0, 0]
    heights = batch.frames[:, 0].tolist()
    assert set(heights) == {50, 40}
    assert batch.padded
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)
    network = batch.normalised(mean, std)
    assert network.dtype == torch.float32
    for row, (high, wide, *_) in enumerate(batch.frames.int().tolist()):
        own = batch.images[row, :, :high, :wide].float() / 255
        expected = (own - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
        torch.testing.assert_close(network[row, :, :high, :wide], expected, atol=1e-5, rtol=1e-5)
        assert not network[row, :, high:].any()
        assert not network[row, :, :, wide:].any()
        assert (batch.targets.boxes[row][batch.targets.there[row]] <= torch.tensor([wide, high, wide, high])).all()
    assert batch.images.dtype == torch.uint8


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.float32])
def test_normalising_leaves_the_batch_alone(dtype: torch.dtype, photos: DetectionSet) -> None:
    batch = read(photos, policy=flip_resize((32, 32)), steps=1)[0]
    images = batch.images.to(dtype)
    before = images.clone()
    network = dataclasses.replace(batch, images=images).normalised((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    assert torch.equal(images, before)
    torch.testing.assert_close(network, before.float() / 255 * 4 - 2)


def test_a_split_batch_is_the_same_in_parts(tmp_path: Path) -> None:
    draw_boxes_dataset(tmp_path, COUNT, seed=2, size=40, workers=1, shown=False)
    batch = read(opened(tmp_path, masks=True), batch=7)[0]
    assert len(batch.masks) == len(batch) == 7
    parts = batch.split(3)
    assert list(map(len, parts)) == [3, 3, 1]
    assert torch.equal(torch.cat([part.images for part in parts]), batch.images)
    assert torch.equal(torch.cat([part.targets.boxes for part in parts]), batch.targets.boxes)
    assert [name for part in parts for name in part.names()] == batch.names()
    for part in parts:
        moved = part.to(torch.device("cpu"))
        assert torch.equal(moved.frames, part.frames)
        for masks, there in zip(part.masks, part.targets.there, strict=True):
            assert masks.decode().shape == (int(there.sum()), 32, 32)


def test_crowds_are_neither_among_the_targets_nor_the_masks(tmp_path: Path) -> None:
    draw_boxes_dataset(tmp_path, 4, seed=2, size=40, objects=1, workers=1, shown=False)
    path = tmp_path / "annotations.json"
    path.write_text(path.read_text().replace('"iscrowd": 0', '"iscrowd": 1', 1))
    (batch,) = evaluation_batches(opened(tmp_path, masks=True), resize((32, 32)), batch=4)
    assert batch.targets.there.sum(1).tolist() == [len(masks) for masks in batch.masks] == [0, 1, 1, 1]


@pytest.mark.parametrize("workers", [0, 2])
def test_an_unreadable_image_gives_its_place_to_the_next(photos: DetectionSet, workers: int) -> None:
    Path(photos.images.path(5)).write_bytes(b"no photo any more")
    feed = Loader(photos, POLICY, batch=6, steps=3, workers=workers)
    batches = list(feed(0, {}))
    replaced = {old: new for batch in batches for old, new in batch.replaced.items()}
    assert replaced == {5: 6}
    assert list(feed.lost) == [5]
    shown = [int(index) for batch in batches for index in batch.indices]
    assert sorted(shown) == sorted([*range(5), 6, 6, *range(7, COUNT)])
    batch = next(each for each in batches if 5 in each.replaced)
    place = [index for index, _ in feed.reads(next(k for k, each in enumerate(batches) if each is batch))].index(5)
    key, number = photos.images.keys[6].tobytes(), int(batch.numbers[place])
    view = render(POLICY, photos.images.read(6), photos.target(6), key, number)
    assert torch.equal(batch.images[place], view.image)
    assert torch.equal(batch.targets.boxes[place][batch.targets.there[place]], view.target.boxes)
    again = list(Loader(photos, POLICY, batch=6, steps=3, workers=workers)(0, replaced))
    assert [each.indices.tolist() for each in again] == [each.indices.tolist() for each in batches]


@pytest.mark.parametrize("workers", [0, 2])
def test_evaluation_goes_in_order_and_tells_what_it_could_not_read(photos: DetectionSet, workers: int) -> None:
    for index in (5, 8, 9, 10, 11):
        Path(photos.images.path(index)).unlink()
    lost: dict[int, str] = {}
    batches = list(evaluation_batches(photos, resize((32, 24)), batch=4, workers=workers, lost=lost))
    assert [batch.indices.tolist() for batch in batches] == [[0, 1, 2, 3], [4, 6, 7], [12, 13, 14, 15], [16, 17]]
    assert list(lost) == [5, 8, 9, 10, 11]
    assert batches[0].frames.tolist() == [[32, 24, 40, 40]] * 4
    for row, index in enumerate(batches[1].indices.tolist()):
        own = photos.target(index).boxes * torch.tensor([24, 32, 24, 32]) / 40
        torch.testing.assert_close(batches[1].targets.boxes[row][batches[1].targets.there[row]], own)


def test_a_batch_in_which_nothing_is_to_be_found(tmp_path: Path) -> None:
    draw_boxes_dataset(tmp_path, 6, seed=2, size=40, workers=1, shown=False)
    photos = opened(tmp_path)
    spans = np.zeros_like(photos.columns.spans)
    empty = dataclasses.replace(photos, columns=dataclasses.replace(photos.columns, spans=spans))
    (batch,) = read(empty, batch=6, steps=1)
    assert batch.targets.boxes.shape == (6, 0, 4)
    assert torch.isfinite(batch.normalised((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))).all()


@pytest.mark.shared
def test_real_photos_in_a_worker_straight_from_the_archive(shared: Path) -> None:
    photos = DetectionSet.open(shared / "data" / "bccd.zip", split="train", workers=0, shown=False)
    feed = Loader(photos, ssd(), batch=8, steps=2, workers=1, repeats=5)
    assert feed.steps_per_epoch == 129
    for batch in feed(0, {}):
        assert batch.images.shape == (8, 3, 300, 300)
        assert batch.targets.there.any()
        assert batch.frames[0].tolist() == [300, 300, 480, 640]


def test_photos_of_one_shape_share_a_batch(tmp_path: Path) -> None:
    """Tall ones with tall ones, wide ones with wide ones, however often each is shown: no batch needs a square."""
    content = coco_content()
    source = coco(tmp_path / "set")
    for each in content["images"][::3]:
        photo(source / "images" / each["file_name"], each["id"], (HEIGHT, WIDTH))
        each |= {"width": HEIGHT, "height": WIDTH}
    (source / "annotations" / "instances.json").write_text(json.dumps(content))
    photos = opened(source)
    sizes = [photos.images.size(row) for row in range(len(photos))]
    tall = photos.images.tall()
    assert tall.tolist() == [height > width for height, width in sizes]
    assert photos.take([0, 1, 3]).images.tall().tolist() == tall[[0, 1, 3]].tolist()
    policy = dataclasses.replace(flip_resize((32, 64)), keep_ratio=True, divisor=8)
    feed = Loader(photos, policy, batch=4, steps=20, repeats=2, by_shape=True)
    batches = list(feed(0, {}))
    mixed = [place for place, each in enumerate(batches) if len(set(tall[each.indices].tolist())) > 1]
    assert set(mixed) <= {8, 9, 18, 19}, "what is left over at the end of an epoch"
    shapes = Counter(each.images.shape[2] > each.images.shape[3] for each in batches)
    assert shapes[True] >= 4
    assert shapes[False] >= 8
