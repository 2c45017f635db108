"""limbeck export: a run as an ONNX file, compared with PyTorch on real photos."""

import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from tyro.conf import Positional, arg

from limbeck.checkpoints.card import find
from limbeck.checkpoints.detector_card import is_detector
from limbeck.checkpoints.loaded import Loaded, load
from limbeck.commands.export_detector import ExportedDetector, drifts, export_detector
from limbeck.console import console, errors
from limbeck.deploy.onnx_file import OPSET, answers, needed, write_onnx
from limbeck.errors import ImagesError, OptionError, RunError
from limbeck.images.imageset import ImageSet
from limbeck.images.prepare import to_input
from limbeck.images.reader import evaluation_batches
from limbeck.ssld.folder import photos_file

_PHOTOS = 16


@dataclass(frozen=True)
class Export:
    """A run as an ONNX file; the exit status is 1 when onnxruntime's answers to photos drift from PyTorch's."""

    run: Annotated[Positional[str], arg(metavar="RUN")]
    """A run, or a checkpoint folder."""
    onnx: str
    """The file to write."""
    images: tuple[str, ...] = ()
    """Photos to compare on (default: those of the run)."""
    tolerance: float = 1e-4
    """Largest difference of logits that is no drift, as a share of the largest logit; of a detector, of scores."""
    opset: int = OPSET


@dataclass(frozen=True)
class Exported:
    """The file, and how far onnxruntime's answers are from PyTorch's."""

    file: Path
    photos: int
    difference: float  # of logits, as a share of the largest
    same_class: int  # photos with the same best class


def export(
    path: str | Path, onnx: str | Path, *, images: str | Path | tuple[str, ...] = (), tolerance: float = 1e-4
) -> Exported | ExportedDetector:
    """A run as an ONNX file, compared with PyTorch on photos; more than `tolerance` apart is an error."""
    sources = (str(images),) if isinstance(images, str | Path) else tuple(images)
    options = Export(str(path), str(onnx), sources, tolerance)
    exported = write(options)
    if _drifts(exported, tolerance):
        raise drift(options, exported)
    return exported


def run(options: Export) -> Exported | ExportedDetector:
    exported = write(options)
    if _drifts(exported, options.tolerance):
        errors.print("error: ", style="bold red", end="")
        errors.print(str(drift(options, exported)), markup=False)
        sys.exit(1)
    console.print(f"next: onnxruntime.InferenceSession({options.onnx!r})", markup=False)
    return exported


def _drifts(exported: Exported | ExportedDetector, tolerance: float) -> bool:
    if isinstance(exported, ExportedDetector):
        return drifts(exported, tolerance)
    return exported.difference > tolerance


def write(options: Export) -> Exported | ExportedDetector:
    """Export, then ask both about the same photos, all at once and one alone."""
    needed()
    file = Path(options.onnx).expanduser()
    if file.suffix != ".onnx" or file.is_dir():
        raise OptionError(f"--onnx {file}", expected="a file that ends in .onnx", hint="--onnx student.onnx")
    if is_detector(options.run):
        return export_detector(options.run, file, options.images, options.opset)
    loaded = load(options.run)
    views = photos_of(options, loaded)
    look = loaded.preprocess
    inputs = to_input(views, look.size, look.mean, look.std)
    write_onnx(loaded.model, inputs[:1], file, about(loaded), opset=options.opset)
    with torch.inference_mode():
        own = loaded.model(inputs).float().numpy()
    theirs = answers(file, inputs)
    alone = answers(file, inputs[:1])
    largest = max(float(np.abs(own).max()), float(np.finfo(np.float32).tiny))
    apart = max(float(np.abs(theirs - own).max()), float(np.abs(alone - own[:1]).max())) / largest
    same = int((theirs.argmax(1) == own.argmax(1)).sum())
    exported = Exported(file, len(views), apart, same)
    console.print(
        f"{file}: {file.stat().st_size / 1e6:.1f} MB, opset {options.opset}, input images float32 "
        f"[batch, 3, {look.size[0]}, {look.size[1]}], output logits [batch, {own.shape[1]}]",
        markup=False,
    )
    console.print(
        f"onnxruntime against PyTorch on {len(views)} photos: largest difference {apart:.1e} of the largest logit, "
        f"the same class on {same}",
        markup=False,
    )
    return exported


def about(loaded: Loaded) -> dict[str, str]:
    """What a user of the file alone must know."""
    told = {"classes": list(loaded.classes), "preprocess": loaded.preprocess.to_dict()}
    return {f"limbeck.{name}": json.dumps(value, ensure_ascii=False) for name, value in told.items()}


def photos_of(options: Export, loaded: Loaded) -> torch.Tensor:
    """A few photos as the model is shown them, uint8."""
    listed = photos_file(find(options.run).parent)
    sources = list(options.images) or ([str(listed)] if listed.exists() else [])
    if not sources:
        raise OptionError(
            f"{options.run} has no list of photos, and none are named",
            expected="photos to compare ONNX with PyTorch on",
            hint=f"{shlex.join(['limbeck', 'export', options.run, '--onnx', options.onnx])} --images PHOTOS",
        )
    images = ImageSet.open(sources, shown=False)
    few = images.take(np.linspace(0, max(0, len(images) - 1), min(len(images), _PHOTOS)).astype(np.int64))
    views = [each.views[0] for each in evaluation_batches(few, [loaded.preprocess], batch=_PHOTOS, workers=0)]
    found = torch.cat(views) if views else torch.zeros(0)
    if not len(found):
        raise ImagesError(
            f"no photo of {', '.join(sources)} can be read", expected="photos", hint="--images PHOTOS, others"
        )
    return found


def drift(options: Export, exported: Exported | ExportedDetector) -> RunError:
    if isinstance(exported, ExportedDetector):
        return RunError(
            f"{exported.file} drifts: {exported.same:,} of {exported.found:,} boxes are the same, "
            f"their scores up to {exported.difference:.1e} apart",
            expected=f"99 % of the boxes, and scores at most {options.tolerance:.1e} apart",
            hint="another --opset, or --tolerance where that is near enough",
        )
    return RunError(
        f"{exported.file} drifts: its answers differ by {exported.difference:.1e} of the largest logit",
        expected=f"at most {options.tolerance:.1e}",
        hint="another --opset, or --tolerance where that is near enough",
    )
