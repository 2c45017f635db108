"""VOC's average precision against a case computed by hand and against plain loops."""

import pickle
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from limbeck.datasets.recognise import recognise
from limbeck.datasets.tree import open_tree
from limbeck.detection.voc_metric import VocMetric
from limbeck.errors import OptionError
from limbeck.records import Detections, Target

Box = tuple[float, float, float, float]
Rows = list[tuple[Box, int, float]]  # box, class, score
Things = list[tuple[Box, int, bool]]  # box, class, difficult


def image_of(rows: Rows, things: Things) -> tuple[Detections, Target]:
    found = Detections(
        torch.tensor([row[0] for row in rows], dtype=torch.float32).reshape(-1, 4),
        torch.tensor([row[2] for row in rows]),
        torch.tensor([row[1] for row in rows], dtype=torch.int64),
    )
    truth = Target(
        torch.tensor([thing[0] for thing in things], dtype=torch.float32).reshape(-1, 4),
        torch.tensor([thing[1] for thing in things], dtype=torch.int64),
        torch.tensor([thing[2] for thing in things], dtype=torch.bool),
    )
    return found, truth


FIRST, SECOND, THIRD = (0.0, 0.0, 10.0, 10.0), (20.0, 0.0, 30.0, 10.0), (40.0, 0.0, 50.0, 10.0)
HALF: Box = (0.0, 0.0, 10.0, 5.0)  # overlaps the first by exactly 0.5
BY_HAND = [
    # right, a second one for the same object, one for a difficult object (twice), nothing there
    image_of(
        [(FIRST, 0, 0.9), (HALF, 0, 0.7), (SECOND, 0, 0.65), (SECOND, 0, 0.6), (THIRD, 0, 0.5)],
        [(FIRST, 0, False), (SECOND, 0, True)],
    ),
    # two objects, one found at exactly half an overlap, one missed; an object of another class in a detection's place
    image_of([(HALF, 0, 0.8), (THIRD, 0, 0.3)], [(FIRST, 0, False), (SECOND, 0, False), (THIRD, 1, False)]),
]
# by falling score: .9 right, .8 right, .7 wrong, .5 wrong, .3 wrong, of three objects
# recall 1/3 2/3 2/3 2/3 2/3; precision 1, 1, 2/3, 1/2, 2/5
AREA = 2 / 3
ELEVEN = 7 / 11  # recalls 0, .1 ... .6 are reached with precision 1


def metric_of(images: list[tuple[Detections, Target]], classes: int = 2, **options: Any) -> VocMetric:
    metric = VocMetric([f"class {number}" for number in range(classes)], **options)
    for key, (found, truth) in enumerate(images):
        metric.add(key, found, truth)
    return metric


@pytest.mark.parametrize(("points", "want"), [("area", AREA), ("11", ELEVEN)])
def test_a_case_by_hand(points: str, want: float) -> None:
    metric = metric_of(BY_HAND)
    row, other = metric.per_class(points)
    assert row.ap == pytest.approx(want, abs=1e-12)
    assert (row.truth, row.found) == (3, 7)
    assert row.recall.tolist() == pytest.approx([1 / 3] + [2 / 3] * 4)
    assert row.precision.tolist() == pytest.approx([1, 1, 2 / 3, 1 / 2, 2 / 5])
    assert row.score.tolist() == pytest.approx([0.9, 0.8, 0.7, 0.5, 0.3])
    assert (other.ap, other.truth, other.found) == (0, 1, 0)
    assert metric.ap(points) == pytest.approx(want / 2)


def overlap(one: NDArray[Any], other: NDArray[Any], more: float) -> float:
    left, top = max(one[0], other[0]), max(one[1], other[1])
    right, bottom = min(one[2], other[2]), min(one[3], other[3])
    if right - left + more <= 0 or bottom - top + more <= 0:
        return 0.0
    shared = (right - left + more) * (bottom - top + more)
    both = sum((each[2] - each[0] + more) * (each[3] - each[1] + more) for each in (one, other))
    return float(shared / (both - shared))


def looped(images: list[tuple[Detections, Target]], number: int, points: str, more: float) -> float:
    """One class, as the devkit goes about it: every detection of every image by score, one after another."""
    every = []
    left: dict[tuple[int, int], bool] = {}
    objects = 0
    for image, (found, truth) in enumerate(images):
        assert truth.crowd is not None
        objects += int(((truth.labels == number) & ~truth.crowd).sum())
        every += [(-float(found.scores[k]), image, k) for k in range(len(found)) if found.labels[k] == number]
    if not objects:
        return -1.0
    right, wrong, curve = 0, 0, []
    for _, image, k in sorted(every):
        found, truth = images[image]
        assert truth.crowd is not None
        best, meant = 0.0, -1
        for place in range(len(truth.labels)):
            if truth.labels[place] == number:
                share = overlap(found.boxes[k].double().numpy(), truth.boxes[place].double().numpy(), more)
                if share > best:
                    best, meant = share, place
        if best >= 0.5 and truth.crowd[meant]:
            continue
        if best >= 0.5 and not left.get((image, meant)):
            left[image, meant] = True
            right += 1
        else:
            wrong += 1
        curve.append((right / objects, right / (right + wrong)))
    if points == "11":
        return sum(max([p for r, p in curve if r >= level] or [0.0]) for level in np.arange(0, 1.05, 0.1)) / 11
    total, reached = 0.0, 0.0
    for place, (recall, _) in enumerate(curve):
        total += (recall - reached) * max(p for _, p in curve[place:])
        reached = recall
    return total


def random_images(seed: int, classes: int = 4) -> list[tuple[Detections, Target]]:
    """Whole pixels, scores of one decimal: equal overlaps and equal scores abound."""
    rng = np.random.default_rng(seed)
    images = []
    for place in range(30):
        true = rng.integers(0, 60, (0 if place % 6 == 1 else rng.integers(1, 7), 2))
        things: Things = []
        for x, y in true:
            width, height = rng.integers(4, 40, 2)
            box = float(x), float(y), float(x + width), float(y + height)
            things.append((box, int(rng.integers(1, classes)), bool(rng.random() < 0.2)))
        rows: Rows = []
        for _ in range(0 if place % 5 == 2 else int(rng.integers(1, 15))):
            if things and rng.random() < 0.7:
                near, label, _ = things[rng.integers(len(things))]
                left, top, right, bottom = (value + float(rng.integers(-3, 4)) for value in near)
            else:
                left, top = map(float, rng.integers(0, 60, 2))
                right, bottom, label = left + 12, top + 9, int(rng.integers(0, classes))
            rows.append(((left, top, max(right, left + 1), max(bottom, top + 1)), label, 0.0))
        scores = sorted((round(float(score), 1) for score in rng.random(len(rows))), reverse=True)
        images.append(image_of([(box, label, score) for (box, label, _), score in zip(rows, scores)], things))
    return images


@pytest.mark.parametrize("inclusive", [False, True])
@pytest.mark.parametrize("points", ["area", "11"])
@pytest.mark.parametrize("seed", range(4))
def test_as_plain_loops(seed: int, points: str, inclusive: bool) -> None:
    images = random_images(seed)
    rows = metric_of(images, 4, inclusive=inclusive).per_class(points)
    want = [looped(images, number, points, float(inclusive)) for number in range(4)]
    assert want[0] == -1
    assert 0.1 < max(want) < 1
    assert [row.ap for row in rows] == pytest.approx(want, abs=1e-12)


def test_files_read_as_voc_counts_pixels(tmp_path: Any) -> None:
    """Corners 1 and 10 are ten pixels: what the reader gives needs no further pixel."""
    (tmp_path / "a.xml").write_text(
        "<annotation><filename>a.jpg</filename><object><name>cat</name><bndbox>"
        "<xmin>1</xmin><ymin>1</ymin><xmax>10</xmax><ymax>10</ymax></bndbox></object></annotation>"
    )
    (labels,) = recognise(open_tree(str(tmp_path)), shown=False)
    box = labels.samples[0].things[0].box
    assert box is not None
    for half, ap in ((5.0, 1.0), (4.9, 0.0)):  # of ten pixels, exactly half and less
        metric = metric_of([image_of([((0.0, 0.0, 10.0, half), 0, 0.5)], [(box, 0, False)])])
        assert metric.per_class()[0].ap == ap


def test_more_than_a_hundred_of_a_class_count() -> None:
    noise = [((200.0 + k, 0.0, 210.0 + k, 10.0), 0, 0.9) for k in range(150)]
    metric = metric_of([image_of([*noise, (FIRST, 0, 0.1)], [(FIRST, 0, False)])])
    assert metric.per_class()[0].ap == pytest.approx(1 / 151)


def test_parts_of_several_processes_make_the_whole() -> None:
    images = random_images(9)
    parts = [VocMetric([f"class {number}" for number in range(4)]) for _ in range(3)]
    for place in [*range(len(images)), 0, 1]:
        parts[place % 3 if place > 1 else 2].add(place, *images[place])
    whole = parts[1]
    for part in (parts[2], parts[0]):
        whole.merge(pickle.loads(pickle.dumps(part)))
    assert len(whole) == len(images)
    for own, want in zip(whole.per_class(), metric_of(images, 4).per_class(), strict=True):
        assert own.ap == want.ap
        assert own.score.tolist() == want.score.tolist()


def test_nothing_at_all() -> None:
    metric = VocMetric(["a"])
    assert (metric.ap(), metric.per_class()[0].ap) == (-1, -1)
    metric.add(0, *image_of([], []))
    metric.add(1, *image_of([(FIRST, 0, 0.5)], []))
    assert metric.ap() == -1
    assert metric.per_class()[0].precision.tolist() == [0]
    metric.add(2, *image_of([], [(FIRST, 0, True)]))
    assert metric.ap() == -1
    metric.add(3, *image_of([], [(FIRST, 0, False)]))
    assert metric.ap() == 0


def test_points_that_voc_does_not_know() -> None:
    with pytest.raises(OptionError, match="area or 11"):
        VocMetric(["a"]).ap("101")
