"""Does choosing pay? Half of a gallery is CIFAR-10, half is foreign: the selected half against a random half.

    python bench/cifar_teacher.py --data ../shared/data --out .bench/cifar/teacher.safetensors
    python bench/selection.py --data ../shared/data     # what is not there yet; two at once share the work
    python bench/selection.py --table                   # what is there so far

10,000 photos of CIFAR-10 are mixed with as many foreign ones: crops of street scenes (CamVid), drawn scenes, noise.
`limbeck select` keeps the best 1,000 of each class, without labels. The student of bench/cifar.py is then distilled on
those, on as many drawn from the gallery at random (another draw for each seed), and on the 10,000 photos of CIFAR-10
alone, which no selection can know: equal steps, equal everything. Top-1 is that of the CIFAR-10 test photos.
"""

import argparse
import random
import statistics
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image, ImageFilter

import cifar
import limbeck
from cifar import WORK, Run, claimed
from limbeck.scenes.dataset import draw_dataset

REAL, SEEDS, STEPS = 10_000, 3, 900
FOREIGN = {"streets": 3_334, "drawn": 3_333, "noise": 3_333}
ROOT = WORK / "selection"
GALLERY, SET = ROOT / "gallery.txt", ROOT / "set"
WAYS = ("selected", "random", "cifar")


def streets(archive: Path, folder: Path, count: int) -> None:
    """Random crops of CamVid frames, as small as the photos of CIFAR-10."""
    rng = np.random.default_rng(1)
    with zipfile.ZipFile(archive) as file:
        names = sorted(name for name in file.namelist() if "train/images" in name and name.endswith(".jpg"))
        for start, name in enumerate(names):
            frame = Image.open(BytesIO(file.read(name))).convert("RGB")
            for number in range(start, count, len(names)):
                side = int(rng.integers(48, 240))
                left, top = (int(rng.integers(0, length - side)) for length in frame.size)
                crop = frame.crop((left, top, left + side, top + side)).resize((32, 32))
                crop.save(folder / f"{number:05d}.jpg", quality=90)


def noise(folder: Path, count: int) -> None:
    """Noise in random colours, more or less blurred."""
    rng = np.random.default_rng(2)
    for number in range(count):
        pixels = rng.normal(rng.uniform(0, 255, 3), rng.uniform(10, 90), (32, 32, 3)).clip(0, 255)
        image = Image.fromarray(pixels.astype(np.uint8)).filter(ImageFilter.GaussianBlur(float(rng.uniform(0, 3))))
        image.save(folder / f"{number:05d}.jpg", quality=90)


def prepare(data: Path) -> None:
    """The gallery, as a list of files; made once."""
    cifar.prepare(data)
    if GALLERY.exists():
        return
    for name in FOREIGN:
        (ROOT / name).mkdir(parents=True, exist_ok=True)
    streets(data / "camvid.zip", ROOT / "streets", FOREIGN["streets"])
    noise(ROOT / "noise", FOREIGN["noise"])
    draw_dataset(ROOT / "drawn", FOREIGN["drawn"], seed=3, size=32, labelled=False)
    real = sorted((WORK / "photos" / "train").rglob("*.jpg"))
    files = random.Random(0).sample(real, REAL)
    (ROOT / "cifar.txt").write_text("".join(f"{path.resolve()}\n" for path in files))
    files += [path for name in FOREIGN for path in sorted((ROOT / name).glob("*.jpg"))]
    GALLERY.write_text("".join(f"{path.resolve()}\n" for path in files))


def select() -> int:
    """The selection, and how many photos it keeps."""
    teacher = {"teacher": "cifar_teacher", "teacher_weights": str(WORK / "teacher.safetensors")}
    # workers 0: the networks of cifar_models are known to this process alone
    kept = limbeck.select(gallery=str(GALLERY), out=SET, per_class=REAL // 10, workers=0, **teacher)
    return len(kept)


def photos_of(way: str, seed: int, count: int) -> str:
    if way == "selected":
        return str(SET)
    if way == "cifar":
        return str(ROOT / "cifar.txt")
    listed = ROOT / f"random-{seed}.txt"
    lines = GALLERY.read_text().splitlines(keepends=True)
    listed.write_text("".join(random.Random(f"half {seed}").sample(lines, count)))
    return str(listed)


def run_of(way: str, seed: int, count: int = 0) -> Run:
    options: dict[str, Any] = {"loss": "js", "lr": 1.6, "steps": STEPS, "views": 8, "seed": seed}
    options |= {"teacher": "cifar_teacher", "teacher_weights": str(WORK / "teacher.safetensors")}
    options |= {"store": str(ROOT / "store"), "probe": 0.0}
    if count:
        options["images"] = photos_of(way, seed, count)
    return Run("selection", f"gallery-{way}-seed{seed}", options)


def table() -> None:
    """Markdown: who is in the selection, and what was learned."""
    decisions = pq.read_table(SET / "selected.parquet", columns=["path", "kept"]).to_pydict()
    kept = [path for path, stays in zip(decisions["path"], decisions["kept"]) if stays]
    print(f"| gallery of {len(decisions['path']):,} | files | kept |\n|---|---|---|")
    for name, total in {"train": REAL, **FOREIGN}.items():
        count = sum(f"/{name}/" in path for path in kept)
        print(f"| {'CIFAR-10' if name == 'train' else name} | {total:,} | {count:,} ({count / total:.1%}) |")
    print("\n| distilled on | top-1 of each seed | mean | spread |\n|---|---|---|---|")
    names = {"selected": f"the selected {len(kept):,}", "random": f"{len(kept):,} at random", "cifar": "CIFAR-10 alone"}
    for way in WAYS:
        scores = [score for seed in range(SEEDS) if (score := run_of(way, seed).top1) is not None]
        if scores:
            spread = f"{statistics.stdev(scores):.2f}" if len(scores) > 1 else ""
            each = ", ".join(f"{score:.2f}" for score in scores)
            print(f"| {names[way]} | {each} | {statistics.mean(scores):.2f} | {spread} |")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path)
    options.add_argument("--table", action="store_true")
    options.add_argument("--most", type=int, default=SEEDS * len(WAYS), help="stop after so many runs")
    chosen = options.parse_args()
    if not chosen.table:
        if chosen.data is None:
            options.error("--data: the folder that holds the CIFAR-10 and CamVid archives")
        prepare(chosen.data)
        count = select()
        done = 0
        for seed in range(SEEDS):
            for way in WAYS:
                with claimed(run_of(way, seed)) as mine:
                    if mine and done < chosen.most:
                        cifar.train(run_of(way, seed, count))
                        done += 1
    table()


if __name__ == "__main__":
    main()
