from collections import Counter

import numpy as np
import pytest

from limbeck.errors import ImagesError, OptionError
from limbeck.images.order import Order


def test_each_image_once_an_epoch_and_the_last_batch_filled_up() -> None:
    order = Order(count=103, batch=10, seed=3)
    assert order.steps_per_epoch == 11
    epochs = []
    for epoch in range(3):
        steps = range(epoch * 11, epoch * 11 + 11)
        assert {order.epoch(step) for step in steps} == {epoch}
        reads = [read for step in steps for read in order.reads(step)]
        assert {numbers for _, numbers in reads} == {(epoch,)}
        assert {index for index, _ in reads[:103]} == set(range(103))
        assert reads[103:] == reads[:7]
        epochs.append([index for index, _ in reads])
    assert epochs[0] != epochs[1] != epochs[2]


@pytest.mark.parametrize("views", [0, 4, 8])
def test_one_read_serves_consecutive_views(views: int) -> None:
    crops = 4
    order = Order(count=51, batch=12, seed=0, views=views, crops_per_read=crops)
    steps_per_pass = order.steps_per_epoch * crops
    for turn in range(3):
        seen: Counter[tuple[int, int]] = Counter()
        for step in range(turn * steps_per_pass, (turn + 1) * steps_per_pass):
            reads = order.reads(step)
            assert len(reads) == 3
            assert len({index for index, _ in reads}) == 3
            seen.update((index, number) for index, numbers in reads for number in numbers)
        first = turn * crops % views if views else turn * crops
        assert {number for _, number in seen} == set(range(first, first + crops))
        assert len(seen) == 51 * crops
        assert Counter(seen.values()) == {1: 42 * crops, 2: 9 * crops}  # 5 steps an epoch, 60 reads a pass


@pytest.mark.parametrize("epochs", range(1, 9))
@pytest.mark.parametrize("crops", [1, 2, 4])
def test_epochs_are_refused_where_images_would_be_shown_unequally(epochs: int, crops: int) -> None:
    order = Order(count=8, batch=4, seed=0, crops_per_read=crops)
    steps = range(epochs * order.steps_per_epoch)
    seen = Counter(index for step in steps for index, numbers in order.reads(step) for _ in numbers)
    if [seen[index] for index in range(8)] == [epochs] * 8:
        order.check_epochs(epochs)
    else:
        with pytest.raises(OptionError, match=rf"{epochs} epochs with {crops} crops per read"):
            order.check_epochs(epochs)


def test_the_cure_for_epochs_that_do_not_fit() -> None:
    with pytest.raises(OptionError, match="--epochs 8, or --crops-per-read 2") as refused:
        Order(count=8, batch=4, seed=0, crops_per_read=4).check_epochs(6)
    assert "a multiple of 4" in refused.value.expected


def test_views_go_round() -> None:
    order = Order(count=8, batch=4, seed=0, views=3)
    assert [order.reads(step)[0][1] for step in range(0, 14, 2)] == [(0,), (1,), (2,), (0,), (1,), (2,), (0,)]


def test_any_step_alone_is_the_same() -> None:
    reads = [Order(40, 8, seed=7).reads(step) for step in range(12)]
    order = Order(40, 8, seed=7)
    assert [order.reads(step) for step in reversed(range(12))] == reads[::-1]
    assert [Order(40, 8, seed=8).reads(step) for step in range(12)] != reads


@pytest.mark.parametrize("crops", [1, 2])
@pytest.mark.parametrize("world", [1, 2, 4])
def test_ranks_share_the_global_batch(world: int, crops: int) -> None:
    order = Order(100, 16, seed=1, crops_per_read=crops)
    for step in (0, 5, 13):
        parts = [order.reads(step, rank, world) for rank in range(world)]
        assert {len(part) for part in parts} == {16 // world // crops}
        assert [read for part in parts for read in part] == order.reads(step)


def test_the_order_is_the_same_in_every_version() -> None:
    assert [index for index, _ in Order(12, 12, seed=5).reads(0)] == [9, 10, 2, 4, 3, 1, 5, 0, 6, 11, 7, 8]


def test_places_are_even() -> None:
    counts = np.zeros((8, 8))
    order = Order(8, 8, seed=0)
    for step in range(800):
        for place, (index, _) in enumerate(order.reads(step)):
            counts[index, place] += 1
    assert ((counts - 100) ** 2 / 100).sum() < 100  # chi-square, 49 degrees of freedom


def test_five_million_images() -> None:
    order = Order(5_200_000, 256, seed=0)
    indices = [index for step in (0, 7, order.steps_per_epoch - 2) for index, _ in order.reads(step)]
    assert len(set(indices)) == 768
    assert max(indices) > 5_000_000


def test_too_few_images() -> None:
    with pytest.raises(ImagesError, match=r"100 usable images, fewer than a batch of 256\n.*256 images\n.*--batch 64"):
        Order(100, 256, seed=0)
    with pytest.raises(ImagesError, match="more images"):
        Order(0, 1, seed=0)


def test_crops_must_divide_batch_and_views() -> None:
    for wrong in ({"batch": 10}, {"batch": 12, "views": 6}, {"batch": 12, "crops_per_read": 0}):
        with pytest.raises(OptionError, match="--crops-per-read"):
            Order(**{"count": 100, "seed": 0, "crops_per_read": 4} | wrong)


def test_processes_must_divide_the_batch() -> None:
    with pytest.raises(OptionError, match=r"a batch of 10 over 4 processes.*\n.*\n.*--batch 12"):
        Order(100, 10, seed=0).reads(0, 0, 4)
    with pytest.raises(OptionError, match="--batch 16"):
        Order(100, 12, seed=0, crops_per_read=4).reads(0, 1, 2)


@pytest.mark.parametrize(("batch", "world"), [(8, 1), (8, 2), (1, 1)])
def test_batches_of_one_kind(batch: int, world: int) -> None:
    kinds = np.arange(103) % 3 == 0
    order = Order(count=103, batch=batch, seed=3, kinds=kinds)
    for epoch in range(3):
        steps = range(epoch * order.steps_per_epoch, (epoch + 1) * order.steps_per_epoch)
        batches = [[index for rank in range(world) for index, _ in order.reads(step, rank, world)] for step in steps]
        assert {index for each in batches for index in each} == set(range(103))
        mixed = [place for place, each in enumerate(batches) if len({kinds[index] for index in each}) > 1]
        assert all(place >= len(batches) - 2 for place in mixed), "what is left over comes last"
        assert batch == 1 or len({kinds[each[0]] for each in batches[:-2]}) == 2
    again = Order(count=103, batch=batch, seed=3, kinds=kinds)
    assert again.reads(order.steps_per_epoch + 2) == order.reads(order.steps_per_epoch + 2), "from any step on"


def test_one_kind_alone_keeps_the_order() -> None:
    plain, kinds = Order(count=50, batch=4, seed=1), Order(count=50, batch=4, seed=1, kinds=np.zeros(50, bool))
    assert [plain.reads(step) for step in range(26)] == [kinds.reads(step) for step in range(26)]


def test_a_batch_comes_when_it_is_full() -> None:
    """Not all wide ones first: the kinds come as they are drawn."""
    kinds = np.arange(1000) < 300
    order = Order(count=1000, batch=4, seed=0, kinds=kinds)
    first = [bool(kinds[order.reads(step)[0][0]]) for step in range(100)]
    assert 15 < sum(first) < 45
