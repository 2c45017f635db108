"""One training step of SSD300, SSDLite320 and GFL: limbeck against torchvision's own and mmdetection's own.

    bash ../shared/tools/mmdet_env.sh /tmp/mmdet           # an environment for mmdetection, some minutes
    python bench/detector_step.py --mmdet /tmp/mmdet/bin/python

Each contender is a process of its own, on one thread of one core, with the same photos and boxes (drawn), from uint8
images to changed weights. They step in turn, so that what else runs on the machine meets all of them; the ratios are
those of the medians, of processor seconds (in brackets: of the seconds that passed). `limbeck` is as `limbeck train`
has it; `equal` has the others' memory layout and precision. Memory is the peak of the process above what it had
with its libraries read. SSDLite stands on the same network in all columns: MobileNetV2 as mmdetection has it, and
MobileNetV3, which mmdetection's SSDLite does not know, for torchvision. torchvision takes pixels as floats, and has no
GFL. `ld_r18` learns from a ResNet-101 as well; its teacher's forward pass is timed by itself, too; `ld_r18_vlr` learns
the edges around boxes and the classes besides.
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
OBJECTS = 7
# side of the images, images of a step, and how much faster than the faster of the others the step is to be
MODELS = {
    "ssd300": (300, 8, 1.2),
    "ssdlite_mobilenetv2": (320, 8, 1.2),
    "ssdlite_mobilenetv3": (320, 8, 1.2),
    "gfl_r18@320": (320, 4, 1.3),
    "gfl_r18@512": (512, 4, 1.3),
    "ld_r18@320": (320, 4, 1.3),
    "ld_r18_vlr@800": (800, 3, 1.3),
}
UNKNOWN_TO_MMDET = ("ssdlite_mobilenetv3", "ld_r18_vlr@800")


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


def drawn(side: int, batch: int, objects: int, file: Path) -> None:
    """Noise, and boxes whose sides are lognormal."""
    rng = np.random.default_rng(0)
    extent = np.exp(rng.normal(4, 0.7, (batch, objects, 2))).clip(8, 0.8 * side)
    corner = rng.uniform(0, 1, extent.shape) * (side - extent)
    boxes = np.concatenate([corner, corner + extent], -1).astype(np.float32)
    images = rng.integers(0, 256, (batch, side, side, 3), dtype=np.uint8).transpose(0, 3, 1, 2)
    np.savez(file, images=images, boxes=boxes, labels=rng.integers(80, size=(batch, objects)))


def contenders(model: str, photos: str, core: str, mmdet: str, variants: list[str]) -> list[Contender]:
    found = []
    for variant in variants:
        name = "limbeck" if variant == "shipped" else variant
        found.append(Contender(name, sys.executable, "limbeck_step.py", [model, photos, variant, core]))
    if model.startswith("ssd"):
        found.append(Contender("torchvision", sys.executable, "torchvision_step.py", [model, photos, "", core]))
    if mmdet and model not in UNKNOWN_TO_MMDET:
        found.append(Contender("mmdetection", mmdet, "mmdet_step.py", [model, photos, "", core]))
    return found


def compare(model: str, rounds: int, core: str, mmdet: str, variants: list[str], objects: int) -> None:
    side, batch, goal = MODELS[model]
    goals = {"limbeck": goal, "equal": 1.0}
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(folder) / "photos.npz"
        drawn(side, batch, objects, photos)
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
    print(f"{model}, batch {batch}, {objects} boxes an image, {rounds} rounds, load {min(load):.1f} to {max(load):.1f}")
    others = [each for each in every if each.name in ("torchvision", "mmdetection")]
    for each in every:
        told = f"  {each.name:12} {each.median('worked'):6.2f} s of processor, {each.median('passed'):6.2f} s passed, "
        told += f"peak {max(taken['memory'] for taken in each.taken):6.0f} MB, torch {each.torch}"
        if each not in others:
            told += beside(each, others, goals)
        print(told, flush=True)


def beside(each: Contender, others: list[Contender], goals: dict[str, float]) -> str:
    """The faster of the others, in its terms, and the shares of its step."""
    worked = each.median("worked")
    told = f"; matching and loss {each.median('matching_and_loss') / worked:.1%} of it (goal < 10 %)"
    if "teacher" in each.taken[0]:
        told += f", the teacher {each.median('teacher') / worked:.1%}"
    if not others:
        return told
    ratio, passed = (min(o.median(w) for o in others) / each.median(w) for w in ("worked", "passed"))
    goal = f", goal {goals[each.name]} x" if each.name in goals else ""
    return f"; {ratio:.2f} x the faster of the others ({passed:.2f} x){goal}{told}"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--mmdet", default="", help="the python of an environment with mmdetection")
    options.add_argument("--models", nargs="+", default=list(MODELS), choices=MODELS)
    options.add_argument("--variants", nargs="+", default=["shipped", "equal"])
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--core", default="0")
    options.add_argument("--objects", type=int, default=OBJECTS, help="boxes an image")
    chosen = options.parse_args()
    for model in chosen.models:
        compare(model, chosen.rounds, chosen.core, chosen.mmdet, chosen.variants, chosen.objects)


if __name__ == "__main__":
    main()
