"""Files of Paddle's weights: what paddle.save writes, what lies beside it, and what only looks like it."""

import os
import pickle
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from limbeck.checkpoints.pdparams import read_pdparams, write_pdparams
from limbeck.checkpoints.weights import read_weights
from limbeck.errors import CheckpointError, UnsafeFile

WEIGHTS = {"fc.weight": np.arange(6, dtype=np.float32).reshape(3, 2), "fc.bias": np.ones(2, np.float32)}
NAMES = {"fc.weight": "linear_0.w_0", "fc.bias": "linear_0.b_0"}


class Code:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.mark}",)


def saved(path: Path, content: object, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(content, protocol))
    return path


def same(one: Any, other: Any) -> bool:
    return list(one) == list(other) and all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_what_paddle_saves(tmp_path: Path, protocol: int) -> None:
    file = read_pdparams(saved(tmp_path / "a.pdparams", {**WEIGHTS, "StructuredToParameterName@@": NAMES}, protocol))
    assert same(file.tensors, WEIGHTS)
    assert file.others == {"StructuredToParameterName@@": "a table of Paddle's own names"}


def test_old_files_keep_a_name_beside_each_array(tmp_path: Path) -> None:
    old = {name: (NAMES[name], values) for name, values in WEIGHTS.items()}
    assert same(read_pdparams(saved(tmp_path / "a.pdparams", old, 2)).tensors, WEIGHTS)


def test_weights_in_a_table_beside_other_things(tmp_path: Path) -> None:
    file = read_pdparams(saved(tmp_path / "a.pdparams", {"epoch": 3, "model": WEIGHTS, "best": None, "log": [1]}))
    assert same(file.tensors, WEIGHTS)
    assert file.others == {"epoch": "a number", "best": "nothing", "log": "a list"}


def test_names_do_not_steer_a_terminal(tmp_path: Path) -> None:
    file = read_pdparams(saved(tmp_path / "a.pdparams", {"a\x1b[2J\nused: all": np.zeros(1), "é\r": 3}))
    assert list(file.tensors) == [r"a\x1b[2J\nused: all"]
    assert list(file.others) == [r"é\r"]
    with pytest.raises(CheckpointError, match=r"the keys a\\x1b\[2J, and no"):
        read_pdparams(saved(tmp_path / "a.pdparams", {"a\x1b[2J": 3}))


def test_large_tensors_are_joined_from_their_slices(tmp_path: Path) -> None:
    parts = {"w@@.0": np.arange(4, dtype=np.float32), "w@@.1": np.arange(4, 6, dtype=np.float32)}
    told = {"w": {"OriginShape": (2, 3), "slices": ["w@@.0", "w@@.1"]}}
    file = read_pdparams(saved(tmp_path / "a.pdparams", {**parts, "UnpackBigParamInfor@@": told}, 2))
    assert same(file.tensors, {"w": np.arange(6, dtype=np.float32).reshape(2, 3)})
    assert not file.others
    for broken in (
        {"OriginShape": (2, 4), "slices": ["w@@.0", "w@@.1"]},
        {"OriginShape": (2, 3), "slices": ["w@@.0", "w@@.2"]},
        {"OriginShape": (2, 3), "slices": []},
        {"OriginShape": (0, 2**70), "slices": ["w@@.0"]},
        {"slices": "w@@.0"},
        3,
    ):
        file_of_it = saved(tmp_path / "b.pdparams", {**parts, "UnpackBigParamInfor@@": {"w": broken}}, 2)
        with pytest.raises(CheckpointError, match="slices of w"):
            read_pdparams(file_of_it)


def test_what_is_written_is_a_plain_pickle_of_every_numpy_and_always_the_same(tmp_path: Path) -> None:
    odd: dict[str, Any] = {
        "half": np.array([1.5, 2], np.float16),
        "count": np.array(3, np.int64),
        "none": np.zeros((0, 3), np.float32),
    }
    turned: dict[str, Any] = {
        "t": np.arange(6.0).reshape(2, 3).T,
        "big": np.arange(3, dtype=">f4"),
        "b": np.array([True, False]),
    }
    written = {**WEIGHTS, **odd, **turned, "é": np.array([1], np.uint8)}
    write_pdparams(tmp_path / "a.pdparams", written)
    content = (tmp_path / "a.pdparams").read_bytes()
    loaded = pickle.loads(content)
    assert same(loaded, written)
    assert {name: values.shape for name, values in loaded.items()} == {k: v.shape for k, v in written.items()}
    assert loaded["half"].dtype == np.float16
    assert b"numpy.core.multiarray" in content  # numpy 1 has no numpy._core
    assert same(read_pdparams(tmp_path / "a.pdparams").tensors, written)
    write_pdparams(tmp_path / "b.pdparams", written)
    assert (tmp_path / "b.pdparams").read_bytes() == content


def test_code_is_refused_and_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    for protocol in (0, 1, 2, 4):
        with pytest.raises(
            UnsafeFile, match=r"is refused: it (would run (posix|nt)\.system|is written as text)"
        ) as told:
            read_pdparams(saved(tmp_path / "a.pdparams", {**WEIGHTS, "x": Code(mark)}, protocol))
        assert "paddle.save(model.state_dict())" in told.value.hint
    assert not mark.exists()


@pytest.mark.parametrize("length", [1, 2, 3, 50, 200, -1, -30])
def test_cut_files_are_told(tmp_path: Path, length: int) -> None:
    file = saved(tmp_path / "a.pdparams", WEIGHTS)
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(CheckpointError, match="cannot be read: it ends too early") as told:
        read_pdparams(file)
    assert told.value.hint == "copy or download it again"


def test_what_only_has_the_suffix_is_told_for_what_it_is(tmp_path: Path) -> None:
    file = tmp_path / "a file.pdparams"
    with pytest.raises(CheckpointError, match="no file of weights at"):
        read_pdparams(file)
    file.write_bytes(b"")
    with pytest.raises(CheckpointError, match="is empty"):
        read_pdparams(file)
    for zipped in (True, False):
        torch.save({"a": torch.zeros(1)}, file, _use_new_zipfile_serialization=zipped)
        with pytest.raises(CheckpointError, match=r"torch\.save") as told:
            read_pdparams(file)
        assert shlex.split(told.value.hint) == ["mv", str(file), str(tmp_path / "a file.pth")]
    save_file({"a": np.zeros(9, np.float32)}, file)
    with pytest.raises(CheckpointError, match="it is a safetensors file"):
        read_pdparams(file)
    for text in ("<html>Nöt found</html>", "version https://git-lfs.github.com/spec/v1\n", "epoch 1"):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(CheckpointError, match="it is text, and begins with") as told:
            read_pdparams(file)
        assert "Git LFS" in told.value.hint
    for content in (b"\x00\x01\x02\xff" * 9, b"\x1f\x8b\x08\x00\xff\xff\xff\xff\xff\xff"):
        file.write_bytes(content)
        with pytest.raises(CheckpointError, match="it is no pickle"):
            read_pdparams(file)


@pytest.mark.parametrize("content", [[1, 2], 3, "x", {}, {"LR_Scheduler": {"last_lr": 0.1}, "epoch": 3}])
def test_files_without_arrays_are_told(tmp_path: Path, content: object) -> None:
    with pytest.raises(CheckpointError, match="and no weights"):
        read_pdparams(saved(tmp_path / "a.pdparams", content))


def test_where_pytorch_s_weights_are_asked_for_the_way_is_told(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="limbeck convert"):
        read_weights(saved(tmp_path / "a.pdparams", WEIGHTS))
