"""limbeck distill --views R: the teacher is asked once for each view, and nothing that happens to the store matters."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import limbeck
from limbeck.errors import StoreError
from limbeck.ssld.store import read_stamp
from limbeck.ssld.teacher import Teacher, TeacherSpec
from limbeck.training import loop
from limbeck.training.state import read_progress, save_state
from tests.commands.tiny import draw, options, records, run, weights

SHARED: dict[str, Any] = {"views": 2, "probe": 0.1}


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos that fill no whole number of batches."""
    folder = draw(tmp_path_factory.mktemp("odd") / "photos", 15, seed=2)
    for name in ("bars_0", "disc_0", "rows_0"):
        (folder / f"{name}.jpg").unlink()
    return folder


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, odd: Path, teacher: Path) -> Path:
    """A finished run whose store, beside it, is full."""
    out = tmp_path_factory.mktemp("filled") / "run"
    run(odd, teacher, out, **SHARED)
    return out


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many views each call of a teacher was about."""
    counts: list[int] = []
    answer = Teacher.log_probabilities

    def counted(self: Teacher, images: torch.Tensor) -> torch.Tensor:
        counts.append(len(images))
        return answer(self, images)

    monkeypatch.setattr(Teacher, "log_probabilities", counted)
    monkeypatch.setattr("limbeck.commands.finish.images_per_second", lambda forward: 1.0)
    return counts


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A teacher that nobody can load."""

    def load(*_: Any) -> Teacher:
        raise AssertionError("the teacher was loaded")

    with monkeypatch.context() as patched:
        patched.setattr(TeacherSpec, "load", load)
        yield


@pytest.mark.parametrize("probe", [0.0, 0.1])
def test_the_teacher_runs_in_the_first_epochs_only(
    probe: float, odd: Path, teacher: Path, tmp_path: Path, asked: list[int]
) -> None:
    shared = {"views": 2, "probe": probe, "store": str(tmp_path / "store")}
    run(odd, teacher, tmp_path / "run", **shared)
    assert len(records(tmp_path / "run")) == 4 * 4, "57 photos, some held out: three batches and a bit"
    assert asked == [16] * 8
    run(odd, teacher, tmp_path / "next", **shared | {"seed": 1})
    assert asked == [16] * 8


@pytest.mark.usefixtures("absent")
def test_a_full_store_needs_no_teacher(
    odd: Path, teacher: Path, filled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shared = SHARED | {"store": str(filled / "store")}
    run(odd, teacher, tmp_path / "again", **shared)
    said = capsys.readouterr().out
    assert "the teacher is not loaded" in said
    assert f"soft labels in {filled / 'store'}" in said
    assert weights(tmp_path / "again") == weights(filled), "what is stored is what the first run saw"
    loaded = run(odd, teacher, tmp_path / "other", student="test_efficientnet", seed=3, epochs=1, **shared)
    assert loaded.classes == ("bars", "disc", "plain", "rows")


def test_more_photos_ask_only_for_themselves_and_fewer_for_nothing(
    odd: Path,
    teacher: Path,
    filled: Path,
    tmp_path: Path,
    asked: list[int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    store = shutil.copytree(filled / "store", tmp_path / "store")
    more = shutil.copytree(odd, tmp_path / "more")
    draw(tmp_path / "new", 1, seed=9)
    for path in (tmp_path / "new").iterdir():
        path.rename(more / f"new_{path.name}")
    run(more, teacher, tmp_path / "run", store=str(store), views=2, probe=0.0)
    assert 0 < len(asked) <= 8, "the batches of two epochs in which one of the four new photos is, or one held out"
    asked.clear()
    moved = shutil.copytree(more, tmp_path / "moved" / "elsewhere")
    for name in ("bars_3", "bars_4", "plain_5"):
        (moved / f"{name}.jpg").unlink()
    capsys.readouterr()
    run(moved, teacher, tmp_path / "part", store=str(store), views=2, probe=0.0, seed=1)
    assert asked == []
    assert "the teacher is not loaded" in capsys.readouterr().out


def test_another_teacher_or_view_policy_is_refused(
    odd: Path, teacher: Path, labelled: Path, filled: Path, tmp_path: Path
) -> None:
    shared = SHARED | {"store": str(filled / "store")}
    run(labelled, "", tmp_path / "teacher", loss="cross-entropy", steps=1)
    stamp = read_stamp(filled / "store")
    assert stamp is not None
    other = TeacherSpec.parse(str(tmp_path / "teacher")).fingerprint
    with pytest.raises(StoreError) as refused:
        run(odd, tmp_path / "teacher", tmp_path / "one", check_teacher=False, **shared)
    assert stamp.teacher in refused.value.found
    assert other in refused.value.expected
    assert "--store" in refused.value.hint
    with pytest.raises(StoreError) as refused:
        run(odd, teacher, tmp_path / "two", **shared | {"flip": 0.0})
    assert stamp.views in refused.value.found
    assert stamp.views not in refused.value.expected
    assert "--store" in refused.value.hint


class Stop(Exception):
    pass


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
@pytest.mark.parametrize("after", [2, 10])
def test_damage_is_told_and_made_good(
    damage: str,
    after: int,
    odd: Path,
    teacher: Path,
    filled: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    save = loop.save_state

    def saved(out: Path, step: Any, optimizer: Any, average: Any, progress: Any) -> None:
        save(out, step, optimizer, average, progress)
        if progress.done == after:
            raise Stop

    with monkeypatch.context() as patched:
        patched.setattr(loop, "save_state", saved)
        with pytest.raises(Stop):
            run(odd, teacher, tmp_path / "run", **SHARED | {"save_every": 2})
    capsys.readouterr()
    shards = sorted((tmp_path / "run" / "store").glob("*.labels"), key=lambda path: path.stat().st_size)
    content = bytearray(shards[-1].read_bytes())
    if damage == "flipped":
        content[-7] ^= 4
        shards[-1].write_bytes(content)
    elif damage == "cut":
        shards[-1].write_bytes(content[:-11])
    else:
        shards[-1].unlink()
    limbeck.distill(out=tmp_path / "run", resume=True)
    said = capsys.readouterr().out
    if damage != "gone":
        assert f"{shards[-1]} are damaged and will be made again" in said
    # saving every 2 steps and every 6 gives the same weights
    assert weights(tmp_path / "run") == weights(filled)


def test_a_store_that_does_not_fit_is_told_first(
    odd: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9 - 500, 500))  # type: ignore[attr-defined]
    with pytest.raises(StoreError, match=r"0.0 MB are free\n.*a disk with room.*\n.*--store"):
        run(odd, teacher, tmp_path / "run", **SHARED)
    assert not (tmp_path / "run" / "config.json").exists()


def test_labels_that_keep_some_classes(odd: Path, teacher: Path, tmp_path: Path) -> None:
    run(odd, teacher, tmp_path / "run", keep_top=2, **SHARED)
    stamp = read_stamp(tmp_path / "run" / "store")
    assert stamp is not None
    assert stamp.keep == 2
    shared = SHARED | {"store": str(tmp_path / "run" / "store")}
    with pytest.raises(StoreError, match="classes kept 2"):
        limbeck.distill(**options(odd, teacher, tmp_path / "three", keep_top=3, **shared))
    run(odd, teacher, tmp_path / "same", **shared)  # who asks for no number takes the store's
    assert json.loads((tmp_path / "same" / "config.json").read_text())["resolved"]["keep_top"] == 2


def test_a_teacher_that_is_loaded_in_mid_run_moves_no_draw(
    photos: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that goes on knows its teacher from the store, and loads it only when a label is missing."""
    given = {"views": 2, "save_every": 4, "student_args": '{"drop_rate": 0.3}'}
    run(photos, teacher, tmp_path / "whole", **given)

    def cut(run: Path, *state: Any) -> None:
        save_state(run, *state)
        raise Stop

    with monkeypatch.context() as patched:
        patched.setattr(loop, "save_state", cut)
        with pytest.raises(Stop):
            run(photos, teacher, tmp_path / "cut", **given, check_teacher=False)
    assert read_progress(tmp_path / "cut").done == 4
    limbeck.distill(out=tmp_path / "cut", resume=True)
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")
