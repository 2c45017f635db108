"""Peak memory of a distillation run, and its growth from 5,000 to 50,000 images (goal: at most 30 MB).

    python bench/memory.py                      # draws its own photos
    python bench/memory.py --photos cifar10_train.tar.gz

PSS (each shared page divided by those who share it) of the main process and of each worker, read every quarter second.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

STEPS, BATCH = 60, 64


def draw(folder: Path, count: int) -> None:
    """Small noisy photos, each another one."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((48, 48)).save(folder / f"{number:06d}.jpg", quality=80)


def peak(command: list[str], watch: str) -> tuple[float, list[float]]:
    """Peak PSS in MB of a command and of each of its workers, once `watch` appears in its run folder."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    main, workers = 0.0, {}
    root = psutil.Process(process.pid)
    while process.poll() is None:
        if Path(watch).exists():
            for each in [root, *root.children(recursive=True)]:
                try:
                    used = each.memory_full_info().pss / 1e6
                except psutil.Error:
                    continue
                if each.pid == root.pid:
                    main = max(main, used)
                else:
                    workers[each.pid] = max(workers.get(each.pid, 0.0), used)
        time.sleep(0.25)
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed")
    return main, sorted(workers.values(), reverse=True)


def measure(images: str, work: Path, name: str, workers: int) -> tuple[float, list[float]]:
    out = work / name
    command = [sys.executable, "-m", "limbeck", "distill", "--images", images, "--teacher", "test_resnet"]
    command += [
        "--teacher-weights",
        str(work / "teacher.safetensors"),
        "--no-check-teacher",
        "--student",
        "test_resnet",
    ]
    command += ["--student-size", "32", "--teacher-size", "32", "--out", str(out), "--steps", str(STEPS)]
    command += ["--batch", str(BATCH), "--workers", str(workers), "--views", "2", "--track", "none"]
    command += ["--cache", str(work / "cache"), "--log-every", "10"]
    return peak(command, str(out / "config.json"))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--photos", help="50,000 photos; drawn where none are given")
    options.add_argument("--workers", type=int, default=2)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as root:
        work = Path(root)
        import timm
        from safetensors.torch import save_file

        save_file(timm.create_model("test_resnet").state_dict(), work / "teacher.safetensors")
        photos = chosen.photos or str(work / "photos")
        if not chosen.photos:
            draw(work / "photos", 50_000)
        from limbeck.images.imageset import ImageSet

        every = ImageSet.open([photos], cache=work / "cache")
        few = work / "few.arrow"
        every.take(np.arange(5_000)).save(few)
        found = {}
        for count, images in ((5_000, str(few)), (50_000, photos)):
            main_mb, worker_mb = measure(images, work, str(count), chosen.workers)
            found[count] = main_mb + sum(worker_mb[: chosen.workers])
            workers = ", ".join(f"{value:.0f}" for value in worker_mb)
            print(f"{count:>6,} images: main {main_mb:.0f} MB, other processes {workers} MB (PSS)")
        growth = found[50_000] - found[5_000]
        print(
            f"growth from 5,000 to 50,000 images: {growth:+.0f} MB (goal <= 30: {'met' if growth <= 30 else 'missed'})"
        )


if __name__ == "__main__":
    main()
