"""What is put into a soft-label store comes out the same, whatever happens to its files."""

import errno
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from limbeck.errors import StoreError, TeacherError
from limbeck.records import SoftLabels
from limbeck.ssld import store as module
from limbeck.ssld.store import EVALUATION_VIEW, SoftLabelStore, check_space, default_keep, encode, read_stamp


def open_store(root: Path, **changes: Any) -> SoftLabelStore:
    options = {"teacher": "t-1", "views": "v-1", "classes": 100, "keep": 5, "shown": False}
    return SoftLabelStore.open(root, **(options | changes))


def some_keys(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 16), dtype=np.uint8)


def some_logits(count: int, classes: int = 100, scale: float = 4.0, seed: int = 0) -> Tensor:
    return torch.randn(count, classes, generator=torch.Generator().manual_seed(seed)) * scale


def zeros(count: int) -> np.ndarray:
    return np.zeros(count, np.uint32)


def same(one: SoftLabels, other: SoftLabels) -> bool:
    index = one.index is None if other.index is None else one.index is not None and torch.equal(one.index, other.index)
    return (
        index and torch.equal(one.log_probability, other.log_probability) and torch.equal(one.log_rest, other.log_rest)
    )


def filled(root: Path, count: int = 50, **changes: Any) -> tuple[SoftLabelStore, np.ndarray, SoftLabels]:
    store = open_store(root, **changes)
    keys, labels = some_keys(count), encode(some_logits(count, store.stamp.classes), store.stamp.keep)
    store.add(keys, zeros(count), labels)
    store.commit()
    return store, keys, labels


def shards(root: Path) -> list[Path]:
    return sorted(root.glob("*.labels"))


# What a label keeps


@pytest.mark.parametrize("scale", [0.01, 1.0, 4.0, 30.0, 1e4])
@pytest.mark.parametrize(("classes", "keep"), [(2, 2), (10, 10), (100, 1), (1000, 20)])
def test_probabilities_survive_to_a_quarter_of_a_per_mille(classes: int, keep: int, scale: float) -> None:
    logits = some_logits(64, classes, scale)
    labels = encode(logits, keep)
    exact = logits.double().log_softmax(1)
    index = labels.index if labels.index is not None else torch.arange(classes).expand(64, -1)
    expected = exact.gather(1, index).clamp(min=-31.9)
    assert (labels.log_probability.double().clamp(min=-31.9) - expected).abs().max() < 2 * 0.5 / 2048 + 1e-5
    rest = exact.exp().scatter(1, index, 0).sum(1).log().clamp(min=-31.9)
    if keep < classes:
        assert (labels.log_rest.double().clamp(min=-31.9) - rest).abs().max() < 2 * 0.5 / 2048 + 1e-5
        assert torch.equal(index[:, 0], logits.argmax(1))
    total = labels.log_probability.double().exp().sum(1) + labels.log_rest.double().exp()
    assert (total - 1).abs().max() < 2e-6


@pytest.mark.parametrize(
    ("classes", "keep"), [(2, 1), (2, 2), (10, 10), (100, 1), (1000, 20), (1000, 1000), (70_000, 3)]
)
def test_encode_is_what_look_up_gives_bit_for_bit(tmp_path: Path, classes: int, keep: int) -> None:
    store = open_store(tmp_path, classes=classes, keep=keep)
    logits = torch.cat([some_logits(40, classes, scale) for scale in (1e-3, 1.0, 8.0, 1e3, 1e5)])
    labels, keys = encode(logits, keep), some_keys(len(logits))
    store.add(keys, zeros(200), labels)
    for current in (store, _committed(store), open_store(tmp_path, classes=classes, keep=keep)):
        found, hit = current.look_up(keys, zeros(200))
        assert hit.all()
        assert same(found, labels)
        for row in (0, 77, 199):
            assert same(current.look_up(keys[row : row + 1], zeros(1))[0], labels[row : row + 1])
    assert same(encode(logits.log_softmax(1), keep)[100:160], labels[100:160])
    assert same(encode(logits[33:34], keep), labels[33:34])
    if classes > 2**16:
        assert labels.index is not None
        assert labels.index.max() >= 2**16


def _committed(store: SoftLabelStore) -> SoftLabelStore:
    store.commit()
    return store


def test_labels_read_from_one_store_can_be_put_into_another(tmp_path: Path) -> None:
    one, keys, labels = filled(tmp_path / "one", 500)
    other = open_store(tmp_path / "other")
    other.add(keys, zeros(500), one.look_up(keys, zeros(500))[0])
    assert same(other.look_up(keys, zeros(500))[0], labels)


def test_how_many_classes_are_kept_by_default(tmp_path: Path) -> None:
    assert [default_keep(classes) for classes in (2, 100)] == [2, 100]
    assert 10 < default_keep(1000) < 1000
    assert open_store(tmp_path / "a", classes=1000, keep=0).stamp.keep == default_keep(1000)
    assert open_store(tmp_path / "b", classes=10, keep=50).stamp.keep == 10
    assert encode(some_logits(3, 10), 50).index is None


def test_a_teacher_that_says_nan_is_stopped() -> None:
    logits = some_logits(4)
    logits[2, 3] = torch.nan
    with pytest.raises(TeacherError, match="nan"):
        encode(logits, 5)


# Keys and view numbers


def test_view_numbers_misses_and_the_evaluation_view_are_told_apart(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    keys = some_keys(30).repeat(4, axis=0)
    keys[:60, :8] = keys[0, :8]  # fifteen images whose digests begin alike
    numbers = np.tile(np.array([0, 1, 7, EVALUATION_VIEW], np.uint32), 30)
    labels = encode(some_logits(120), 5)
    store.add(keys, numbers, labels)
    store.commit()
    store.add(some_keys(9, seed=5), zeros(9), encode(some_logits(9, seed=6), 5))
    order = np.random.default_rng(1).permutation(120)
    found, hit = store.look_up(keys[order], numbers[order])
    assert hit.all()
    assert same(found, labels[torch.from_numpy(order)])
    asked = np.concatenate([keys[:2], keys[:1], some_keys(2, seed=9)])
    found, hit = store.look_up(asked, np.array([0, 1, 2, 0, 0]))
    assert hit.tolist() == [True, True, False, False, False]
    assert same(found[:2], labels[:2])
    assert store.covers(keys, numbers)
    assert not store.covers(keys[:1], np.array([3]))
    assert store.covers(keys[:0], numbers[:0])


def test_subsets_and_supersets_share_a_store(tmp_path: Path) -> None:
    _, keys, labels = filled(tmp_path, 50)
    larger = np.concatenate([keys, some_keys(10, seed=3)])
    store = open_store(tmp_path)
    assert same(store.look_up(keys[10:20], zeros(10))[0], labels[10:20])
    assert store.look_up(larger, zeros(60))[1].tolist() == [True] * 50 + [False] * 10


def test_labels_of_other_photos_and_views_do_not_count(tmp_path: Path) -> None:
    store, keys, labels = filled(tmp_path, 50)
    store.add(keys, np.full(50, 7), labels)
    assert store.missing(keys, 1) == 0
    assert store.missing(keys, 3) == 100
    assert store.missing(some_keys(60, seed=3), 2) == 120
    assert store.missing(np.concatenate([keys[:10], some_keys(30, seed=3)]), 2) == 70


def test_many_missing_labels_are_estimated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SAMPLED", 500)
    store, keys, _ = filled(tmp_path, 1000)
    assert store.missing(keys, 4) == pytest.approx(3000, rel=0.02)


def test_the_first_label_of_a_view_wins(tmp_path: Path) -> None:
    store, keys, labels = filled(tmp_path, 50)
    later = encode(some_logits(50, seed=8), 5)
    store.add(keys, zeros(50), later)
    assert len(store) == 50
    twice = some_keys(2, seed=4)[[0, 1, 0]]
    store.add(twice, zeros(3), later[:3])
    assert len(store) == 52
    assert same(store.look_up(keys, zeros(50))[0], labels)
    assert same(store.look_up(twice, zeros(3))[0][:2], later[:2])


def test_many_commits_leave_few_files(tmp_path: Path) -> None:
    store, keys = open_store(tmp_path), some_keys(64 * 20)
    labels = encode(some_logits(64 * 20), 5)
    for start in range(0, len(keys), 20):
        store.add(keys[start : start + 20], zeros(20), labels[start : start + 20])
        store.commit()
    assert len(shards(tmp_path)) <= 8
    for current in (store, open_store(tmp_path)):
        assert len(current) == len(keys)
        assert same(current.look_up(keys, zeros(len(keys)))[0], labels)
    assert sum(path.stat().st_size for path in shards(tmp_path)) == pytest.approx(store.bytes_for(1280), abs=8 * 1024)


def test_labels_commit_by_themselves_when_many_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PENDING_BYTES", 10_000)
    store = open_store(tmp_path)
    store.add(some_keys(100), zeros(100), encode(some_logits(100), 5))
    assert shards(tmp_path) == []
    store.add(some_keys(400, seed=1), zeros(400), encode(some_logits(400), 5))
    assert len(open_store(tmp_path)) == 500


def test_labels_that_committed_by_themselves_leave_few_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PENDING_BYTES", 5_000)
    store, keys, labels = open_store(tmp_path), some_keys(64 * 200), encode(some_logits(200), 5)
    for number in range(64):
        store.add(keys[number * 200 :][:200], np.full(200, number, np.uint32), labels)
    store.commit()
    assert len(store) == 64 * 200
    assert len(shards(tmp_path)) <= 8
    assert store.covers(keys, np.arange(64).repeat(200))


def test_labels_of_many_epochs_in_files_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SHARD_BYTES", 0)
    store, keys, labels = open_store(tmp_path), some_keys(40), encode(some_logits(120), 5)
    for number in range(3):
        store.add(keys, np.full(40, number, np.uint32), labels[40 * number : 40 * number + 40])
        store.commit()
    assert len(shards(tmp_path)) == 3
    for order in range(5):
        asked = np.random.default_rng(order).permutation(160)
        found, hit = store.look_up(keys[asked % 40], asked // 40)
        assert hit.tolist() == (asked < 120).tolist()
        assert same(found[torch.from_numpy(hit)], labels[torch.from_numpy(asked[hit])])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux for the memory")
def test_memory_does_not_grow_with_what_was_looked_up(tmp_path: Path) -> None:
    keys, labels = some_keys(20_000), encode(some_logits(1000, 1000), 1000)
    store = open_store(tmp_path, classes=1000, keep=1000)
    for start in range(0, 20_000, 1000):
        store.add(keys[start : start + 1000], zeros(1000), labels)
    store.commit()
    assert store.bytes_for(20_000) > 40e6
    before = _mapped_megabytes()
    assert store.covers(keys, zeros(20_000))
    order = np.random.default_rng(0).permutation(20_000)
    for start in range(0, 20_000, 250):
        store.look_up(keys[order[start : start + 250]], zeros(250))
    assert _mapped_megabytes() - before < 10


def _mapped_megabytes() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssFile")) / 1024


# Whose labels they are


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"teacher": "t-2", "about_teacher": "a newer net"}, ["an old net (t-1)", "a newer net (t-2)"]),
        ({"views": "v-2", "about_views": "crops at 96"}, ["crops at 64 (v-1)", "crops at 96 (v-2)"]),
        ({"classes": 90}, ["classes 100", "classes 90"]),
        ({"keep": 7}, ["classes kept 5", "classes kept 7"]),
    ],
)
def test_another_teachers_store_is_refused(tmp_path: Path, change: dict[str, Any], shown: list[str]) -> None:
    texts = {"about_teacher": "an old net", "about_views": "crops at 64"}
    _, keys, _ = filled(tmp_path, **texts)
    with pytest.raises(StoreError) as refused:
        open_store(tmp_path, **(texts | change))
    for text in [*shown, "--store", str(tmp_path)]:
        assert text in str(refused.value)
    assert open_store(tmp_path).covers(keys, zeros(50))


def test_a_store_is_taken_as_it_is_when_nobody_says_how_many_classes_to_keep(tmp_path: Path) -> None:
    _, keys, labels = filled(tmp_path)
    again = open_store(tmp_path, keep=0)
    assert again.stamp.keep == 5 != default_keep(100)
    found, hit = again.look_up(keys, zeros(50))
    assert hit.all()
    assert same(found, labels)
    with pytest.raises(StoreError, match="classes kept 100"):
        open_store(tmp_path, keep=200)  # explicitly all


def test_the_stamp_tells_of_the_teacher_without_it(tmp_path: Path) -> None:
    assert read_stamp(tmp_path) is None
    names = tuple(f"class {index}" for index in range(100))
    open_store(tmp_path, class_names=names, about_teacher="a net", extra={"teacher": {"parameters": 7}})
    stamp = read_stamp(tmp_path)
    assert stamp is not None
    assert (stamp.teacher, stamp.class_names, stamp.extra) == ("t-1", names, {"teacher": {"parameters": 7}})
    assert open_store(tmp_path).stamp == stamp
    (tmp_path / "store.json").write_text('{"teacher": ')
    with pytest.raises(StoreError, match=r"store\.json"):
        open_store(tmp_path)


def test_a_shard_of_another_store_is_not_taken(tmp_path: Path) -> None:
    filled(tmp_path / "other", teacher="t-2")
    store, keys, _ = filled(tmp_path / "own")
    stray = shards(tmp_path / "other")[0]
    stray.replace(tmp_path / "own" / stray.name)
    store.refresh()
    assert "t-2" in store.damaged[0].reason
    assert len(store) == len(keys)


# Damage


@pytest.mark.parametrize("place", [0, 10, 25, 40, 300, 2000, -1])
def test_a_flipped_bit_is_found_named_and_set_aside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], place: int
) -> None:
    _, keys, labels = filled(tmp_path)
    victim = shards(tmp_path)[0]
    content = bytearray(victim.read_bytes())
    content[place] ^= 4
    victim.write_bytes(content)
    _check_recovery(tmp_path, victim, keys, labels, capsys)


@pytest.mark.parametrize("length", [0, 5, 20, 30, 500, -1])
def test_a_shard_that_is_cut_short_is_found_named_and_set_aside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], length: int
) -> None:
    _, keys, labels = filled(tmp_path)
    victim = shards(tmp_path)[0]
    victim.write_bytes(victim.read_bytes()[:length])
    _check_recovery(tmp_path, victim, keys, labels, capsys)


def _check_recovery(
    root: Path, victim: Path, keys: np.ndarray, labels: SoftLabels, capsys: pytest.CaptureFixture[str]
) -> None:
    other = some_keys(5, seed=11)
    store = open_store(root)
    assert [skipped.path for skipped in store.damaged] == [str(victim)]
    assert str(victim) in capsys.readouterr().out
    assert not victim.exists()
    assert victim.with_name(victim.name + ".damaged").exists()
    assert not store.look_up(keys, zeros(50))[1].any()
    store.add(keys, zeros(50), labels)
    store.add(other, zeros(5), labels[:5])
    store.commit()
    again = open_store(root)
    assert again.damaged == []
    assert same(again.look_up(keys, zeros(50))[0], labels)


CHILD = """
import os, sys
import numpy as np, torch
from limbeck.ssld.store import SoftLabelStore, encode

root, start, count, rounds, die_at = sys.argv[1], *map(int, sys.argv[2:])
store = SoftLabelStore.open(root, teacher="t-1", views="v-1", classes=100, keep=5, shown=False)
keys = np.random.default_rng(0).integers(0, 256, (1000, 16), dtype=np.uint8)
labels = encode(torch.randn(1000, 100, generator=torch.Generator().manual_seed(0)) * 4, 5)
replace, renames = os.replace, 0

def deadly(*paths):
    global renames
    renames += 1
    if renames == die_at:
        os.kill(os.getpid(), 9)
    replace(*paths)

os.replace = deadly
for round in range(rounds):
    rows = slice(start + round * count, start + (round + 1) * count)
    store.add(keys[rows], np.zeros(count, np.uint32), labels[rows])
    store.commit()
    print(rows.stop, flush=True)
"""


def child(root: Path, start: int, count: int, rounds: int, die_at: int = 0) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", CHILD, str(root), *map(str, (start, count, rounds, die_at))]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=environment)


# four commits rename five times: the second commit also merges its file with the first one's
@pytest.mark.parametrize("die_at", [1, 2, 3])
def test_a_kill_inside_a_commit_loses_only_what_was_not_committed(tmp_path: Path, die_at: int) -> None:
    open_store(tmp_path)
    process = child(tmp_path, 0, 100, 4, die_at)
    told, _ = process.communicate(timeout=60)
    assert process.returncode == -9
    done = max([0, *map(int, told.split())])
    keys, labels = some_keys(1000), encode(some_logits(1000), 5)
    store = open_store(tmp_path)
    hit = store.look_up(keys, zeros(1000))[1]
    assert hit[:done].all()
    assert not hit[done + 100 :].any()
    assert store.damaged == []
    (left,) = tmp_path.glob(".*.tmp")
    old = time.time() - 7200
    os.utime(left, (old, old))
    store.add(keys, zeros(1000), labels)
    store.commit()
    again = open_store(tmp_path)
    assert not left.exists()
    assert same(again.look_up(keys, zeros(1000))[0], labels)


def test_two_processes_write_one_store(tmp_path: Path) -> None:
    writers = [child(tmp_path / "store", start, 50, 8) for start in (0, 300)]  # 100 labels are written by both
    early = open_store(tmp_path / "store")
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0]
    for writer in writers:
        assert writer.stdout is not None
        writer.stdout.close()
    keys, labels = some_keys(1000)[:700], encode(some_logits(1000), 5)[:700]
    early.refresh()
    for store in (early, open_store(tmp_path / "store")):
        assert store.covers(keys, zeros(700))
        assert same(store.look_up(keys, zeros(700))[0], labels)


def test_files_that_another_process_merged_are_let_go(tmp_path: Path) -> None:
    writer, keys, labels = filled(tmp_path, 40)
    reader = open_store(tmp_path)
    more = some_keys(40, seed=2)
    writer.add(more, zeros(40), labels)
    writer.commit()
    assert len(shards(tmp_path)) == 1
    assert reader.covers(keys, zeros(40))  # its file is unlinked and still mapped
    reader.refresh()
    assert len(reader) == 80
    assert reader.covers(more, zeros(40))


# Disk space


def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, keys, labels = filled(tmp_path, 20)
    more = some_keys(3000, seed=2)
    fresh = encode(some_logits(3000, seed=2), 5)
    store.add(more, zeros(3000), fresh)

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(StoreError, match=r"3,000 soft labels[\s\S]*0\.1 MB[\s\S]*free"):
            store.commit()
    assert list(tmp_path.glob(".*")) == []
    assert store.covers(more, zeros(3000))
    assert len(open_store(tmp_path)) == 20
    store.commit()
    again = open_store(tmp_path)
    assert same(again.look_up(more, zeros(3000))[0], fresh)
    assert same(again.look_up(keys, zeros(20))[0], labels)


def test_a_disk_without_room_is_told_before(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    check_space(tmp_path / "not" / "yet" / "there", store.bytes_for(1000))
    with pytest.raises(StoreError, match=r"1,000,000,000\.0 MB[\s\S]*MB are free"):
        check_space(tmp_path, 10**15)
