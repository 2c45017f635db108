"""Files of weights: the good, the foreign, the cut and the malicious."""

import os
import pickle
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from limbeck.checkpoints.weights import fit_weights, read_contents, read_weights
from limbeck.classification.models import build
from limbeck.errors import CheckpointError, UnsafeFile


class Code:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.mark}",)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": state, "optimizer": {"step": 1}},
        lambda state: {"model_state_dict": {f"module.{name}": value for name, value in state.items()}},
        lambda state: {"model": {"w": torch.zeros(1)}, "model_ema": state},
        lambda state: {f"_orig_mod.{name}": value for name, value in state.items()},
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_pickled_weights_come_out_of_their_wrappers(tmp_path: Path, wrap: Any, zipped: bool) -> None:
    state = dict(nn.Linear(3, 2).state_dict())
    torch.save(wrap(state), tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    assert same(read_weights(tmp_path / "a.pth"), state)


def test_safetensors(tmp_path: Path) -> None:
    state = dict(nn.Linear(3, 2).state_dict())
    save_file(state, tmp_path / "a.safetensors")
    read = read_weights(str(tmp_path / "a.safetensors"))
    assert same(dict(sorted(read.items())), dict(sorted(state.items())))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path, zipped: bool) -> None:
    mark = tmp_path / "ran"
    torch.save({"state_dict": Code(mark)}, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(UnsafeFile, match=r"posix\.system|nt\.system"):
        read_weights(tmp_path / "a.pth")
    assert not mark.exists()


def test_a_plain_pickle_with_code_is_refused_and_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    (tmp_path / "a.bin").write_bytes(pickle.dumps(Code(mark), protocol=2))
    with pytest.raises((UnsafeFile, CheckpointError)):
        read_weights(tmp_path / "a.bin")
    assert not mark.exists()


def test_whole_modules_and_programs_are_refused(tmp_path: Path) -> None:
    torch.save(nn.Linear(1, 1), tmp_path / "module.pt")
    with pytest.raises(UnsafeFile, match=r"torch\.nn\.modules\.linear\.Linear"):
        read_weights(tmp_path / "module.pt")


def test_few_bytes_do_not_become_many(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1).expand(10**9, 1000)}, tmp_path / "a.pth")
    with pytest.raises(UnsafeFile, match=r"declares 4,000,000,000,000 bytes, and has \d+"):
        read_weights(tmp_path / "a.pth")
    torch.save({"a": torch.zeros(100_000)}, tmp_path / "b.pth")
    with zipfile.ZipFile(tmp_path / "b.pth") as whole, zipfile.ZipFile(tmp_path / "c.pth", "w", 8) as packed:
        for entry in whole.infolist():
            packed.writestr(entry.filename, whole.read(entry))
    with pytest.raises(UnsafeFile, match=r"declares 400,\d+ bytes, and has"):
        read_weights(tmp_path / "c.pth")


@pytest.mark.filterwarnings("ignore:Validating sparse")
def test_tensors_without_plain_values_are_told(tmp_path: Path) -> None:
    for value, what in ((torch.zeros(2, device="meta"), "without values"), (torch.zeros(2).to_sparse(), "sparse")):
        torch.save({"a": value}, tmp_path / "a.pth")
        with pytest.raises(CheckpointError, match=f"its tensor a is {what}"):
            read_weights(tmp_path / "a.pth")
    save_file({}, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match="holds no weights"):
        read_weights(tmp_path / "a.safetensors")


def test_a_tar_archive_is_told(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "a.pth")
    with tarfile.open(tmp_path / "b.pth", "w") as archive:
        archive.add(tmp_path / "a.pth", "a.pth")
    with pytest.raises(CheckpointError, match="is a tar archive") as error:
        read_weights(tmp_path / "b.pth")
    assert error.value.hint.startswith(f"tar -xf {tmp_path / 'b.pth'}")


def test_names_do_not_steer_a_terminal(tmp_path: Path) -> None:
    torch.save({"a\x1b[2J\n": torch.zeros(1), "b\x1b[2J\n": 3}, tmp_path / "a.pth")
    contents = read_contents(tmp_path / "a.pth")
    assert list(contents.weights) == ["a\\x1b[2J\\n"]
    assert contents.others == {"b\\x1b[2J\\n": "a number"}
    save_file({"a\x1b[2J": torch.zeros(1)}, tmp_path / "a.safetensors")
    assert list(read_weights(tmp_path / "a.safetensors")) == ["a\\x1b[2J"]


@pytest.mark.parametrize("suffix", ["safetensors", "pth", "bin"])
@pytest.mark.parametrize("length", [0, 7, 200, -9])
def test_cut_and_foreign_files_are_told(tmp_path: Path, suffix: str, length: int) -> None:
    file = tmp_path / f"a.{suffix}"
    state = dict(nn.Linear(30, 20).state_dict())
    if suffix == "safetensors":
        save_file(state, file)
    else:
        torch.save(state, file, _use_new_zipfile_serialization=suffix == "pth")
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_weights(file)


@pytest.mark.parametrize("suffix", ["safetensors", "pth", "bin"])
@pytest.mark.parametrize(
    "text", ["<html>nicht gefündén</html>", "version https://git-lfs.github.com", "epoch 1\n", "é" * 200]
)
def test_text_is_told_to_be_text(suffix: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / f"a.{suffix}"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError, match="is not a file of weights: it is text, and begins with") as error:
        read_weights(file)
    assert text.strip()[:40] in error.value.found
    assert "web page" in error.value.hint


@pytest.mark.parametrize("content", [b"\xff\xfe01", bytes(range(200, 250)), b"0\x80"])
def test_bytes_that_are_no_weights_are_told(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"cannot be read: [a-zU]"):
        read_weights(tmp_path / "a.pth")


def test_other_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no file of weights"):
        read_weights(tmp_path / "none.pth")
    (tmp_path / "a.h5").write_text("")
    with pytest.raises(CheckpointError, match=r"expected: \.safetensors"):
        read_weights(tmp_path / "a.h5")
    torch.save({"epoch": 3, "history": [1, 2]}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="epoch, history"):
        read_weights(tmp_path / "a.pth")


def test_weights_fit_whole_or_not_at_all() -> None:
    model = build("test_resnet", classes=4)
    state = dict(build("test_resnet", classes=4).state_dict())
    assert fit_weights(model, state, "x") == []
    assert same(dict(model.state_dict()), state)
    odd = {name: value for name, value in state.items() if not name.startswith("fc")} | {"head": torch.zeros(2)}
    with pytest.raises(CheckpointError) as error:
        fit_weights(model, odd, "weights.pth")
    assert "weights.pth" in str(error.value)
    assert "2 missing (fc.weight, fc.bias)" in str(error.value)
    assert "1 unexpected (head)" in str(error.value)
    with pytest.raises(CheckpointError, match=r"fc\.weight \(9, \d+\) instead of \(4, \d+\)"):
        fit_weights(model, dict(build("test_resnet", classes=9).state_dict()), "x")
    fit_weights(model, {name: value.half() for name, value in state.items()}, "x")
    with pytest.raises(CheckpointError, match=r"2 of other numbers \(fc\.weight int8, fc\.bias complex64\)"):
        fit_weights(model, state | {"fc.weight": state["fc.weight"].char(), "fc.bias": state["fc.bias"].cfloat()}, "x")


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_efficientnet", "test_convnext", "levit_128s"])
def test_a_warm_start_leaves_another_head_alone(name: str) -> None:
    model, source = timm.create_model(name, num_classes=4), timm.create_model(name, num_classes=9)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    left = fit_weights(model, source.state_dict(), "x", new_head=True)
    assert left
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key] if key in left else source.state_dict()[key])


def test_a_warm_start_does_not_hide_another_network() -> None:
    with pytest.raises(CheckpointError, match="do not fit"):
        fit_weights(timm.create_model("test_vit"), timm.create_model("test_vit2").state_dict(), "x", new_head=True)
