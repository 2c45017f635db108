"""Peak resident memory of a selection among many photos, scores given (goal: under 1.5 GB at 2 million).

    python bench/select_memory.py               # 2 million made-up rows
    python bench/select_memory.py --rows 14000000

Two processes, one after the other: the first makes the manifest up, the second selects from it and is measured, page
by page of all that it maps too: the manifest, read through once, counts until the system takes its pages back.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

CLASSES, PER_CLASS, COPIED = 1000, 1000, 0.01
_CHUNK = 2**17


def make_up(path: Path, rows: int) -> None:
    """A manifest of photos that nobody has: drawn keys, a hundredth of them twice, paths as they lie in folders."""
    from limbeck.images.check import MANIFEST
    from limbeck.images.manifest import write

    rng = np.random.default_rng(0)
    keys = rng.integers(0, 256, (rows, 16), np.uint8)
    copies = rng.choice(rows, round(COPIED * rows), replace=False)
    keys[copies] = keys[(copies + 1) % rows]
    paths = pa.chunked_array(
        pa.array([f"/photos/crawl/{n % 1000:04d}/image_{n:012d}.jpg" for n in range(first, min(first + _CHUNK, rows))],
                 pa.large_string())
        for first in range(0, rows, _CHUNK)
    ).combine_chunks()  # fmt: skip
    numbers = {"offset": 0, "length": 120_000, "method": 0, "height": 375, "width": 500, "stamp": 1}
    columns = {
        "key": pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), rows, [None, pa.py_buffer(keys)]),
        "path": paths,
        "container": pa.repeat(pa.scalar("", pa.large_string()), rows),
        **{name: pa.repeat(pa.scalar(value, MANIFEST.field(name).type), rows) for name, value in numbers.items()},
    }
    write(path, pa.record_batch([columns[name] for name in MANIFEST.names], schema=MANIFEST), [])


def select(manifest: Path, out: Path) -> None:
    """What `limbeck select` does once every photo has its score."""
    from limbeck.images.imageset import ImageSet
    from limbeck.ssld.gallery import Gallery
    from limbeck.ssld.gates import decide
    from limbeck.ssld.scoring import Scores
    from limbeck.ssld.select_options import Select
    from limbeck.ssld.selected import DECISIONS_FILE, write_decisions, write_manifest

    started = time.monotonic()
    told("imported", started)
    images = ImageSet(manifest)
    gallery = Gallery.of(images)
    told(f"{len(images):,} rows, {len(gallery):,} photos in {len(gallery.parts):,} shards", started)
    rng = np.random.default_rng(1)
    best = rng.integers(0, CLASSES, len(gallery)).astype(np.int32)
    score = (rng.beta(2, 2, len(gallery)) * 1e6).astype(np.int32)
    options = Select(gallery=("made up",), teacher="none", out=str(out), per_class=PER_CLASS)
    selection = decide(gallery, Scores.unmatched(best, score), options, [str(number) for number in range(CLASSES)])
    told(f"{len(selection.kept):,} kept", started)
    write_decisions(out / DECISIONS_FILE, selection)
    told("every decision written", started)
    write_manifest(out, selection)
    told("manifest written", started)


def told(what: str, started: float) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e3 if sys.platform != "darwin" else 1e6)
    print(f"{time.monotonic() - started:7.1f} s  peak {peak:7.0f} MB  {what}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--stage", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.stage:
        stage, folder = arguments.stage
        manifest = Path(folder) / "gallery.arrow"
        make_up(manifest, arguments.rows) if stage == "make" else select(manifest, Path(folder))
        return
    with tempfile.TemporaryDirectory() as folder:
        for stage in "make", "select":
            subprocess.run(
                [sys.executable, __file__, "--rows", str(arguments.rows), "--stage", stage, folder], check=True
            )
        sizes = [f"{path.name} {path.stat().st_size / 1e6:,.0f} MB" for path in sorted(Path(folder).glob("*.[ap]*"))]
        print(", ".join(sizes))


if __name__ == "__main__":
    main()
