import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from itertools import chain
from pathlib import Path

import pytest
import torch
from photos import edit, folder_of
from torch import nn

from limbeck.errors import ImagesError
from limbeck.images import stream
from limbeck.images.imageset import ImageSet
from limbeck.images.order import Order, Read
from limbeck.images.prepare import evaluation_view
from limbeck.images.reader import Batch, Reader, evaluation_batches
from limbeck.images.view import ViewPolicy, render
from limbeck.records import Preprocess

POLICY = ViewPolicy(32, colour="autoaugment")
COUNT = 24


@pytest.fixture
def images(tmp_path: Path) -> ImageSet:
    return ImageSet.open(folder_of(tmp_path / "photos", COUNT), cache=tmp_path / "cache", workers=1, shown=False)


def read(images: ImageSet, reads: list[list[Read]], workers: int = 0, **options: dict[int, int]) -> list[Batch]:
    return list(Reader(images, POLICY, workers=workers, **options).batches(reads))


def same(ours: list[Batch], theirs: list[Batch]) -> bool:
    return len(ours) == len(theirs) and all(
        torch.equal(one.images, other.images)
        and torch.equal(one.indices, other.indices)
        and torch.equal(one.numbers, other.numbers)
        and (one.replaced, one.reasons) == (other.replaced, other.reasons)
        for one, other in zip(ours, theirs, strict=True)
    )


def spoil(images: ImageSet, index: int, how: str) -> None:
    path = Path(images.path(index))
    if how == "gone":
        path.unlink()
    elif how == "cut":
        path.write_bytes(path.read_bytes()[:500])
    elif how == "edited in place":
        edit(path)
    elif how == "edited":
        path.write_bytes(path.read_bytes() + b"a comment behind the photo")
    else:
        path.write_bytes(b"no image any more")


def test_workers_are_spawned_on_macos(images: ImageSet, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = [[(index, (0,)) for index in range(8)]]
    with monkeypatch.context() as there:
        there.setattr(sys, "platform", "darwin")
        context = stream._context.__wrapped__()
    assert context.get_start_method() == "spawn"
    monkeypatch.setattr(stream, "_context", lambda: context)
    assert same(read(images, reads, workers=1), read(images, reads))


@pytest.mark.parametrize("crops", [1, 2])
def test_the_same_bytes_for_any_number_of_workers(images: ImageSet, crops: int) -> None:
    order = Order(COUNT, 8, seed=1, crops_per_read=crops)
    reads = [order.reads(step) for step in range(8)]
    alone = read(images, reads)
    assert alone[0].images.shape == (8, 3, 32, 32)
    assert alone[0].images.dtype == torch.uint8
    for workers in (1, 4):
        assert same(read(images, reads, workers), alone)
    views = [
        render(POLICY, images.read(index), images.keys[index].tobytes(), (number,))[0]
        for index, number in zip(alone[5].indices.tolist(), alone[5].numbers.tolist(), strict=True)
    ]
    assert torch.equal(torch.stack(views), alone[5].images)


def test_the_same_views_one_crop_a_read_or_two(images: ImageSet) -> None:
    views = []
    for crops in (1, 2):
        order = Order(COUNT, 8, seed=1, crops_per_read=crops)
        batches = read(images, [order.reads(step) for step in range(6)])
        views.append(
            {
                (index, number): image.numpy().tobytes()
                for batch in batches
                for index, number, image in zip(
                    batch.indices.tolist(), batch.numbers.tolist(), batch.images, strict=True
                )
            }
        )
    assert views[0] == views[1]
    assert len(views[0]) == 2 * COUNT


def test_two_processes_read_what_one_does(images: ImageSet) -> None:
    order = Order(COUNT, 8, seed=1)
    (one,) = read(images, [order.reads(4)])
    halves = [read(images, [order.reads(4, rank, 2)])[0] for rank in range(2)]
    assert torch.equal(torch.cat([half.images for half in halves]), one.images)
    assert torch.equal(torch.cat([half.indices for half in halves]), one.indices)


@pytest.mark.parametrize("workers", [0, 2])
def test_the_same_bytes_after_starting_in_the_middle_of_an_epoch(images: ImageSet, workers: int) -> None:
    order = Order(COUNT, 8, seed=1)
    whole = read(images, [order.reads(step) for step in range(6)])
    rest = read(images, [order.reads(step) for step in range(4, 6)], workers)
    assert same(rest, whole[4:])


def test_dropout_draws_are_the_same_with_and_without_workers(images: ImageSet) -> None:
    order = Order(COUNT, 8, seed=1)
    drawn = []
    for workers in (0, 2):
        torch.manual_seed(3)
        dropout = nn.Dropout(0.5)
        batches = Reader(images, POLICY, workers=workers).batches
        drawn.append([dropout(torch.ones(50)) for _ in batches(order.reads(step) for step in range(4))])
    torch.manual_seed(3)
    undisturbed = [nn.Dropout(0.5)(torch.ones(50)) for _ in range(4)]
    assert torch.equal(torch.stack(drawn[0]), torch.stack(drawn[1]))
    assert torch.equal(torch.stack(drawn[0]), torch.stack(undisturbed))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="pinned memory needs CUDA")
@pytest.mark.parametrize("workers", [0, 2])
def test_pinned_batches_are_the_same(images: ImageSet, workers: int) -> None:
    reads = [[(index, (0,)) for index in range(8)]]
    (pinned,) = Reader(images, POLICY, workers=workers, pinned=True).batches(reads)
    assert pinned.images.is_pinned()
    assert same([pinned], read(images, reads))
    spoil(images, 3, "gone")
    (pinned,) = Reader(images, POLICY, workers=workers, pinned=True).batches(reads)
    assert (pinned.replaced, set(pinned.reasons)) == ({3: 4}, {3})


def test_reads_are_drawn_as_they_are_needed(images: ImageSet) -> None:
    asked = []

    def endless():
        order = Order(COUNT, 4, seed=0)
        for step in range(10**9):
            asked.append(step)
            yield order.reads(step)

    batches = Reader(images, POLICY, workers=1).batches(endless())
    assert len(next(batches).images) == 4
    batches.close()
    assert len(asked) < 10


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("how", ["gone", "cut", "edited", "edited in place", "overwritten"])
def test_an_unreadable_file_is_replaced_by_the_next(images: ImageSet, how: str, workers: int) -> None:
    for index in (5, 6, COUNT - 1):
        spoil(images, index, how)
    reads = [[(4, (0,)), (5, (7,))], [(6, (2,)), (COUNT - 1, (3,))], [(8, (1,)), (9, (1,))]]
    batches = read(images, reads, workers)
    assert [batch.indices.tolist() for batch in batches] == [[4, 7], [7, 0], [8, 9]]
    assert [batch.numbers.tolist() for batch in batches] == [[0, 7], [2, 3], [1, 1]]
    assert [batch.replaced for batch in batches] == [{5: 7}, {6: 7, COUNT - 1: 0}, {}]
    why = "No such file" if how == "gone" else "changed since it was listed"
    assert [set(batch.reasons) for batch in batches] in ([{5, 6}, {6, COUNT - 1}, set()], [{5, 6}, {COUNT - 1}, set()])
    assert all(why in reason for batch in batches for reason in batch.reasons.values())
    expected = render(POLICY, images.read(7), images.keys[7].tobytes(), (7,))[0]
    assert torch.equal(batches[0].images[1], expected)


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_photo_changed_inside_its_archive_is_replaced(tmp_path: Path, kind: str) -> None:
    folder = folder_of(tmp_path / "photos", 4)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    archive = Path(shutil.make_archive(str(tmp_path / "photos"), kind, folder))
    images = ImageSet.open(archive, cache=tmp_path / "cache", shown=False)
    reads: list[list[Read]] = [[(index, (0,)) for index in range(4)]]
    (whole,) = read(images, reads)
    edit(folder / "002.jpg")
    shutil.make_archive(str(tmp_path / "photos"), kind, folder)
    later = archive.stat().st_mtime_ns + 1_000_000
    os.utime(archive, ns=(later, later))
    (batch,) = read(images, reads)
    assert len(before["002.jpg"]) == (folder / "002.jpg").stat().st_size
    assert (batch.indices.tolist(), batch.replaced) == ([0, 1, 3, 3], {2: 3})
    assert torch.equal(batch.images[[0, 1, 3]], whole.images[[0, 1, 3]])


def test_a_file_that_only_looks_newer_is_still_the_same_photo(images: ImageSet) -> None:
    reads: list[list[Read]] = [[(index, (0,)) for index in range(COUNT)]]
    whole = read(images, reads)
    for index in range(COUNT):
        os.utime(images.path(index), ns=(1, 1))
    assert same(read(images, reads), whole)


def test_a_replacement_found_earlier_is_kept_without_trying_the_file(images: ImageSet) -> None:
    found = {5: 9, 10: 12}
    (batch,) = read(images, [[(5, (0, 1)), (10, (0, 1))]], replaced=found)
    assert batch.indices.tolist() == [9, 9, 12, 12]
    assert (batch.replaced, batch.reasons) == (found, {})
    spoil(images, 9, "gone")
    (batch,) = read(images, [[(5, (0,)), (9, (0,))]], replaced=found)
    assert batch.replaced == {5: 11, 9: 11}
    assert batch.reasons == {9: "No such file or directory"}


def test_replacements_go_on_to_the_next_part_of_a_run(images: ImageSet) -> None:
    content = Path(images.path(3)).read_bytes()
    spoil(images, 3, "gone")
    run = Reader(images, POLICY, workers=0)
    first = list(run.batches([[(3, (0,))]]))
    assert run.replaced == {3: 4}
    Path(images.path(3)).write_bytes(content)
    (again,) = run.batches([[(3, (0,))]])
    assert torch.equal(again.images, first[0].images)
    assert (again.replaced, again.reasons) == ({3: 4}, {})


@pytest.mark.parametrize("workers", [0, 1])
def test_when_every_image_is_gone_the_run_stops(images: ImageSet, workers: int) -> None:
    for index in range(COUNT):
        spoil(images, index, "gone")
    with pytest.raises(ImagesError, match=r"none of the 24 images .*002\.jpg: No such file.*\n.*\n.*--resume"):
        read(images, [[(2, (0,))]], workers)


class Faulty:
    """Images whose code, not whose files, is at fault."""

    def __init__(self, images: ImageSet) -> None:
        self.images, self.keys = images, images.keys

    def __len__(self) -> int:
        return len(self.images)

    def path(self, index: int) -> str:
        return self.images.path(index)

    def read(self, index: int) -> bytes:
        if index == 2:
            raise KeyError("a mistake of ours")
        return self.images.read(index)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_mistake_in_the_code_is_shown_with_its_file(images: ImageSet, workers: int) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)a mistake of ours.*while reading .*002\.jpg"):
        list(Reader(Faulty(images), POLICY, workers=workers).batches([[(1, (0,)), (2, (0,))]]))


class Killed(Faulty):
    def read(self, index: int) -> bytes:
        os.kill(os.getpid(), signal.SIGKILL)
        return b""


@pytest.mark.slow  # torch looks after its workers every 5 seconds
def test_a_worker_that_dies_says_what_to_do(images: ImageSet) -> None:
    with pytest.raises(ImagesError, match=r"a reading worker died.*\n.*\n.*--workers 0"):
        list(Reader(Killed(images), POLICY, workers=1).batches([[(1, (0,))]]))


@pytest.mark.parametrize("workers", [0, 2])
def test_evaluation_serves_several_preprocesses(images: ImageSet, workers: int) -> None:
    spoil(images, 3, "gone")
    spoil(images, 9, "cut")
    preprocesses = [Preprocess((32, 32)), Preprocess((24, 40), interpolation="bilinear")]
    batches = list(evaluation_batches(images, preprocesses, batch=10, workers=workers))
    indices = list(chain.from_iterable(batch.indices.tolist() for batch in batches))
    assert indices == [index for index in range(COUNT) if index not in (3, 9)]
    assert [set(batch.failed) for batch in batches] == [{3, 9}, set(), set()]
    assert "No such file" in batches[0].failed[3]
    assert "changed since it was listed" in batches[0].failed[9]
    for batch in batches:
        assert [view.shape[1:] for view in batch.views] == [(3, 32, 32), (3, 24, 40)]
        for place, index in enumerate(batch.indices.tolist()):
            for view, preprocess in zip(batch.views, preprocesses, strict=True):
                assert torch.equal(view[place], evaluation_view(preprocess, images.read(index)))


def test_evaluation_where_nothing_can_be_read(images: ImageSet) -> None:
    for index in range(COUNT):
        spoil(images, index, "overwritten")
    (batch,) = evaluation_batches(images, [Preprocess((32, 32))], batch=COUNT, workers=0)
    assert batch.views[0].shape == (0, 3, 32, 32)
    assert batch.indices.tolist() == []
    assert len(batch.failed) == COUNT


SCRIPT = """
import sys, time
print("started", flush=True)
from limbeck.images.imageset import ImageSet
from limbeck.images.order import Order
from limbeck.images.reader import Reader
from limbeck.images.view import ViewPolicy

images = ImageSet.open(sys.argv[1], cache=sys.argv[2], workers=1, shown=False)
order = Order(len(images), 4, seed=0)
for batch in Reader(images, ViewPolicy(32), workers=2).batches(order.reads(step) for step in range(10**9)):
    print(len(batch.images), flush=True)
    time.sleep(0.01)
"""


def workers_below(pid: int) -> set[int]:
    import psutil

    return {child.pid for child in psutil.Process(pid).children(recursive=True)}


@pytest.mark.parametrize("kind", ["SIGINT", "SIGKILL"])
@pytest.mark.slow
def test_a_plain_script_reads_and_its_workers_end_with_it(tmp_path: Path, kind: str) -> None:
    import psutil

    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))  # without an `if __name__` guard: it is not run again by the workers
    folder = folder_of(tmp_path / "photos", 8)
    run = subprocess.Popen(
        [sys.executable, str(script), str(folder), str(tmp_path / "cache")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert run.stdout is not None
    assert [run.stdout.readline() for _ in range(4)] == ["started\n", "4\n", "4\n", "4\n"]
    workers = workers_below(run.pid)
    assert len(workers) >= 3
    if kind == "SIGINT":
        os.killpg(run.pid, signal.SIGINT)
    else:
        run.kill()
    _, errors = run.communicate(timeout=60)
    if kind == "SIGINT":
        assert errors.count("Traceback") == 1
        assert "KeyboardInterrupt" in errors
    deadline = time.monotonic() + 30
    while any(psutil.pid_exists(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not any(psutil.pid_exists(pid) for pid in workers)
