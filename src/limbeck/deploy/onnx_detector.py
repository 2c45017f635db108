"""A detector as an ONNX file, from pixels to final boxes, and what onnxruntime makes of it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.deploy.onnx_file import OPSET, export
from limbeck.detection.batch import Found
from limbeck.detection.detector import Detector

INPUTS, OUTPUTS = ("images", "frames"), Found._fields


class _Whole(nn.Module):
    def __init__(self, model: Detector) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor, frames: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.model.boxes(self.model(images), frames))


def write_detector(
    model: Detector, images: Tensor, frames: Tensor, file: Path, about: Mapping[str, str], *, opset: int = OPSET
) -> None:
    """One image at a time, of the example's size; `about` goes into the file's metadata."""
    names, called = (INPUTS, OUTPUTS), type(model).__name__
    export(_Whole(model), (images, frames), file, about, names=names, opset=opset, called=called)


def answers(file: Path, inputs: Sequence[tuple[Tensor, Tensor]]) -> list[Found]:
    """What onnxruntime finds on this machine's cores."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it tells of every constant that it does not fold
    session: Any = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    found = []
    for images, frames in inputs:
        columns = session.run(None, dict(zip(INPUTS, (images.numpy(), frames.numpy()), strict=True)))
        found.append(Found(*map(torch.from_numpy, columns)))
    return found
