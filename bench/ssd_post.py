"""From raw SSD300 outputs to final detections: limbeck against torchvision, the same raw outputs, one run.

    python bench/ssd_post.py --images 1000

Raw outputs are drawn: a background of seven logits over the classes, and on each image twelve objects whose priors see
them. Both keep scores above .02, suppress at .45 and keep 200; torchvision takes 400 candidates of each class, limbeck
the reference's 1,000 pairs of each level. Medians of alternating rounds, single thread and as many as there are cores.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.models.detection import ssd300_vgg16
from torchvision.models.detection.image_list import ImageList

from limbeck.detection.batch import stacked
from limbeck.detection.priors import priors
from limbeck.detection.ssd import Raw
from limbeck.detection.ssd_models import ssd300
from limbeck.layers.boxes import overlaps
from limbeck.records import Frame

CLASSES, BATCH, SIZES = 80, 8, (38, 19, 10, 5, 3, 1)


def drawn(images: int, every: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Logits with the background last, and deltas."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(images, len(every), CLASSES + 1, generator=generator)
    logits[..., -1] += 7
    for image in range(images):
        corner = torch.rand(12, 2, generator=generator) * 220
        boxes = torch.cat([corner, corner + 20 + torch.rand(12, 2, generator=generator) * 60], 1)
        best, owner = overlaps(boxes, every).max(0)
        seen = (best > 0.4).nonzero()[:, 0]
        classes = torch.randint(CLASSES, (12,), generator=generator)
        logits[image, seen, classes[owner[seen]]] += 12 * best[seen]
    return logits, torch.randn(images, len(every), 4, generator=generator) * 0.3


def seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--images", type=int, default=1000)
    options.add_argument("--rounds", type=int, default=5)
    chosen = options.parse_args()
    ours = ssd300(CLASSES)
    levels = priors(ours.levels, [(side, side) for side in SIZES], torch.device("cpu"))
    every, lengths = torch.cat(levels), [len(each) for each in levels]
    theirs = ssd300_vgg16(
        weights=None, weights_backbone=None, num_classes=CLASSES + 1, score_thresh=0.02, nms_thresh=0.45
    )
    anchors = theirs.anchor_generator(
        ImageList(torch.zeros(BATCH, 3, 300, 300), [(300, 300)] * BATCH), [torch.zeros(BATCH, 1, s, s) for s in SIZES]
    )
    logits, deltas = drawn(2 * BATCH, every, seed=0)
    frames = stacked([Frame(300, 300, 300, 300)] * BATCH)

    def limbeck(part: slice) -> object:
        return ours.boxes(raws[part.start], frames).detections()

    raws = {
        start: Raw(
            *([x[start : start + BATCH].contiguous() for x in every.split(lengths, 1)] for every in (logits, deltas)),
            levels,
        )
        for start in (0, BATCH)
    }
    first = torch.cat([logits[..., -1:], logits[..., :-1]], 2)  # torchvision's background is the first class

    def torchvision(part: slice) -> object:
        outputs = {"bbox_regression": deltas[part], "cls_logits": first[part]}
        return theirs.postprocess_detections(outputs, anchors, [(300, 300)] * BATCH)

    batches = [slice(start, start + BATCH) for start in (0, BATCH)]
    for threads in sorted({1, torch.get_num_threads()}):
        torch.set_num_threads(threads)
        times: dict[str, list[float]] = {"limbeck": [], "torchvision": []}
        for _ in range(chosen.rounds):
            for name, run in (("limbeck", limbeck), ("torchvision", torchvision)):
                repeats = max(1, chosen.images // (len(batches) * BATCH) // chosen.rounds)
                times[name].append(seconds(lambda run=run, n=repeats: [run(b) for _ in range(n) for b in batches]))
        ratio = statistics.median(times["torchvision"]) / statistics.median(times["limbeck"])
        per = {name: 1000 * statistics.median(t) / (repeats * len(batches) * BATCH) for name, t in times.items()}
        told = ", ".join(f"{name} {value:.2f} ms an image" for name, value in per.items())
        print(f"{threads} thread(s), {chosen.images:,} images: {told}; {ratio:.1f} x torchvision (goal 2 x)")


if __name__ == "__main__":
    main()
