"""limbeck export, of a detector: pixels in, final boxes out, compared with PyTorch on photos."""

import json
import shlex
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from limbeck.checkpoints.loaded_detector import LoadedDetector, load_detector
from limbeck.console import console
from limbeck.deploy.onnx_detector import answers, write_detector
from limbeck.detection.batch import Found
from limbeck.detection.loader import DetectionBatch
from limbeck.errors import ImagesError, OptionError
from limbeck.images.decode import Unreadable, decode
from limbeck.images.imageset import ImageSet
from limbeck.layers.boxes import overlaps

_PHOTOS = 8
_SCORE = 0.05
_SAME = 0.99  # overlap of two boxes that are the same


@dataclass(frozen=True)
class ExportedDetector:
    """The file, and what onnxruntime finds of what PyTorch finds."""

    file: Path
    photos: int
    found: int  # boxes of PyTorch's, of a score of 0.05 or more
    same: int  # those that onnxruntime finds too, with the same class
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
    pairs = [compared(one, other) for one, other in zip(own, theirs, strict=True)]
    exported = ExportedDetector(
        file, len(batches), sum(p[0] for p in pairs), sum(p[1] for p in pairs), max(p[2] for p in pairs)
    )
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
    """Whether boxes are lost, but for those of equal scores, or their scores are others."""
    return exported.same < 0.99 * exported.found or exported.difference > tolerance


def compared(own: Found, theirs: Found) -> tuple[int, int, float]:
    """How many boxes PyTorch finds on a photo, how many of them the other finds too, the largest distance of scores."""
    one, other = (found.detections()[0] for found in (own, theirs))
    sure = one.scores >= _SCORE
    boxes, scores, labels = one.boxes[sure], one.scores[sure], one.labels[sure]
    if not len(scores) or not len(other):
        return len(scores), 0, 0.0
    same = (overlaps(boxes, other.boxes) >= _SAME) & (labels[:, None] == other.labels)
    apart = (scores[:, None] - other.scores).abs().masked_fill(~same, np.inf).amin(1)
    there = apart.isfinite()
    return len(scores), int(there.sum()), float(apart[there].max()) if bool(there.any()) else 0.0


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
