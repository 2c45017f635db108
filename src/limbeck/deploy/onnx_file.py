"""A model as an ONNX file, and what onnxruntime makes of it."""

import contextlib
import io
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from limbeck.errors import CheckpointError, OptionError
from limbeck.files import replacing

OPSET = 18
INPUT, OUTPUT, BATCH = "images", "logits", "batch"


def write_onnx(model: nn.Module, example: Tensor, file: Path, about: Mapping[str, str], *, opset: int = OPSET) -> None:
    """A classifier with a free batch size, as one file; `about` goes into its metadata."""
    export(
        model,
        (torch.cat([example, example]),),  # a batch of one would be taken for a constant
        file,
        about,
        names=((INPUT,), (OUTPUT,)),
        opset=opset,
        shapes=({0: torch.export.Dim(BATCH, min=1)},),
    )


def export(
    model: nn.Module,
    inputs: tuple[Tensor, ...],
    file: Path,
    about: Mapping[str, str],
    *,
    names: tuple[Sequence[str], Sequence[str]],
    opset: int = OPSET,
    shapes: tuple[Any, ...] | None = None,
    called: str = "",
) -> None:
    """A network as one file, whole or not at all; `names` are those of what goes in and of what comes out."""
    needed()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
            warnings.simplefilter("ignore")  # those of the exporter about itself
            program = torch.onnx.export(
                model.eval(),
                inputs,
                dynamo=True,
                opset_version=opset,
                input_names=list(names[0]),
                output_names=list(names[1]),
                dynamic_shapes=shapes,
                verbose=False,
            )
    except Exception as error:  # the exporter raises whatever its stages raise
        first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise CheckpointError(
            f"{called or type(model).__name__} cannot be exported: {first}",
            expected="a network that torch.export can follow",
            hint="a convolutional network, or limbeck.load(RUN).model and an exporter of its own",
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


def answers(file: Path, images: Tensor) -> npt.NDArray[np.float32]:
    """What onnxruntime answers on this machine's cores."""
    import onnxruntime

    session: Any = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {INPUT: images.contiguous().numpy()})
    return np.asarray(logits, np.float32)


def needed() -> None:
    """Stop where the packages for it are missing."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise OptionError(
            f"exporting to ONNX needs {error.name}, which is not installed",
            expected="onnx, onnxscript and onnxruntime",
            hint="pip install limbeck[onnx]",
        ) from error
