"""A network as an ONNX file, or in words why not."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from limbeck.deploy.onnx_file import export
from limbeck.errors import CheckpointError, OptionError

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


class Undecided(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images + 1 if float(images.sum()) > 0 else images


@pytest.mark.parametrize(("called", "name"), [("", "Undecided"), ("GFL", "GFL")])
def test_what_cannot_be_followed_is_told_by_its_name(called: str, name: str, tmp_path: Path) -> None:
    file = tmp_path / "odd.onnx"
    with pytest.raises(CheckpointError, match=f"^{name} cannot be exported: ") as told:
        export(Undecided(), (torch.ones(1, 3, 4, 4),), file, {}, names=(("images",), ("logits",)), called=called)
    assert "an exporter of its own" in told.value.hint
    assert not file.exists()


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OptionError, match="cannot be written") as told:
        export(nn.ReLU(), (torch.ones(1, 2),), tmp_path / "file" / "m.onnx", {}, names=(("x",), ("y",)))
    assert told.value.hint == "another --onnx"
    assert (tmp_path / "file").read_text() == "mine"
