"""limbeck convert --upgrade-ssd: the names that mmdetection has since 2.14."""

import json
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from limbeck.cli import main
from limbeck.commands.convert import Convert, run
from limbeck.commands.upgrade_ssd import upgrade_ssd
from limbeck.errors import CheckpointError, OptionError, RunError, UnsafeFile
from tests.checkpoints.mm_files import saved
from tests.checkpoints.test_foreign_detector import old_ssd
from tests.checkpoints.test_unpickle import Calls

CONFIG = "/home/x/ssd.py\nmodel = dict(type='SingleStageDetector', bbox_head=dict(type='SSDHead'))\n"


def small(names: list[str]) -> dict[str, Tensor]:
    return {name: torch.full((1,), float(number)) for number, name in enumerate(names)}


@pytest.fixture(scope="module", params=["ssd300", "ssd512"])
def new(request: pytest.FixtureRequest, shared: Path) -> dict[str, Tensor]:
    """Tensors by the names of mmdetection 3, in its order."""
    file = shared / "fixtures" / "parity_mm" / f"{request.param}_s0.json"
    return small(list(json.loads(file.read_text())["state_dict"]))


@pytest.mark.parametrize("zipped", [True, False])
def test_names_values_order_and_meta(
    new: dict[str, Tensor], tmp_path: Path, zipped: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    optimizer = {"state": {0: {"momentum_buffer": torch.ones(2)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
    old = saved(tmp_path / "old.pth", old_ssd(new), config=CONFIG, zipped=zipped, others={"optimizer": optimizer})
    before, out = old.read_bytes(), tmp_path / "new.pth"
    main(["convert", "--upgrade-ssd", str(old), str(out)])
    said = capsys.readouterr().out
    changed = sum(name not in new for name in old_ssd(new))
    assert f"old.pth: renamed {changed} of {len(new)} tensors" in said
    assert "dropped: message_hub.log_scalars.train/loss (a mmengine.logging.history_buffer.HistoryBuffer)" in said
    assert old.read_bytes() == before
    assert out.read_bytes()[:1] == b"\x80"  # not zipped, as theirs are
    there = torch.load(out, weights_only=True)
    assert list(there) == ["meta", "state_dict", "message_hub", "optimizer"]
    assert type(there["state_dict"]) is OrderedDict
    assert list(there["state_dict"]) == list(new)
    assert all(torch.equal(there["state_dict"][name], value) for name, value in new.items())
    assert there["meta"] == {"cfg": CONFIG, "epoch": 12, "seed": 3, "score": 0.5}
    assert there["optimizer"]["param_groups"] == optimizer["param_groups"]
    assert torch.equal(there["optimizer"]["state"][0]["momentum_buffer"], torch.ones(2))


def test_a_new_file_stays_as_it_is(new: dict[str, Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = saved(tmp_path / "old.pth", old_ssd(new), config=CONFIG)
    once = upgrade_ssd(old, tmp_path / "once.pth")
    content = once.read_bytes()
    capsys.readouterr()
    twice = upgrade_ssd(once, tmp_path / "twice.pth")
    assert "tensors have the new names" in capsys.readouterr().out
    one, two = (torch.load(file, weights_only=True) for file in (once, twice))
    assert list(one["state_dict"]) == list(two["state_dict"]) == list(new)
    for source in (old, once, twice):
        upgrade_ssd(source, once)
        assert "as it was" in capsys.readouterr().out
    assert once.read_bytes() == content


def test_nothing_is_written_over(new: dict[str, Tensor], tmp_path: Path) -> None:
    old = saved(tmp_path / "old.pth", old_ssd(new))
    before = old.read_bytes()
    mine = tmp_path / "mine.txt"
    mine.write_text("x")
    for place in (old, mine):
        with pytest.raises(RunError, match="is there"):
            upgrade_ssd(old, place)
    assert (old.read_bytes(), mine.read_text()) == (before, "x")
    with pytest.raises(CheckpointError, match="is a folder"):
        upgrade_ssd(old, tmp_path)
    with pytest.raises(RunError, match="cannot be read or written"):
        upgrade_ssd(old, mine / "new.pth")


def test_what_is_no_ssd_is_refused(new: dict[str, Tensor], tmp_path: Path) -> None:
    def refused(weights: dict[str, Tensor], why: str, **given: Any) -> None:
        with pytest.raises(CheckpointError, match=why):
            upgrade_ssd(saved(tmp_path / "a.pth", weights, **given), tmp_path / "new.pth")
        assert not (tmp_path / "new.pth").exists()

    refused(small(["backbone.conv1.weight", "bbox_head.gfl_cls.weight"]), "is no SSD: its head is gfl's")
    refused(small(["backbone.conv1.weight", "fc.weight"]), "is no SSD")
    refused(old_ssd(new), "its head is YOLOV3Head's", config="model = dict(bbox_head=dict(type='YOLOV3Head'))")
    refused({**old_ssd(new), **new}, "with old names and with new ones")
    refused(old_ssd(new), r"is of mmdetection 1\.0", meta={"mmdet_version": "1.0.0"})
    refused(old_ssd(new), r"is of mmdetection 1\.\\x1b\[2J,", meta={"mmdet_version": "1.\x1b[2J"})
    refused(old_ssd(new), r"its head is \\x1b\[2J's", config={"model": {"bbox_head": {"type": "\x1b[2J"}}})
    bomb: Any = "x"
    for _ in range(200):
        bomb = (bomb, bomb)
    refused(old_ssd(new), r"its head is \(\(\(\.{3}\), ", config={"model": {"bbox_head": {"type": bomb}}})
    refused(old_ssd(new), "its head is <Tensor>'s", config={"model": {"bbox_head": {"type": torch.ones(2)}}})
    (tmp_path / "text.pth").write_text("version https://git-lfs.github.com/spec/v1")
    with pytest.raises(CheckpointError, match="is not a file of weights: it is text"):
        upgrade_ssd(tmp_path / "text.pth", tmp_path / "new.pth")
    with pytest.raises(CheckpointError, match="no file of weights"):
        upgrade_ssd(tmp_path / "missing.pth", tmp_path / "new.pth")


def test_harm_is_refused_and_what_is_not_plain_is_left(new: dict[str, Tensor], tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    torch.save({"state_dict": old_ssd(new), "meta": {"x": Calls(print, ("ran",))}}, tmp_path / "a.pth")
    with pytest.raises(UnsafeFile, match=r"builtins\.print"):
        upgrade_ssd(tmp_path / "a.pth", tmp_path / "new.pth")
    loop: dict[str, Any] = {"a": [1, (2, "x")]}
    loop["self"] = loop
    shared: list[Any] = []
    for _ in range(60):
        shared = [shared, shared]
    torch.save({"state_dict": old_ssd(new), "meta": {"loop": loop, "deep": shared}}, tmp_path / "b.pth")
    there = torch.load(upgrade_ssd(tmp_path / "b.pth", tmp_path / "new.pth"), weights_only=True)
    assert there["meta"] == {"loop": {"a": [1, (2, "x")]}}
    assert not mark.exists()


def test_weights_without_anything_around_them(new: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save(old_ssd(new), tmp_path / "bare.pth")
    there = torch.load(upgrade_ssd(tmp_path / "bare.pth", tmp_path / "new.pth"), weights_only=True)
    assert list(there) == list(new)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(saved(tmp_path / "old.pth", new), weights_only=True)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"source": "x.pth"}, r"FILE \(x\.pth\)"),
        ({"out": "there"}, "--out"),
        ({"to": "paddle"}, "--to"),
        ({"architecture": "gfl", "classes": ("a",)}, "--architecture, --classes"),
    ],
)
def test_nothing_else_is_done_beside_it(given: dict[str, Any], named: str) -> None:
    with pytest.raises(OptionError, match=rf"^--upgrade-ssd with {named}\n"):
        run(Convert(**given, upgrade_ssd=("old.pth", "new.pth")))
