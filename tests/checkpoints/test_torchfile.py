"""Files of torch.save with more than tensors in them: harmless ones are read, harm is refused, and nothing runs."""

import os
import pickle
import re
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from limbeck.checkpoints.pickle_values import Damaged, Refused, Thing
from limbeck.checkpoints.torchfile import read_tree
from limbeck.checkpoints.weights import read_contents
from limbeck.errors import CheckpointError, UnsafeFile
from tests.checkpoints.mm_files import Config, HistoryBuffer, mmengine, saved
from tests.checkpoints.test_unpickle import Calls

WEIGHTS = {
    "a": torch.arange(6.0).reshape(2, 3),
    "b": torch.ones(3, dtype=torch.float16),
    "turned": torch.arange(6.0).reshape(2, 3).T,
    "count": torch.tensor(7),
    "nothing": torch.zeros(0, 3),
    "brain": torch.ones(2, dtype=torch.bfloat16),
    "yes": torch.tensor([True, False]),
}


@pytest.mark.parametrize("zipped", [True, False])
def test_a_training_checkpoint_is_read(tmp_path: Path, zipped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    monkeypatch.setattr(HistoryBuffer, "__setstate__", lambda *_: called.append("ran"), raising=False)
    file = saved(tmp_path / "a.pth", WEIGHTS, zipped=zipped)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(file, weights_only=True)
    contents = read_contents(file)
    assert list(contents.weights) == list(WEIGHTS)
    assert all(torch.equal(contents.weights[name], value) for name, value in WEIGHTS.items())
    assert all(contents.weights[name].dtype == value.dtype for name, value in WEIGHTS.items())
    assert contents.others == {"meta": "a table", "message_hub": "a table"}
    meta, hub = contents.values["meta"], contents.values["message_hub"]
    assert (meta["seed"], meta["score"]) == (3, 0.5)
    assert isinstance(hub["log_scalars"]["train/loss"], Thing)
    assert hub["log_scalars"]["train/loss"].name == "mmengine.logging.history_buffer.HistoryBuffer"
    assert hub["runtime_info"]["cfg"] == {"a": 1}
    assert not called


@pytest.mark.parametrize("zipped", [True, False])
def test_views_of_one_memory_and_parameters(tmp_path: Path, zipped: bool) -> None:
    whole = torch.arange(10.0)
    content = {"part": whole[2:8:2], "all": torch.nn.Parameter(whole), "odd": slice(1, 2)}
    torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    found = read_tree(tmp_path / "a.pth")
    assert torch.equal(found["part"], whole[2:8:2])
    assert torch.equal(found["all"], whole)
    assert found["odd"].name == "builtins.slice"


def test_configs_as_objects_are_read_as_tables(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        mmengine(patch)
        torch.save({"meta": Config({"model": {"type": "GFL"}}, "x = 1"), "a": torch.ones(1)}, tmp_path / "a.pth")
    found = read_tree(tmp_path / "a.pth")["meta"]
    assert found.name == "mmengine.config.config.Config"
    assert found.state[0] == {"model": {"type": "GFL"}}


def inner(mark: Path) -> bytes:
    return pickle.dumps(Calls(os.system, (f"touch {mark}",)))


HARMFUL: dict[str, Any] = {
    "os.system": (lambda mark: Calls(os.system, (f"touch {mark}",)), r"it would run (posix|nt)\.system"),
    "eval": (lambda mark: Calls(eval, (f"open({str(mark)!r}, 'w')",)), r"builtins\.eval"),
    "getattr": (lambda mark: Calls(getattr, ("os", "system")), r"builtins\.getattr"),
    "numpy.load": (lambda mark: Calls(np.load, (str(mark), None, True)), r"numpy"),
    "numpy.memmap": (lambda mark: Calls(np.memmap, (str(mark), np.uint8, "w+", 0, (9,))), r"numpy\.memmap"),
    "an array of objects": (lambda mark: np.array([Calls(os.system, (f"touch {mark}",))], object), "."),
    "a scalar of objects": (
        lambda mark: Calls(np.float64(1).__reduce__()[0], (np.dtype("O"), inner(mark))),
        "plain numbers",
    ),
    "a module": (lambda mark: torch.nn.Linear(1, 1), r"torch\.nn"),
    "torch.load": (lambda mark: Calls(torch.load, (str(mark),)), r"torch\.serialization"),
    "a pattern": (lambda mark: re.compile("x"), r"re\._compile"),
}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", HARMFUL)
def test_harm_is_refused_and_not_done(tmp_path: Path, name: str, zipped: bool) -> None:
    make, reason = HARMFUL[name]
    mark, file = tmp_path / "done", tmp_path / "a.pth"
    content = {"state_dict": {"a": torch.ones(2)}, "meta": {"hook": make(mark)}}
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UnsafeFile, match=reason):
        read_contents(file)
    assert not mark.exists()


class Rebuilt:
    """A tensor as its file would declare it."""

    def __init__(self, offset: Any, size: Any, stride: Any) -> None:
        self.declared = (offset, size, stride)

    def __reduce__(self) -> Any:
        storage: Any = torch.zeros(4).storage()  # type: ignore[no-untyped-call]
        return torch._utils._rebuild_tensor_v2, (storage, *self.declared, False, OrderedDict())


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    "declared",
    [
        (0, (10**6, 10**6), (0, 0)), (0, (2**62, 4), (1, 1)), (3, (2,), (1,)), (0, (2,), (4,)), (0, (2, 2), (1,)),
        (-1, (2,), (1,)), (0, (2,), (-1,)), (0, (-2,), (1,)),
    ],
)  # fmt: skip
def test_shapes_that_the_bytes_do_not_have_are_refused(tmp_path: Path, declared: Any, zipped: bool) -> None:
    file = tmp_path / "a.pth"
    torch.save({"a": Rebuilt(*declared)}, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(Refused, match="a tensor in it declares"):
        read_tree(file)


def test_storages_that_declare_more_than_the_file_has_are_refused(tmp_path: Path) -> None:
    file, bomb = tmp_path / "a.pth", tmp_path / "bomb.pth"
    number = b"\x8a\x05" + (2**34).to_bytes(5, "little")
    for zipped in (False, True):
        torch.save({"a": torch.zeros(77), "b": np.float64(1)}, file, _use_new_zipfile_serialization=zipped)
        if not zipped:
            bomb.write_bytes(file.read_bytes().replace(b"KMNt", number + b"Nt", 1))
        else:
            with zipfile.ZipFile(file) as old, zipfile.ZipFile(bomb, "w") as new:
                for entry in old.infolist():
                    new.writestr(entry.filename, old.read(entry).replace(b"KMtq", number + b"tq", 1))
        with pytest.raises(Damaged, match="its tensors take 68,719,476,7"):
            read_tree(bomb)


def test_compressed_archives_and_files_cut_short(tmp_path: Path) -> None:
    file, other = tmp_path / "a.pth", tmp_path / "b.pth"
    torch.save({"a": torch.zeros(10_000), "b": np.float64(1)}, file)
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(other, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry))
    with pytest.raises(UnsafeFile, match="it declares"):
        read_contents(other)
    for zipped in (True, False):
        torch.save({"a": torch.zeros(10_000), "b": HARMLESS}, file, _use_new_zipfile_serialization=zipped)
        whole = file.read_bytes()
        for length in (10, len(whole) // 2, len(whole) - 3):
            other.write_bytes(whole[:length])
            with pytest.raises(CheckpointError, match="cannot be read"):
                read_contents(other)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_archives_that_are_locked_or_damaged_inside(tmp_path: Path, method: int) -> None:
    file, other = tmp_path / "a.pth", tmp_path / "b.pth"
    noise = torch.from_numpy(np.random.default_rng(0).integers(0, 256, 9000, np.uint8))
    torch.save({"a": noise, "b": HARMLESS}, file)
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(other, "w", method) as new:
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry))
        new.writestr("spare", bytes(9000), zipfile.ZIP_STORED)  # no less than they take
        at = new.getinfo(f"{inside(new)}data/0").header_offset
    whole = other.read_bytes()
    for place in (at + 80, at + 4000):
        other.write_bytes(
            whole[:place] + bytes(byte ^ 0xFF for byte in whole[place : place + 80]) + whole[place + 80 :]
        )
        with pytest.raises(Damaged):
            read_tree(other)
    with zipfile.ZipFile(other) as archive:
        names = len(archive.namelist())
    locked = bytearray(whole)
    for start in [found.start() for found in re.finditer(rb"PK\x01\x02", whole)][-names:]:
        locked[start + 8] |= 1
    other.write_bytes(locked)
    with pytest.raises(Damaged, match="encrypted"):
        read_tree(other)


def inside(archive: zipfile.ZipFile) -> str:
    return archive.namelist()[0].split("/")[0] + "/"


HARMLESS = np.float64(1)


def test_pickles_that_are_mixed_up_are_damaged(tmp_path: Path) -> None:
    file = tmp_path / "a.pth"
    torch.save({"a": torch.zeros(3), "b": HARMLESS}, file, _use_new_zipfile_serialization=False)
    whole = file.read_bytes()
    at = len(whole) - 3 * 4 - 8
    file.write_bytes(whole[:at] + struct.pack("<q", 2) + whole[at + 8 :])
    with pytest.raises(Damaged, match="other sizes"):
        read_tree(file)


def doubled(times: int) -> Any:
    """A tuple that takes a few bytes more for each time that its text is twice as long."""
    value: Any = (0.5,)
    for _ in range(times):
        value = (value, value)
    return value


@pytest.mark.parametrize("keys", [doubled(200), [doubled(200)], [0], ["0", "0"]])
def test_lists_of_tensors_that_are_none(tmp_path: Path, keys: Any) -> None:
    file = tmp_path / "a.pth"
    torch.save({"a": torch.zeros(3), "b": HARMLESS}, file, _use_new_zipfile_serialization=False)
    whole = file.read_bytes()
    start = whole.rindex(b"\x80\x02]q")  # the last of the five pickles
    file.write_bytes(whole[:start] + pickle.dumps(keys, protocol=2))
    with pytest.raises(Damaged, match="list of tensors"):
        read_tree(file)
