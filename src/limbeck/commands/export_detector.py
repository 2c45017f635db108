"""limbeck export, of a detector: pixels in, final boxes out, compared with PyTorch on photos."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from limbeck.checkpoints.loaded_detector import LoadedDetector, load_detector
from limbeck.console import console
from limbeck.deploy.onnx_detector import answers, write_detector
from limbeck.detection.batch import Found
from limbeck.detection.loader import DetectionBatch
from limbeck.errors import ImagesError, OptionError, counted
from limbeck.images.decode import Unreadable, decode
from limbeck.images.imageset import ImageSet
from limbeck.layers.boxes import overlaps

_PHOTOS = 8
_SCORE = 0.05
_SAME = 0.99  # overlap of two boxes that are the same


@dataclass(frozen=True)
class ExportedDetector:
    """The file, and how many boxes both onnxruntime and PyTorch find."""

    file: Path
    photos: int
    found: int  # boxes that either of them finds, with a score of 0.05 or more, or any where there are none
    same: int  # those that both find, with the same class
    difference: float  # the largest, of the scores of these


def export_detector(path: str, file: Path, images: tuple[str, ...], opset: int) -> ExportedDetector:
    """Write the file, and ask both about the same photos."""
    loaded = load_detector(path)
    batches = photos_of(loaded, path, file, images)
    look = loaded.look
    inputs = [batch.normalised(look.mean, look.std).contiguous() for batch in batches]
    own = [loaded.find(batch) for batch in batches]
    told = {"classes": list(loaded.classes), "look": look.to_dict()}
    about = {f"limbeck.{name}": json.dumps(value, ensure_ascii=False) for name, value in told.items()}
    write_detector(loaded.model, inputs[0], batches[0].frames, file, about, opset=opset)
    theirs = answers(file, [(pixels, batch.frames) for pixels, batch in zip(inputs, batches, strict=True)])
    exported = agreement(file, own, theirs)
    height, width = inputs[0].shape[2:]
    console.print(
        f"{file}: {file.stat().st_size / 1e6:.1f} MB, opset {opset}, inputs images float32 [1, 3, {height}, {width}] "
        "and frames float32 [1, 4] (height and width of the image in the input, then its own), outputs boxes, "
        "scores, labels, counts",
        markup=False,
    )
    console.print(
        f"onnxruntime against PyTorch on {exported.photos} photos: {exported.same:,} of {exported.found:,} boxes "
        f"are the same, largest difference of their scores {exported.difference:.1e}",
        markup=False,
    )
    return exported


def drifts(exported: ExportedDetector, tolerance: float) -> bool:
    """Whether none were found, or boxes are lost or added but for those of equal scores, or scores are others."""
    return not exported.found or exported.same < 0.99 * exported.found or exported.difference > tolerance


def agreement(file: Path, own: Sequence[Found], theirs: Sequence[Found]) -> ExportedDetector:
    """What both find on the same photos; of unsure ones too where none is sure."""
    for score in (_SCORE, 0.0):
        found, same, apart = zip(*(compared(*pair, score) for pair in zip(own, theirs, strict=True)), strict=True)
        if any(found):
            return ExportedDetector(file, len(own), sum(found), sum(same), max(apart))
    raise ImagesError(
        f"{file} is written, and not compared: nothing is found on {counted(len(own), 'photo')}",
        expected="photos of what the detector was trained to find",
        hint="--images PHOTOS, others; or a detector that has been trained for longer",
    )


def compared(own: Found, theirs: Found, score: float = _SCORE) -> tuple[int, int, float]:
    """How many boxes PyTorch or the other finds on a photo, how many both find, the largest distance of scores.

    A box is the same as one other at most. Of a pair one has to be sure: at the threshold none is lost.
    """
    one, other = (found.detections()[0] for found in (own, theirs))
    sure, other_sure = (~(each.scores < score) for each in (one, other))  # nan is an answer too
    if not len(one) or not len(other):
        return int(sure.sum() + other_sure.sum()), 0, 0.0
    same = (overlaps(one.boxes, other.boxes) >= _SAME) & (one.labels[:, None] == other.labels)
    distances = (one.scores[:, None] - other.scores).abs().masked_fill(~same, np.inf)
    apart, nearest = distances.min(1)
    paired = apart.isfinite() & (distances.argmin(0)[nearest] == torch.arange(len(one)))
    counts = paired & (sure | other_sure[nearest])
    other_sure[nearest[paired]] = False
    both = int(counts.sum())
    found = both + int((sure & ~paired).sum()) + int(other_sure.sum())
    return found, both, float(apart[counts].max()) if both else 0.0


def photos_of(loaded: LoadedDetector, path: str, file: Path, sources: tuple[str, ...]) -> list[DetectionBatch]:
    """A few photos as the detector is shown them, one by one."""
    if not sources:
        raise OptionError(
            f"{path} is a detector, and no photos are named",
            expected="photos to compare ONNX with PyTorch on",
            hint=f"{shlex.join(['limbeck', 'export', path, '--onnx', str(file)])} --images PHOTOS",
        )
    images = ImageSet.open(list(sources), shown=False)
    few = np.linspace(0, max(0, len(images) - 1), min(len(images), _PHOTOS)).astype(np.int64)
    batches = []
    for place in few.tolist():
        try:
            batches.append(loaded.preprocess([loaded.view(decode(images.read(place)))]))
        except (Unreadable, OSError):
            continue
    if loaded.look.keep_ratio:  # a file is for one size
        batches = [each for each in batches if each.images.shape == batches[0].images.shape]
    if not batches:
        raise ImagesError(
            f"no photo of {', '.join(sources)} can be read", expected="photos", hint="--images PHOTOS, others"
        )
    return batches
