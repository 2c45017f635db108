"""limbeck teach: a store that is filled ahead of time is as good as one that distill fills, and its bytes are one."""

import errno
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from limbeck.cli import main
from limbeck.commands.teach import next_command, starting_options, teach
from limbeck.errors import Interrupted, OptionError, StoreError
from limbeck.images.imageset import ImageSet
from limbeck.ssld import ahead, gallery, shard
from limbeck.ssld.store import SoftLabelStore, read_stamp
from limbeck.ssld.teacher import TeacherSpec
from tests.commands.tiny import run

VIEWS: dict[str, Any] = {"views": 2, "crop_scale": (0.5, 1.0), "probe": 0.1, "teacher_precision": "float32"}


def taught(photos: Path, teacher: Path, out: str | Path, **changes: Any) -> Path:
    options = VIEWS | {"student": "test_resnet", "student_size": 32, "workers": 0, "device": "cpu"} | changes
    return teach(images=str(photos), teacher=str(teacher), out=out, **options)


def content(store: Path) -> set[bytes]:
    return {blake2b(path.read_bytes()).digest() for path in store.glob("*.labels")}


def opened(store: Path) -> SoftLabelStore:
    stamp = read_stamp(store)
    assert stamp is not None
    return SoftLabelStore(store, stamp, shown=False)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, photos: Path, teacher: Path, small_shards: None) -> Path:
    return taught(photos, teacher, tmp_path_factory.mktemp("taught") / "store")


@pytest.fixture(scope="module")
def small_shards() -> Iterator[None]:
    """So that a few photos are several shards."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ahead, "_LABELS", 16)
        patched.setattr(gallery, "_LEAST", 16)
        yield


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A teacher that nobody can load."""

    def load(*_: Any) -> None:
        raise AssertionError("the teacher was loaded")

    monkeypatch.setattr(TeacherSpec, "load", load)


@pytest.mark.usefixtures("absent")
def test_distill_never_loads_the_teacher(
    photos: Path, labelled: Path, teacher: Path, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filled = shutil.copytree(store, tmp_path / "store")
    run(photos, teacher, tmp_path / "run", views=2, probe=0.1, store=str(filled), eval=str(labelled))
    assert "the teacher is not loaded" in capsys.readouterr().out
    assert content(filled) == content(store), "and asks for no label that is not there"


def test_the_labels_are_those_that_distill_makes(photos: Path, teacher: Path, store: Path, tmp_path: Path) -> None:
    run(photos, teacher, tmp_path / "run", views=2, probe=0.1, epochs=2)
    mine, its = opened(store), opened(tmp_path / "run" / "store")
    assert (mine.stamp.teacher, mine.stamp.views, mine.stamp.keep) == (
        its.stamp.teacher,
        its.stamp.views,
        its.stamp.keep,
    )
    assert len(mine) == len(its)
    keys = ImageSet.open(photos, shown=False).keys
    for number in (0, 1, 2**32 - 1):
        numbers = np.full(len(keys), number, np.uint32)
        (labels, hit), (others, its_hit) = mine.look_up(keys, numbers), its.look_up(keys, numbers)
        assert hit.any()
        assert (hit == its_hit).all()
        # batches are others, and with them the last bits of float32: a code of 1/2048 up or down
        far = (labels.log_probability - others.log_probability)[torch.from_numpy(hit)].abs().max()
        assert far < 2 / 2048


def test_the_bytes_are_the_same_for_any_number_of_workers(
    photos: Path, teacher: Path, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead, "_FEW", 0)
    assert content(taught(photos, teacher, tmp_path / "two", workers=2)) == content(store)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("daft") is None, reason="needs limbeck[scale]")
def test_the_bytes_are_the_same_through_daft(photos: Path, teacher: Path, store: Path, tmp_path: Path) -> None:
    assert content(taught(photos, teacher, tmp_path / "daft", workers=1, engine="daft")) == content(store)


def test_a_run_that_was_stopped_does_only_what_is_left(
    photos: Path, teacher: Path, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "store"
    answers = ahead._answers
    asked: list[int] = []

    def stopped(*arguments: Any) -> Any:
        asked.append(len(arguments[1]))
        if len(asked) == 6:
            raise KeyboardInterrupt
        return answers(*arguments)

    monkeypatch.setattr(ahead, "_answers", stopped)
    with pytest.raises(Interrupted, match="the same command again goes on"):
        taught(photos, teacher, out)
    kept, whole = len(opened(out)), len(opened(store))
    assert 0 < kept < whole
    assert len(list(out.glob("part-*"))) > 1
    asked[:] = []
    monkeypatch.setattr(ahead, "_answers", lambda *arguments: asked.append(len(arguments[1])) or answers(*arguments))
    taught(photos, teacher, out)
    assert sum(asked) == whole - kept
    assert content(out) == content(store)
    assert not list(out.glob("part-*"))
    taught(photos, teacher, out)
    assert sum(asked) == whole - kept


def test_photos_that_came_later_ask_only_for_themselves(
    photos: Path, teacher: Path, store: Path, tmp_path: Path
) -> None:
    fewer = shutil.copytree(photos, tmp_path / "fewer")
    for name in ("bars_0", "rows_5"):
        (fewer / f"{name}.jpg").unlink()
    out = taught(fewer, teacher, tmp_path / "store", probe=0.0)
    before = len(opened(out))
    assert before == 2 * 94
    taught(photos, teacher, out, probe=0.0)
    assert len(opened(out)) == before + 4


@pytest.mark.slow
def test_two_processes_that_write_one_shard_do_no_harm(
    photos: Path, teacher: Path, store: Path, tmp_path: Path
) -> None:
    out = tmp_path / "store"
    line = [sys.executable, "-c", TWICE, photos, teacher, out]
    both = [subprocess.Popen(list(map(str, line)), stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    together = opened(out)
    assert together.damaged == []
    assert not list(out.glob("*.tmp"))
    keys = ImageSet.open(photos, shown=False).keys
    for number in (0, 1, 2**32 - 1):
        numbers = np.full(len(keys), number, np.uint32)
        (labels, hit), (others, its_hit) = together.look_up(keys, numbers), opened(store).look_up(keys, numbers)
        assert (hit == its_hit).all()
        assert torch.equal(labels.log_probability[torch.from_numpy(hit)], others.log_probability[torch.from_numpy(hit)])


TWICE = """
import sys
from pathlib import Path
from types import SimpleNamespace
import torch
from limbeck.ssld import ahead, gallery
from tests.commands.test_teach import taught
torch.set_num_threads(1)
ahead._LABELS = gallery._LEAST = 16
ahead.socket = SimpleNamespace(gethostname=lambda: "one")
ahead.os = SimpleNamespace(getpid=lambda: 1)  # both begin with the same shard
taught(*map(Path, sys.argv[1:]))
"""


def test_machines_without_a_common_disk_meet_at_a_url(
    photos: Path, teacher: Path, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"file://{tmp_path}/bucket/store"
    one = taught(photos, teacher, url, cache=str(tmp_path / "one"))
    assert content(one) == content(store)
    there = {path.name for path in (tmp_path / "bucket/store").iterdir()}
    assert "store.json" in there
    assert len(there) > 3
    monkeypatch.setattr(TeacherSpec, "load", lambda *_: pytest.fail("the teacher was loaded"))
    other = taught(photos, teacher, url, cache=str(tmp_path / "two"))
    assert other != one
    assert content(other) == content(store)
    shared = {"views": 2, "probe": 0.1, "store": url, "cache": str(tmp_path / "three")}
    run(photos, teacher, tmp_path / "run", **shared)
    assert {path.name for path in (tmp_path / "bucket/store").iterdir()} == there


def test_what_was_stopped_before_it_was_sent_is_sent(
    photos: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"file://{tmp_path}/bucket"
    with monkeypatch.context() as offline:
        offline.setattr(ahead, "publish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(Interrupted):
            taught(photos, teacher, url)
    assert [path.name for path in (tmp_path / "bucket").iterdir()] == ["store.json"]
    whole = len(opened(taught(photos, teacher, url)))
    mine = shutil.copytree(tmp_path / "bucket", tmp_path / "copy")
    assert len(opened(mine)) == whole


def test_a_damaged_copy_of_a_store_at_a_url_is_fetched_again(
    photos: Path, teacher: Path, store: Path, tmp_path: Path
) -> None:
    url, cache = f"file://{tmp_path}/bucket", str(tmp_path / "cache")
    mine = taught(photos, teacher, url, cache=cache)
    (file,) = mine.glob("*.labels")
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    assert content(taught(photos, teacher, url, cache=cache)) == content(store)
    assert not list(mine.glob("*.damaged"))


def test_a_url_that_nobody_answers_is_told(photos: Path, teacher: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot be reached[\s\S]*only what is left"):
        taught(photos, teacher, "http://127.0.0.1:9/store")


def test_a_full_disk_is_told_and_what_is_finished_stays(
    photos: Path, teacher: Path, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, write, written = tmp_path / "store", shard._write, []

    def full(*arguments: Any) -> None:
        written.append(1)
        if len(written) > 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(*arguments)

    monkeypatch.setattr(shard, "_write", full)
    with pytest.raises(StoreError, match=r"no space left[\s\S]*free some space, then the same command again"):
        taught(photos, teacher, out)
    assert len(list(out.iterdir())) == 3, "the stamp and two parts, nothing half-written"
    monkeypatch.setattr(shard, "_write", write)
    taught(photos, teacher, out)
    assert content(out) == content(store)


def test_too_small_a_disk_is_told_before(
    photos: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("limbeck.ssld.store._free", lambda path: 100)
    with pytest.raises(StoreError, match=r"take up to [\s\S]*--out on a larger disk"):
        taught(photos, teacher, tmp_path / "store")


def test_photos_that_vanished_are_named(
    photos: Path, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    some = shutil.copytree(photos, tmp_path / "some")
    manifest = tmp_path / "some.arrow"
    ImageSet.open(some, shown=False).save(manifest)
    (some / "bars_0.jpg").unlink()
    out = taught(manifest, teacher, tmp_path / "store", probe=0.0)
    assert "1 photo could not be read any more" in capsys.readouterr().out
    assert len(opened(out)) == 2 * 95


def test_another_student_size_is_refused_in_words(photos: Path, teacher: Path, store: Path) -> None:
    with pytest.raises(StoreError, match="--out ANOTHER_FOLDER"):
        taught(photos, teacher, store, student_size=64)


def test_photos_are_no_place_for_a_store(photos: Path, teacher: Path) -> None:
    with pytest.raises(OptionError, match=r"--out .* holds other files"):
        taught(photos, teacher, photos)


@pytest.mark.parametrize("missing", ["images", "teacher", "views", "out"])
def test_what_is_missing_is_named(missing: str) -> None:
    given: dict[str, Any] = {"images": "photos", "teacher": "resnet50d", "views": 2, "out": "store"}
    del given[missing]
    with pytest.raises(OptionError, match=f"--{missing} is missing"):
        teach(**given)


def test_the_command_line(photos: Path, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = f"teach --images {photos} --teacher {teacher} --views 1 --out {tmp_path / 'store'} --workers 0 --flip 0"
    main([*line.split(), "--recipe", "ssld_large", "--colour", "none", "--device", "cpu"])
    said = capsys.readouterr().out
    assert "soft labels in" in said
    assert "--recipe ssld_large --flip 0.0 --colour none --student-size 32 --out RUN" in said


def test_the_next_command_says_what_labels_depend_on() -> None:
    options = starting_options("ssld_large")
    assert options.colour == "autoaugment"
    assert "colour" not in next_command(options)
    changed = replace(options, images=("a b",), crop_scale=(0.2, 1.0), student="resnet18", student_size=288)
    assert next_command(changed).startswith("limbeck distill --images 'a b' --teacher")
    assert next_command(options, 160).endswith("--student-size 160 --out RUN")
    assert "160" not in next_command(changed, 160)
    assert "--student resnet18 --student-size 288 --recipe ssld_large --crop-scale 0.2 1.0" in next_command(changed)
