"""How fast photos become training batches on one core: limbeck against timm's loader and torchvision's ImageFolder.

    python bench/views.py [--photos FOLDER_OR_ZIP]

Every way reads the same JPEG files from disk, takes a random resized crop to 224 and a flip, and ends with a normalised
float32 batch. Each runs in a process of its own on one thread; rounds are interleaved, and what counts is the CPU time
of the process (the median of the rounds), so other work on the machine hardly matters. What costs more in timm's own
defaults (bicubic or random interpolation, colour jitter) is switched off.
"""

import argparse
import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

SIZE, BATCH = 224, 32
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PHOTOS = {"500x375": (500, 375, 90, 96), "2000x1500": (2000, 1500, 85, 32)}
GOALS = {("500x375", 1): 1.5, ("500x375", 4): 3.0, ("2000x1500", 1): 2.5}
WAYS = ("limbeck", "timm", "torchvision")


def limbeck(folder: Path, crops: int) -> Iterator[Any]:
    from limbeck.images.imageset import ImageSet
    from limbeck.images.order import Order
    from limbeck.images.prepare import to_input
    from limbeck.images.reader import Reader
    from limbeck.images.view import ViewPolicy

    images = ImageSet.open(folder, cache=folder.parent / "cache", workers=1, shown=False)
    order = Order(len(images), BATCH, seed=0, crops_per_read=crops)
    reader = Reader(images, ViewPolicy(SIZE), workers=0)
    for batch in reader.batches(order.reads(step) for step in range(10**9)):
        yield to_input(batch.images, (SIZE, SIZE), MEAN, STD)


def timm(folder: Path, crops: int) -> Iterator[Any]:
    import torch
    from timm.data import create_dataset, create_loader

    loader = create_loader(
        create_dataset("", str(folder)),
        (3, SIZE, SIZE),
        BATCH,
        is_training=True,
        interpolation="bilinear",
        color_jitter=0.0,
        num_workers=0,
        persistent_workers=False,
        pin_memory=False,
        device=torch.device("cpu"),
    )
    while True:
        for images, _ in loader:
            yield images


def torchvision(folder: Path, crops: int) -> Iterator[Any]:
    from torch.utils.data import DataLoader
    from torchvision import transforms
    from torchvision.datasets import ImageFolder

    view = transforms.Compose(
        [
            transforms.RandomResizedCrop(SIZE),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    loader = DataLoader(ImageFolder(str(folder), view), BATCH, shuffle=True, drop_last=True)
    while True:
        for images, _ in loader:
            yield images


def serve(way: str, folder: Path, crops: int) -> None:
    """The measured process: for each line asked, so many batches, and the CPU seconds that they took."""
    import torch

    torch.set_num_threads(1)
    ways: dict[str, Callable[[Path, int], Iterator[Any]]] = {
        "limbeck": limbeck,
        "timm": timm,
        "torchvision": torchvision,
    }
    batches = ways[way](folder, crops)
    for line in sys.stdin:
        count = int(line)
        start = time.process_time()
        for images in islice(batches, count):
            assert images.shape == (BATCH, 3, SIZE, SIZE)
            assert images.dtype == torch.float32
        print(json.dumps(time.process_time() - start), flush=True)


class Contender:
    def __init__(self, way: str, folder: Path, crops: int) -> None:
        command = [sys.executable, __file__, "--serve", way, str(folder), str(crops)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.seconds: list[float] = []
        self.ask(2)

    def ask(self, batches: int) -> float:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{batches}\n")
        self.process.stdin.flush()
        return float(json.loads(self.process.stdout.readline()))

    def measure(self, batches: int) -> None:
        self.seconds.append(self.ask(batches) / (batches * BATCH))

    def images_per_second(self) -> float:
        return 1 / statistics.median(self.seconds)

    def stop(self) -> None:
        self.process.communicate()


def write_photos(folder: Path, kind: str, source: Path | None) -> int:
    """JPEG files of one size; the mean of their bytes."""
    from PIL import Image

    width, height, quality, count = PHOTOS[kind]
    (folder / "class").mkdir(parents=True)
    originals = list(islice(_originals(source), count)) if source else []
    sizes = []
    for number in range(count):
        if originals:
            photo = Image.open(io.BytesIO(originals[number % len(originals)])).convert("RGB")
            photo = photo.resize((width, height), Image.Resampling.BICUBIC)
        else:
            photo = _drawn_photo(number, width, height)
        path = folder / "class" / f"{number:03d}.jpg"
        photo.save(path, quality=quality)
        sizes.append(path.stat().st_size)
    return int(statistics.mean(sizes))


def _originals(source: Path) -> Iterator[bytes]:
    suffixes = (".jpg", ".jpeg", ".png")
    if source.is_dir():
        files = (path for path in sorted(source.rglob("*")) if path.suffix.lower() in suffixes)
        yield from (path.read_bytes() for path in files)
    else:
        with zipfile.ZipFile(source) as archive:
            yield from (archive.read(name) for name in archive.namelist() if name.lower().endswith(suffixes))


def _drawn_photo(number: int, width: int, height: int) -> Any:
    """Noise at every scale, weaker where finer, as in photographs; about their bytes, too."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(number)
    photo = np.full((height, width, 3), 128, np.float32)
    cell = width
    while cell >= 1:
        shape = (-(-height // cell) + 1, -(-width // cell) + 1, 3)
        noise = Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8))
        grown = noise.resize((width, height), Image.Resampling.BICUBIC)
        photo += (np.asarray(grown, np.float32) - 128) * 0.45 * (cell / width) ** 0.35
        cell //= 2
    return Image.fromarray(np.clip(photo, 0, 255).astype(np.uint8))


def compare(kind: str, crops: int, folder: Path, rounds: int) -> bool:
    contenders = {way: Contender(way, folder, crops) for way in WAYS}
    batches = 6 if kind == "500x375" else 2
    for _ in range(rounds):
        for contender in contenders.values():
            contender.measure(batches)
    speeds = {way: contender.images_per_second() for way, contender in contenders.items()}
    for contender in contenders.values():
        contender.stop()
    ratio = speeds["limbeck"] / max(speeds["timm"], speeds["torchvision"])
    goal = GOALS.get((kind, crops))
    verdict = "" if goal is None else f">= {goal}: {'met' if ratio >= goal else 'MISSED'}"
    numbers = " | ".join(f"{speeds[way]:.0f}" for way in WAYS)
    print(f"| {kind} | {crops} | {numbers} | {ratio:.2f} | {verdict} |", flush=True)
    return goal is None or ratio >= goal


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, help="a folder or .zip of real photos; drawn ones without it")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--serve", nargs=3, metavar=("WAY", "FOLDER", "CROPS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        way, folder, crops = options.serve
        serve(way, Path(folder), int(crops))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folders = {kind: Path(temporary) / kind for kind in PHOTOS}
        for kind, folder in folders.items():
            bytes_each = write_photos(folder / "photos", kind, options.photos)
            source = options.photos.name if options.photos else "drawn"
            print(f"{kind}: {PHOTOS[kind][3]} {source} photos, {bytes_each / 1000:.0f} kB each", flush=True)
        print("\nviews/s of one core (CPU time); timm and torchvision always read once for each view\n")
        print(f"| photos | crops a read | {' | '.join(WAYS)} | limbeck / better of the two | goal |")
        print("|---|---|---|---|---|---|---|", flush=True)
        for kind, folder in folders.items():
            for crops in (1, 4):
                compare(kind, crops, folder / "photos", options.rounds)


if __name__ == "__main__":
    main()
