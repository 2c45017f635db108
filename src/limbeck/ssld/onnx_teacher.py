"""A teacher in an ONNX file."""

import math
import mmap
import re
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from limbeck.errors import CheckpointError, OptionError, TeacherError, UnsafeFile
from limbeck.images.prepare import to_input
from limbeck.records import Preprocess
from limbeck.ssld.members import Network, Overrides

Floats = npt.NDArray[np.float32]


class OnnxNetwork(Network):
    """Its size comes from the graph; mean and deviation are ImageNet's unless they are given."""

    def __init__(self, file: Path, overrides: Overrides, device: torch.device) -> None:
        try:
            import onnx
            import onnxruntime
        except ImportError as error:
            raise TeacherError(
                f"the teacher {file} needs onnxruntime, which is not installed",
                expected="onnx and onnxruntime",
                hint="pip install limbeck[onnx]",
            ) from error
        self.megabytes = sum(part.stat().st_size for part in files_of(file)) / 1e6
        known = onnxruntime.get_available_providers()
        wanted = ["CUDAExecutionProvider"] if device.type == "cuda" else []
        providers = [name for name in (*wanted, "CPUExecutionProvider") if name in known]
        try:
            self._session = onnxruntime.InferenceSession(str(file), providers=providers)
            initial = onnx.load(str(file), load_external_data=False).graph.initializer
        except Exception as error:  # onnxruntime has no exception of its own to name
            raise TeacherError(
                f"{file} cannot be read: {error}", expected="an ONNX model", hint="export it again"
            ) from error
        self._device = device
        self._input, self._batch, size = _image_input(file, self._session, overrides)
        self.description, self.names, self.licence = file.name, None, None
        self.preprocess = overrides.on(Preprocess(size=size))
        self.parameters = sum(math.prod(tensor.dims) for tensor in initial)
        blank = self.answer(torch.zeros(1, 3, *size, dtype=torch.uint8))
        self.classes = blank.shape[1]

    def answer(self, images: Tensor, *, evaluation: bool = False) -> Tensor:
        look = self.preprocess
        inputs = to_input(images.cpu(), look.size, look.mean, look.std).contiguous().numpy()
        batch = self._batch or len(inputs)
        parts = [self._run(inputs[start : start + batch], batch) for start in range(0, len(inputs), batch)]
        return _log_probabilities(torch.from_numpy(np.concatenate(parts))).to(self._device)

    def _run(self, inputs: Floats, batch: int) -> Floats:
        lacking = batch - len(inputs)
        whole = np.pad(inputs, [(0, lacking), (0, 0), (0, 0), (0, 0)]) if lacking else inputs
        outputs = self._session.run(None, {self._input: whole})
        logits = next((output for output in outputs if output.ndim == 2), None)
        if logits is None:
            shapes = ", ".join(str(output.shape) for output in outputs)
            raise TeacherError(
                f"{self.description} answers {shapes}",
                expected="one row of logits for each image",
                hint="export the classifier with its head",
            )
        rows: Floats = logits[: len(inputs)].astype(np.float32)
        return rows


# a StringStringEntryProto as it lies in the file: key "location", then the value behind its length
_LOCATION = re.compile(rb"\x0a\x08location\x12([\x80-\xff]?[\x00-\x7f])", re.DOTALL)


def files_of(file: Path) -> list[Path]:
    """An ONNX file and the files beside it that hold its weights, found in its bytes: the onnx package may be missing.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "model.onnx"
    >>> _ = file.write_bytes(b"...")
    >>> [each.name for each in files_of(file)]
    ['model.onnx']
    """
    if not file.stat().st_size:
        return [file]
    with open(file, "rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        named = {content[at : at + size] for at, size in map(_extent, _LOCATION.finditer(content))}
    return [file, *(_beside(file, name.decode("utf-8", "replace")) for name in sorted(named))]


def _extent(found: re.Match[bytes]) -> tuple[int, int]:
    size = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(found[1]))
    return found.end(), size


def _beside(file: Path, location: str) -> Path:
    kinds = PurePosixPath(location), PureWindowsPath(location)
    if any(path.anchor or ".." in path.parts for path in kinds):
        raise UnsafeFile(
            f"{file} is refused: it would read {location!r}",
            expected="weights in its own folder",
            hint="export it again, with the weights beside it",
        )
    if not (file.parent / location).is_file():
        raise CheckpointError(
            f"{file} has weights in {location!r}, which is not beside it",
            expected="all files of the model in one folder",
            hint=f"copy {PurePosixPath(location).name} to {file.parent}",
        )
    return file.parent / location


def _image_input(file: Path, session: Any, overrides: Overrides) -> tuple[str, int | None, tuple[int, int]]:
    """Name, fixed batch size if any, and (height, width) of the graph's one input."""
    inputs = session.get_inputs()
    shape = inputs[0].shape
    if len(inputs) != 1 or len(shape) != 4 or shape[1] not in (3, "3") or inputs[0].type != "tensor(float)":
        told = "; ".join(f"{each.name} {each.type} {each.shape}" for each in inputs)
        raise TeacherError(
            f"{file} takes {told}", expected="one float32 input of [batch, 3, height, width]", hint="export it so"
        )
    batch, _, height, width = shape
    if isinstance(height, int) and isinstance(width, int):
        if overrides.size and (overrides.size, overrides.size) != (height, width):
            raise OptionError(
                f"--teacher-size {overrides.size} with {file}, which takes {height} x {width}",
                expected="its own size",
                hint="leave it out",
            )
        size = height, width
    else:
        size = (overrides.size or 224,) * 2
    return inputs[0].name, batch if isinstance(batch, int) else None, size


def _log_probabilities(outputs: Tensor) -> Tensor:
    # many files end in a softmax; a second one would make the answers near uniform
    if bool((outputs >= 0).all()) and bool(((outputs.sum(1) - 1).abs() < 1e-3).all()):
        return outputs.clamp(min=1e-12).log()
    return outputs.log_softmax(dim=1)
