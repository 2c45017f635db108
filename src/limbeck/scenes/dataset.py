"""A folder of drawn scenes: ordinary JPEG files, in class folders, flat, or with boxes and masks in a COCO json."""

import functools
import io
import json
import multiprocessing
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from limbeck.console import progress
from limbeck.errors import ImagesError
from limbeck.scenes.scene import DIFFICULTY, Mask, Scene, SceneObject, draw_scene
from limbeck.scenes.shapes import CLASSES

_STAMP = ".drawn.json"
_CHUNK = 64

Result = TypeVar("Result")


@dataclass(frozen=True)
class _Plan:
    folder: Path
    seed: int
    size: int
    labelled: bool
    objects: int = 0  # at most so many in a scene, with boxes and masks; 0: one, without

    def label(self, index: int) -> int | None:
        return index % len(CLASSES) if self.labelled else None

    def scene(self, index: int) -> Scene:
        # seeds of different data sets never meet
        objects = 1 + index // len(CLASSES) % self.objects if self.objects else 1
        return draw_scene((self.seed << 32) + index, size=self.size, label=self.label(index), objects=objects)

    def path(self, index: int) -> Path:
        if self.objects:
            return self.folder / "images" / f"{index:06d}.jpg"
        label = self.label(index)
        return (self.folder if label is None else self.folder / CLASSES[label]) / f"{index:06d}.jpg"

    def stamp(self) -> dict[str, object]:
        settings = {"seed": self.seed, "size": self.size, "labelled": self.labelled, "difficulty": asdict(DIFFICULTY)}
        if self.objects:
            settings["objects"] = self.objects
        plain: dict[str, object] = json.loads(json.dumps(settings))
        return plain


def draw_dataset(
    folder: Path, count: int, *, seed: int, size: int = 64, labelled: bool, workers: int = 2, shown: bool = True
) -> None:
    """Draw `count` scenes into a folder: CLASS/000123.jpg with labels, 000123.jpg without.

    Files that an earlier call has drawn are kept, so that a stopped call goes on where it was; a folder that holds
    anything else is refused. Classes are equally frequent with labels, and drawn at random without.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     draw_dataset(Path(folder), 2, seed=0, labelled=True, workers=1, shown=False)
    ...     print(*sorted(file.relative_to(folder).as_posix() for file in Path(folder).rglob("*.jpg")))
    bicycle/000000.jpg boat/000001.jpg
    """
    _draw(_Plan(Path(folder), seed, size, labelled), count, workers, shown)


def draw_boxes_dataset(
    folder: Path, count: int, *, seed: int, size: int = 96, objects: int = 4, workers: int = 2, shown: bool = True
) -> None:
    """Draw `count` scenes of up to `objects` objects: images/000123.jpg, and annotations.json in COCO's format.

    Boxes and masks (run lengths) are of what is in sight of each object. Like `draw_dataset` it goes on where it was.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     draw_boxes_dataset(Path(folder), 2, seed=0, workers=1, shown=False)
    ...     sorted(json.loads(Path(folder, "annotations.json").read_text()))
    ['annotations', 'categories', 'images']
    """
    plan = _Plan(Path(folder), seed, size, labelled=True, objects=objects)
    _draw(plan, count, workers, shown)
    _replace(plan.folder / "annotations.json", (json.dumps(_annotations(plan, count, workers, shown)) + "\n").encode())


def _draw(plan: _Plan, count: int, workers: int, shown: bool) -> None:
    _claim(plan)
    for parent in {plan.path(index).parent for index in range(min(count, len(CLASSES)))}:
        parent.mkdir(exist_ok=True)
    missing = [index for index in range(count) if not _is_whole(plan.path(index))]
    chunks = [missing[start : start + _CHUNK] for start in range(0, len(missing), _CHUNK)]
    with (
        progress(f"drawing {plan.folder.name}", len(missing), shown=shown) as advance,
        _each(functools.partial(_draw_chunk, plan), workers, chunks) as drawn,
    ):
        for amount in drawn:
            advance(amount)


def _claim(plan: _Plan) -> None:
    """Mark a new folder as ours, or see that it is."""
    stamp = plan.folder / _STAMP
    found = json.loads(stamp.read_text()) if stamp.is_file() else None
    if found == plan.stamp():
        return
    if plan.folder.is_dir() and any(plan.folder.iterdir()):
        other = "scenes drawn with other settings" if found else "files that limbeck did not draw"
        hint = f"another folder, or first: rm -r '{plan.folder}'" if found else "another folder"
        raise ImagesError(f"'{plan.folder}' holds {other}", expected="a new or empty folder", hint=hint)
    plan.folder.mkdir(parents=True, exist_ok=True)
    _replace(stamp, (json.dumps(plan.stamp(), indent=2) + "\n").encode())


def _is_whole(path: Path) -> bool:
    # scenes are not synced one by one, it would take longer than drawing them: a power cut can leave a file empty
    return path.is_file() and path.stat().st_size > 0


def _annotations(plan: _Plan, count: int, workers: int, shown: bool) -> dict[str, object]:
    """What COCO says of the scenes; drawn once more, since of those that were there only the picture is."""
    chunks = [list(range(start, min(start + _CHUNK, count))) for start in range(0, count, _CHUNK)]
    objects: list[dict[str, object]] = []
    with (
        progress(f"labelling {plan.folder.name}", count, shown=shown) as advance,
        _each(functools.partial(_label_chunk, plan), workers, chunks) as labelled,
    ):
        for chunk, found in zip(chunks, labelled):
            objects += [each | {"id": number} for number, each in enumerate(found, len(objects) + 1)]
            advance(len(chunk))
    names = [f"images/{plan.path(index).name}" for index in range(count)]
    return {
        "images": [{"id": k + 1, "file_name": n, "height": plan.size, "width": plan.size} for k, n in enumerate(names)],
        "annotations": objects,
        "categories": [{"id": number, "name": name} for number, name in enumerate(CLASSES, 1)],
    }


@contextmanager
def _each(draw: Callable[[list[int]], Result], workers: int, chunks: list[list[int]]) -> Iterator[Iterator[Result]]:
    if workers <= 1 or len(chunks) <= 1:
        yield map(draw, chunks)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(chunks)), context, initializer=_leave_interrupts_to_the_parent)
    try:
        yield pool.map(draw, chunks)
    finally:
        pool.shutdown(cancel_futures=True)


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _draw_chunk(plan: _Plan, indices: list[int]) -> int:
    for index in indices:
        _replace(plan.path(index), to_jpeg(plan.scene(index)))
    return len(indices)


def _label_chunk(plan: _Plan, indices: list[int]) -> list[dict[str, object]]:
    return [_annotation(index, each) for index in indices for each in plan.scene(index).objects]


def _annotation(index: int, found: SceneObject) -> dict[str, object]:
    left, top, right, bottom = found.box
    return {
        "image_id": index + 1,
        "category_id": found.label + 1,
        "bbox": [left, top, right - left, bottom - top],
        "area": int(found.mask.sum()),
        "iscrowd": 0,
        "segmentation": {"size": list(found.mask.shape), "counts": _runs(found.mask)},
    }


def _runs(mask: Mask) -> list[int]:
    """COCO's run lengths: pixels in turn outside and inside, down each column.

    >>> _runs(np.array([[False, True], [True, False]]))
    [1, 2, 1]
    """
    down = np.concatenate([[False], mask.T.ravel()])
    changes = np.flatnonzero(down[1:] != down[:-1])
    lengths: list[int] = np.diff(changes, prepend=0, append=mask.size).tolist()
    return lengths


def to_jpeg(scene: Scene) -> bytes:
    """A scene as the bytes of a JPEG file, at its own quality.

    >>> to_jpeg(draw_scene(0))[:2].hex()
    'ffd8'
    """
    data = io.BytesIO()
    Image.fromarray(scene.image).save(data, "JPEG", quality=scene.quality)
    return data.getvalue()


def _replace(path: Path, data: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(data)
    part.replace(path)
