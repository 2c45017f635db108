"""One training step of SSD300 and SSDLite320, batch 8: limbeck against torchvision's own and mmdetection's own.

    bash ../shared/tools/mmdet_env.sh /tmp/mmdet           # an environment for mmdetection, some minutes
    python bench/detector_step.py --mmdet /tmp/mmdet/bin/python

Each contender is a process of its own, on one thread of one core, with the same photos and boxes (drawn), from uint8
images to changed weights. They step in turn, so that what else runs on the machine meets all of them; the ratios are
those of the medians, of processor seconds (in brackets: of the seconds that passed). `limbeck` is as `limbeck train`
has it; `equal` has the others' memory layout and precision. Memory is the peak of the process above what it had
with its libraries read. SSDLite stands on the same network in all columns: MobileNetV2 as mmdetection has it, and
MobileNetV3, which mmdetection's SSDLite does not know, for torchvision. torchvision takes pixels as floats.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent / "steps"
BATCH, OBJECTS = 8, 7
SIDES = {"ssd300": 300, "ssdlite_mobilenetv2": 320, "ssdlite_mobilenetv3": 320}
GOALS = {"limbeck": 1.2, "equal": 1.0}


class Contender:
    """A process that takes a step when it is told to."""

    def __init__(self, name: str, python: str, script: str, arguments: list[str]) -> None:
        self.name = name
        self.taken: list[dict[str, float]] = []
        quiet = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
        command = [python, str(HERE / script), *arguments]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=quiet
        )

    def begin(self) -> None:
        """Wait until its libraries are read and its first step is done."""
        self.torch = str(self._answer()["torch"])

    def step(self) -> dict[str, float]:
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.taken.append(self._answer())
        return self.taken[-1]

    def close(self) -> None:
        self.process.communicate()

    def median(self, what: str) -> float:
        return statistics.median(each[what] for each in self.taken)

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout
        assert self.process.stderr
        for line in self.process.stdout:  # libraries print, too
            if line.startswith("{"):
                told: dict[str, Any] = json.loads(line)
                return told
        sys.exit(f"{self.name} failed:\n{self.process.stderr.read()[-3000:]}")


def drawn(side: int, file: Path) -> None:
    """Noise, and boxes whose sides are lognormal."""
    rng = np.random.default_rng(0)
    extent = np.exp(rng.normal(4, 0.7, (BATCH, OBJECTS, 2))).clip(8, 0.8 * side)
    corner = rng.uniform(0, 1, extent.shape) * (side - extent)
    boxes = np.concatenate([corner, corner + extent], -1).astype(np.float32)
    images = rng.integers(0, 256, (BATCH, side, side, 3), dtype=np.uint8).transpose(0, 3, 1, 2)
    np.savez(file, images=images, boxes=boxes, labels=rng.integers(80, size=(BATCH, OBJECTS)))


def contenders(model: str, photos: str, core: str, mmdet: str, variants: list[str]) -> list[Contender]:
    found = []
    for variant in variants:
        name = "limbeck" if variant == "shipped" else variant
        found.append(Contender(name, sys.executable, "limbeck_step.py", [model, photos, variant, core]))
    found.append(Contender("torchvision", sys.executable, "torchvision_step.py", [model, photos, "", core]))
    if mmdet and model != "ssdlite_mobilenetv3":
        found.append(Contender("mmdetection", mmdet, "mmdet_step.py", [model, photos, "", core]))
    return found


def compare(model: str, rounds: int, core: str, mmdet: str, variants: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(folder) / "photos.npz"
        drawn(SIDES[model], photos)
        every = contenders(model, str(photos), core, mmdet, variants)
        for each in every:
            each.begin()
        load = []
        for _ in range(rounds):
            load.append(os.getloadavg()[0])
            taken = [f"{each.name} {each.step()['worked']:.2f} s" for each in every]
            print("  " + ", ".join(taken), flush=True)
        for each in every:
            each.close()
    print(f"{model}, batch {BATCH}, {rounds} rounds, load {min(load):.1f} to {max(load):.1f}")
    others = [each for each in every if each.name in ("torchvision", "mmdetection")]
    for each in every:
        told = f"  {each.name:12} {each.median('worked'):6.2f} s of processor, {each.median('passed'):6.2f} s passed, "
        told += f"peak {max(taken['memory'] for taken in each.taken):6.0f} MB, torch {each.torch}"
        if each not in others:
            ratio, passed = (min(o.median(w) for o in others) / each.median(w) for w in ("worked", "passed"))
            goal = f", goal {GOALS[each.name]} x" if each.name in GOALS else ""
            share = each.median("matching_and_loss") / each.median("worked")
            told += f"; {ratio:.2f} x the faster of the others ({passed:.2f} x){goal}; "
            told += f"matching and loss {share:.1%} of it (goal < 10 %)"
        print(told, flush=True)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--mmdet", default="", help="the python of an environment with mmdetection")
    options.add_argument("--models", nargs="+", default=list(SIDES), choices=SIDES)
    options.add_argument("--variants", nargs="+", default=["shipped", "equal"])
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--core", default="0")
    chosen = options.parse_args()
    for model in chosen.models:
        compare(model, chosen.rounds, chosen.core, chosen.mmdet, chosen.variants)


if __name__ == "__main__":
    main()
