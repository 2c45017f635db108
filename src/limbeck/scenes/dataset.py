"""A folder of drawn scenes: ordinary JPEG files, in class folders or flat."""

import functools
import io
import json
import multiprocessing
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from PIL import Image

from limbeck.console import progress
from limbeck.errors import ImagesError
from limbeck.scenes.scene import DIFFICULTY, Scene, draw_scene
from limbeck.scenes.shapes import CLASSES

_STAMP = ".drawn.json"
_CHUNK = 64


@dataclass(frozen=True)
class _Plan:
    folder: Path
    seed: int
    size: int
    labelled: bool

    def label(self, index: int) -> int | None:
        return index % len(CLASSES) if self.labelled else None

    def path(self, index: int) -> Path:
        label = self.label(index)
        return (self.folder if label is None else self.folder / CLASSES[label]) / f"{index:06d}.jpg"

    def stamp(self) -> dict[str, object]:
        settings = {"seed": self.seed, "size": self.size, "labelled": self.labelled, "difficulty": asdict(DIFFICULTY)}
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
    plan = _Plan(Path(folder), seed, size, labelled)
    _claim(plan)
    for parent in {plan.path(index).parent for index in range(min(count, len(CLASSES)))}:
        parent.mkdir(exist_ok=True)
    missing = [index for index in range(count) if not _is_whole(plan.path(index))]
    chunks = [missing[start : start + _CHUNK] for start in range(0, len(missing), _CHUNK)]
    with (
        progress(f"drawing {plan.folder.name}", len(missing), shown=shown) as advance,
        _each(plan, workers, chunks) as drawn,
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


@contextmanager
def _each(plan: _Plan, workers: int, chunks: list[list[int]]) -> Iterator[Iterator[int]]:
    draw = functools.partial(_draw_chunk, plan)
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
        # seeds of different data sets never meet
        scene = draw_scene((plan.seed << 32) + index, size=plan.size, label=plan.label(index))
        _replace(plan.path(index), to_jpeg(scene))
    return len(indices)


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
