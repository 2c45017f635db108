"""Detectors as ONNX files: what onnxruntime finds is what PyTorch finds."""

from pathlib import Path

import pytest
import torch

from limbeck.checkpoints.detector_card import assembled
from limbeck.classification.models import build
from limbeck.commands.export_detector import compared
from limbeck.deploy.onnx_detector import answers, write_detector
from limbeck.detection.batch import Targets, stacked
from limbeck.records import Frame


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gfl", "retinanet"])
def test_what_a_detector_finds_is_the_same(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    torch.manual_seed(0)
    model = assembled(name, 3, build("test_resnet")).eval()
    torch.nn.init.zeros_(model.class_head.bias)  # type: ignore[arg-type, union-attr]
    torch.nn.init.normal_(model.class_head.weight, std=0.05)  # type: ignore[arg-type, union-attr]
    images, frames = torch.rand(1, 3, 96, 128), stacked([Frame(90, 128, 180, 256)])
    write_detector(model, images, frames, tmp_path / "found.onnx", {})
    other = torch.rand(1, 3, 96, 128)
    for pixels in (images, other):
        with torch.inference_mode():
            own = model.boxes(model(pixels), frames)
        (found,) = answers(tmp_path / "found.onnx", [(pixels, frames)])
        total, same, apart = compared(own, found)
        assert total > 10
        assert same >= 0.99 * total
        assert apart < 1e-4
    truth = Targets(torch.tensor([[[5.0, 5, 60, 60]]]), torch.zeros(1, 1, dtype=torch.int64), torch.ones(1, 1) > 0)
    losses = model.train().losses(model(images), truth, frames)  # what was traced has left no values behind
    torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
    assert all(bool(value.isfinite()) for value in losses.values())
