"""A detector as an ONNX file, from pixels to final boxes, and what onnxruntime makes of it."""

import contextlib
import io
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.deploy.onnx_file import OPSET, needed
from limbeck.detection.batch import Found
from limbeck.detection.detector import Detector
from limbeck.errors import CheckpointError, OptionError
from limbeck.files import replacing

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
    needed()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
            warnings.simplefilter("ignore")  # those of the exporter about itself
            program = torch.onnx.export(
                _Whole(model).eval(),
                (images, frames),
                dynamo=True,
                opset_version=opset,
                input_names=list(INPUTS),
                output_names=list(OUTPUTS),
                verbose=False,
            )
    except Exception as error:  # the exporter raises whatever its stages raise
        first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise CheckpointError(
            f"{type(model).__name__} cannot be exported: {first}",
            expected="a detector that torch.export can follow",
            hint="limbeck.load(RUN).model and an exporter of its own",
        ) from error
    assert program is not None
    program.model.metadata_props.update(about)
    try:
        with replacing(file) as temporary:
            program.save(str(temporary), external_data=False)
    except OSError as error:
        raise OptionError(
            f"{file} cannot be written: {error.strerror or error}", expected="a writable folder", hint="another --onnx"
        ) from error


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
