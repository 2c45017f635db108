"""What each step of a large selection costs an image, on one core: the figures behind docs/scale.md.

    python bench/scale.py --photos imagenet_samples.zip

CPU time of one process with one thread, so other work on the machine hardly matters; the median of five rounds. The
excluded side is made up at its full size: what a product costs does not depend on what is in it.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch

from limbeck.alike.compare import compare
from limbeck.alike.local import COPIES, dimensions
from limbeck.alike.look import look
from limbeck.alike.nearest import near_hashes, near_vectors
from limbeck.classification.models import Architecture, count, preprocess_of
from limbeck.images.check import measure
from limbeck.images.decode import decode
from limbeck.images.imageset import ImageSet
from limbeck.images.places import key_of
from limbeck.images.prepare import centre_view
from limbeck.images.view import ViewPolicy, render
from limbeck.ssld.teacher import TeacherSpec

GALLERY, SIDE, TURNS, SMALL, LARGE, ROUNDS = 14_000_000, 50_000, 8, 32, 1000, 5
CANDIDATES, DISTANCE, SIMILARITY = 5, 10, 0.5


def each(what: str, images: int, run: Callable[[], object]) -> float:
    """Milliseconds of CPU an image, told with what that is over the whole gallery."""
    run()
    times = []
    for _ in range(ROUNDS):
        before = time.process_time()
        run()
        times.append((time.process_time() - before) / images * 1e3)
    cost = statistics.median(times)
    print(f"{what:<58}{cost:9.3f} ms {1e3 / cost:10,.0f} /s {cost * GALLERY / 3.6e6:10,.1f} core-h at 14M", flush=True)
    return cost


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", required=True)
    parser.add_argument("--teacher", default="resnet50d")
    photos = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as cache:
        images = ImageSet.open(photos.photos, cache=cache, workers=0, shown=False)
        files = [images.read(row) for row in range(len(images))]
    sizes = np.array([images.size(row) for row in range(len(images))])
    print(f"{len(files)} photos, {np.mean([len(file) for file in files]) / 1e3:.0f} kB and "
          f"{np.prod(sizes, axis=1).mean() / 1e6:.2f} megapixels each")  # fmt: skip
    each("manifest: digest and full check of a file", len(files), lambda: [(key_of(f), measure(f)) for f in files])
    decoded = [decode(file) for file in files]
    each("decode", len(files), lambda: [decode(file) for file in files])
    seen = [look(photo) for photo in decoded]
    each("hash in eight turns", len(files), lambda: [look(photo) for photo in decoded])
    each("SIFT points", len(files), lambda: [look(photo).features for photo in decoded])
    each("local signature (with SIFT points)", len(files), lambda: [look(photo).vector for photo in decoded])
    pairs = list(pairwise(seen))
    each("compare a pair of other photos", len(pairs), lambda: [compare(a.features, b.features) for a, b in pairs])
    products()
    teacher(photos.teacher, decoded, files)


def products() -> None:
    """Photos of the gallery against all turns of the excluded side, in small and in large batches."""
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**63, SIDE * TURNS, np.uint64)
    for batch in SMALL, LARGE:
        told = f"hashes of {SIDE:,} photos in {TURNS} turns, {batch:,} at once"
        each(told, batch, lambda n=batch: near_hashes(hashes[:n], hashes, DISTANCE))  # type: ignore[misc]
    for name, copies, width in (("local", len(COPIES), dimensions()), ("2,048 wide embedding", TURNS, 2048)):
        side = rng.integers(-40, 40, (SIDE * copies, width), np.int8)
        for batch in SMALL, LARGE:
            each(
                f"{name} in {copies} turns, {batch:,} at once",
                batch,
                lambda side=side, n=batch: list(near_vectors(side[:n], side, SIMILARITY, CANDIDATES)),  # type: ignore[misc]
            )
        print(f"    that index is {side.nbytes / 1e9:.2f} GB, with {hashes.nbytes / 1e6:.1f} MB of hashes")


def teacher(name: str, decoded: list[torch.Tensor], files: list[bytes]) -> None:
    model = Architecture.parse(name).build()
    preprocess = preprocess_of(model)
    print(f"{name} at {preprocess.size[0]}: {count(model, preprocess.size).macs / 1e9:.2f} GMACs an image")
    views = torch.stack([centre_view(preprocess, photo) for photo in decoded[:SMALL]])
    each("evaluation view", SMALL, lambda: [centre_view(preprocess, photo) for photo in decoded[:SMALL]])
    policy = ViewPolicy(preprocess.size[0])
    for crops in 1, 4:
        numbers = tuple(range(crops))
        each(
            f"read and render {crops} training views",
            len(files),
            lambda n=numbers: [render(policy, f, b"k", n) for f in files],
        )
    for precision in "float32", "bfloat16":
        loaded = TeacherSpec.parse(name, pretrained=False).load("cpu", precision)
        each(f"the teacher's answer, {precision}", SMALL, lambda loaded=loaded: loaded.evaluate([views]))


if __name__ == "__main__":
    main()
