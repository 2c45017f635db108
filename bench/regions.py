"""Where a teacher is asked, as a picture: python bench/regions.py FILE.png [--seed 3]"""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
from torch import Tensor, nn

from limbeck.detection.batch import Targets, stacked
from limbeck.detection.dense import Raw
from limbeck.detection.gfl import BINS, GFL, STRIDES, grid
from limbeck.ld.regions import surroundings
from limbeck.records import Frame, Target
from limbeck.scenes.scene import draw_scene

SIDE = 320


def places() -> Raw:
    sizes = [(-(-SIDE // stride),) * 2 for stride in STRIDES]
    points = [grid((high, wide), stride, torch.device("cpu")) for (high, wide), stride in zip(sizes, STRIDES)]
    logits = [torch.zeros(1, len(each), 2) for each in points]
    return Raw(logits, [torch.zeros(1, len(each), 4, BINS) for each in points], points)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("file", type=Path)
    options.add_argument("--seed", type=int, default=3)
    asked = options.parse_args()
    scene = draw_scene(asked.seed, size=SIDE, objects=3)
    boxes = torch.tensor([each.box for each in scene.objects], dtype=torch.float32)
    raw, frames = places(), stacked([Frame(SIDE, SIDE, SIDE, SIDE)])
    targets = Targets.of([Target(boxes, torch.zeros(len(boxes), dtype=torch.int64))])
    model = GFL(nn.Identity(), [8, 8, 8], 2)
    matched = model.assign(raw, targets, frames)
    regions = {
        "main: places that own a box": (matched.owner >= 0).float(),
        "around, iof: the authors' code": around(model, raw, targets, matched, "iof"),
        "around, diou: the paper": around(model, raw, targets, matched, "diou"),
    }
    figure, panels = plt.subplots(1, 3, figsize=(12.6, 4.5), layout="constrained")
    for axes, (title, weight) in zip(panels, regions.items()):
        axes.imshow(scene.image, alpha=0.45)
        for left, top, right, bottom in boxes.tolist():
            axes.add_patch(plt.Rectangle((left, top), right - left, bottom - top, fill=False, lw=1.5, color="black"))
        shown = show(axes, raw, weight[0])
        axes.set(title=f"{title} ({int((weight > 0).sum())})", xlim=(0, SIDE), ylim=(SIDE, 0), xticks=[], yticks=[])
    figure.colorbar(shown, ax=panels, label="weight", shrink=0.85)
    handles = [plt.Line2D([], [], marker="o", ls="", ms=size(s) ** 0.5, color="grey", label=f"{s}") for s in STRIDES]
    panels[0].legend(
        handles=handles, title="stride", loc="upper center", bbox_to_anchor=(0.5, -0.01), ncols=5, frameon=False
    )
    figure.savefig(asked.file, dpi=80)


def around(model: GFL, raw: Raw, targets: Targets, matched: object, form: str) -> Tensor:
    return surroundings(model.priors(raw), targets.boxes, targets.there, matched, form)  # type: ignore[arg-type]


def show(axes: object, raw: Raw, weight: Tensor) -> object:
    """Each place with a weight as a dot, larger on coarser maps."""
    every = torch.cat(raw.points)
    sizes = torch.cat([torch.full((len(points),), size(stride)) for points, stride in zip(raw.points, STRIDES)])
    some = weight > 0
    x, y = every[some].T.tolist()
    return axes.scatter(
        x, y, s=sizes[some], c=weight[some], vmin=0, vmax=0.8, cmap="viridis", edgecolors="white", lw=0.3
    )  # type: ignore[attr-defined]


def size(stride: int) -> float:
    return 3.0 * stride**0.7


if __name__ == "__main__":
    main()
