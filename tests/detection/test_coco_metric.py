"""COCO's numbers against pycocotools, given the same truths and answers in COCO's own form."""

import copy
import json
import pickle
import subprocess
import sys
import tracemalloc
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from limbeck.detection.coco_metric import CocoMetric
from limbeck.detection.dataset import DetectionSet
from limbeck.detection.masks import Masks, Outlines, Size
from limbeck.detection.rle import mask_areas, packed_all, unpacked
from limbeck.errors import LimbeckError
from limbeck.records import Detections, Target
from tests.detection.coco_sets import HEIGHT, WIDTH, coco_set, outlines, records, with_masks

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools

FIVE = [f"class {number}" for number in range(5)]
NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")


def judged(content: dict[str, Any], results: list[dict[str, Any]], kind: str = "bbox") -> Any:
    """pycocotools' own evaluation of a file's content."""
    with redirect_stdout(StringIO()):
        truth = COCO()
        truth.dataset = copy.deepcopy(content)
        truth.createIndex()
        rows = copy.deepcopy(results)
        if kind == "segm":
            rows = [{name: each[name] for name in each if name != "bbox"} for each in rows]
        judge = COCOeval(truth, truth.loadRes(rows), kind)
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return judge


def metric_of(content: dict[str, Any], results: list[dict[str, Any]], masks: bool = False, seed: int = 0) -> CocoMetric:
    """The images come in any order."""
    metric = CocoMetric([each["name"] for each in content["categories"]], masks)
    rows = list(records(content, results).items())
    for place in np.random.default_rng(seed).permutation(len(rows)):
        image, (found, truth) = rows[place]
        metric.add(image, found, truth)
    return metric


def assert_equal(metric: CocoMetric, judge: Any) -> None:
    numbers = metric.numbers()
    assert tuple(numbers) == NAMES
    assert list(numbers.values()) == pytest.approx(judge.stats.tolist(), rel=0, abs=1e-9)
    precision, recall = judge.eval["precision"], judge.eval["recall"]
    for place, row in enumerate(metric.per_class()):
        own, reached = precision[:, :, place, 0, 2], recall[:, place, 0, 2]
        want = [own.mean(), own[0].mean(), own[5].mean(), reached.mean()]
        assert [row.ap, row.ap50, row.ap75, row.ar] == pytest.approx(want, rel=0, abs=1e-9)
    with_truth = [place for place in range(len(metric.classes)) if precision[0, 0, place, 0, 2] > -1]
    for overlap, at in ((0.5, 0), (0.75, 5)):
        curves = metric.curves(overlap)
        assert [curve.name for curve in curves] == [metric.classes[place] for place in with_truth]
        for place, curve in zip(with_truth, curves, strict=True):
            np.testing.assert_allclose(curve.precision, precision[at, :, place, 0, 2], rtol=0, atol=1e-9)
            np.testing.assert_allclose(curve.score, judge.eval["scores"][at, :, place, 0, 2], rtol=0, atol=1e-9)


@pytest.fixture(params=["hotcoco", "pycocotools"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where hotcoco cannot be imported, pycocotools must give the same."""
    if request.param == "pycocotools":
        monkeypatch.setitem(sys.modules, "hotcoco", None)
    return str(request.param)


@pytest.mark.parametrize("seed", range(6))
def test_boxes_as_pycocotools(library: str, seed: int) -> None:
    content, results = coco_set(seed)
    judge = judged(content, results)
    assert 0.05 < judge.stats[0] < 0.95
    assert_equal(metric_of(content, results, seed=seed), judge)


@pytest.mark.parametrize("seed", range(3))
def test_masks_as_pycocotools(library: str, seed: int) -> None:
    content, results = with_masks(seed)
    judge = judged(content, results, "segm")
    assert 0.02 < judge.stats[0] < 0.95
    assert_equal(metric_of(content, results, masks=True, seed=seed), judge)


def test_the_sets_hold_what_is_awkward() -> None:
    content, results = coco_set(0)
    images = [each["id"] for each in content["images"]]
    told = {each["image_id"] for each in content["annotations"]}
    found = [each["image_id"] for each in results]
    assert max(images) > 2 * len(images)
    assert max(map(found.count, images)) > 200
    assert set(images) - told - set(found)
    assert set(found) - told
    assert told - set(found)
    assert any(each["iscrowd"] for each in content["annotations"])
    assert {each["area"] for each in content["annotations"]} >= {0.0, 1024.0, 9216.0}
    assert len({each["score"] for each in results}) <= 20


def test_masks_may_be_tensors() -> None:
    content, results = with_masks(1)
    metric, other = CocoMetric(FIVE, masks=True), CocoMetric(FIVE, masks=True)
    for image, (found, truth) in records(content, results).items():
        metric.add(image, found, truth)
        dense = [unpacked(packed_all(each.masks)) for each in (found, truth)]
        drawn = Detections(found.boxes, found.scores, found.labels, torch.from_numpy(dense[0]))
        other.add(image, drawn, Target(truth.boxes, truth.labels, truth.crowd, truth.area, dense[1]))
    assert metric.numbers() == other.numbers()


def test_areas_that_are_not_told_come_from_the_mask_then_the_box() -> None:
    content, results = with_masks(2)
    boxes_only, results_only = copy.deepcopy((content, results))
    for each, plain in zip(content["annotations"], boxes_only["annotations"], strict=True):
        each["area"] = float(mask_areas([*outlines([each["segmentation"]])])[0])
        plain["area"] = plain["bbox"][2] * plain["bbox"][3]
        del plain["segmentation"]
    for told, rows, kind in (
        (content, results, "segm"),
        (content, results, "bbox"),
        (boxes_only, results_only, "bbox"),
    ):
        metric = CocoMetric(FIVE, masks=kind == "segm")
        for place, (image, (found, truth)) in enumerate(records(told, rows).items()):
            area = None if place % 2 else truth.area.where(torch.arange(len(truth.labels)) % 2 == 0, torch.nan)  # type: ignore[union-attr]
            silent = Target(truth.boxes, truth.labels, truth.crowd, area, truth.masks)
            metric.add(image, found, silent)
        assert_equal(metric, judged(told, rows, kind))


def test_parts_of_several_processes_make_the_whole() -> None:
    for masks, (content, results) in ((False, coco_set(3)), (True, with_masks(3))):
        rows = list(records(content, results).items())
        parts = [CocoMetric(FIVE, masks) for _ in range(3)]
        for place, (image, (found, truth)) in enumerate([*rows, *rows[:4]]):  # a sampler that fills up the last batch
            parts[place % 3].add(image, found, truth)
        parts[0].numbers()
        whole = parts[2]
        for part in parts[:2]:
            whole.merge(pickle.loads(pickle.dumps(part)))
        assert len(whole) == len(rows)
        assert whole.numbers() == metric_of(content, results, masks).numbers()
        assert whole.per_class() == metric_of(content, results, masks).per_class()


def test_names_may_stand_for_ids() -> None:
    content, results = coco_set(4)
    metric = CocoMetric(FIVE)
    for image, (found, truth) in records(content, results).items():
        metric.add(f"{image:08d}.jpg", found, truth)
    assert_equal(metric, judged(content, results))


def test_sizes() -> None:
    content, results = coco_set(5)
    metric = metric_of(content, results)
    judge = judged(content, results)
    areas = np.array([each["area"] for each in content["annotations"] if not each["iscrowd"]])
    rows = metric.by_size()
    assert [row.name for row in rows] == ["all", "small", "medium", "large"]
    assert [row.truth for row in rows] == [
        len(areas), (areas <= 1024).sum(), ((areas >= 1024) & (areas <= 9216)).sum(), (areas >= 9216).sum()
    ]  # fmt: skip
    assert [row.high for row in rows] == [np.inf, 32, 96, np.inf]
    for place, row in enumerate(rows):
        recall = judge.eval["recall"][0, :, place, 2]
        assert row.recall50 == pytest.approx(recall[recall > -1].mean(), abs=1e-9)
    assert [row.ar for row in rows[1:]] == pytest.approx(judge.stats[9:].tolist(), abs=1e-9)


def test_objects_and_detections_are_counted() -> None:
    content, results = coco_set(0)
    rows = metric_of(content, results).per_class()
    for number, row in enumerate(rows):
        own = [each for each in content["annotations"] if each["category_id"] == number]
        assert row.truth == sum(not each["iscrowd"] for each in own)
    assert (rows[0].ap, rows[0].truth) == (-1, 0)
    assert rows[0].found == sum(each["category_id"] == 0 for each in results)


@pytest.mark.parametrize("masks", [False, True])
def test_nothing_at_all(library: str, masks: bool) -> None:
    metric = CocoMetric(["a", "b"], masks)
    assert set(metric.numbers().values()) == {-1.0}
    nothing = torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)
    empty = Detections(nothing[0], torch.zeros(0), nothing[1])
    metric.add(1, empty, Target(*nothing))
    assert set(metric.numbers().values()) == {-1.0}
    assert metric.curves() == []
    one = Target(torch.tensor([[0.0, 0.0, 4.0, 4.0]]), torch.tensor([1]), masks=torch.ones(1, 8, 8))
    metric.add(2, empty, one)
    assert (metric.numbers()["AP"], metric.numbers()["AR100"], metric.numbers()["APl"]) == (0, 0, -1)


def test_answers_that_are_not_finite_are_none() -> None:
    box = torch.tensor([[0.0, 0.0, 8.0, 8.0]]).repeat(3, 1)
    box[0, 2] = torch.nan
    found = Detections(box, torch.tensor([0.9, torch.nan, 0.5]), torch.zeros(3, dtype=torch.int64))
    metric = CocoMetric(["a"])
    metric.add(0, found, Target(box[2:], torch.tensor([0])))
    assert metric.numbers()["AP"] == pytest.approx(1)
    assert metric.per_class()[0].found == 1


def test_without_either_library(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("hotcoco", "pycocotools", "pycocotools.coco"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(LimbeckError, match="pip install hotcoco"):
        CocoMetric(["a"]).numbers()


def test_a_data_set_s_masks_are_taken_as_they_are() -> None:
    content, results = with_masks(4)
    metric = CocoMetric(FIVE, masks=True)
    size = Size(HEIGHT, WIDTH)
    for place, (image, (found, truth)) in enumerate(records(content, results).items()):
        own = [as_text(each["segmentation"]) for each in content["annotations"] if each["image_id"] == image]
        kept = Outlines(own)
        masks = Masks(tuple(kept[row] for row in range(len(own))), size)
        masks = masks.flipped().flipped() if place % 3 == 0 else masks
        metric.add(image, found, Target(truth.boxes, truth.labels, truth.crowd, truth.area, masks))
    assert_equal(metric, judged(content, results, "segm"))


def as_text(outline: Any) -> Any:
    if isinstance(outline, dict) and isinstance(outline["counts"], bytes):
        return outline | {"counts": outline["counts"].decode()}
    return outline


@pytest.mark.parametrize("masks", [False, True])
def test_a_set_that_is_read_from_disk_keeps_areas_and_crowds(tmp_path: Path, masks: bool) -> None:
    """The numbers are those that pycocotools gives for the file itself, with areas that are not the boxes' own."""
    content, results = with_masks(0) if masks else coco_set(0)
    for each in content["images"]:
        each["file_name"] = f"{each['id']}.png"
        Image.new("L", (WIDTH, HEIGHT), each["id"] % 251).save(tmp_path / each["file_name"])
    for place, each in enumerate(content["annotations"]):
        each["bbox"][2] = max(each["bbox"][2], 1)  # one without extent would be left out
        each["area"] += place % 3 * 0.37
        if masks:
            each["segmentation"] = as_text(each["segmentation"])
    (tmp_path / "labels.json").write_text(json.dumps(content))
    photos = DetectionSet.open(str(tmp_path), masks=masks, workers=0, shown=False)
    answers = records(content, results)
    metric = CocoMetric(photos.classes, masks)
    for place, number in enumerate(photos.numbers):
        metric.add(number, answers[int(number)][0], photos.target(place))
    assert len(metric) == len(content["images"])
    assert_equal(metric, judged(content, results, "segm" if masks else "bbox"))


def test_hotcoco_need_not_be_there() -> None:
    code = "import sys; sys.modules['hotcoco'] = None; from limbeck.detection.coco_metric import CocoMetric"
    code += "; print(CocoMetric(['a']).numbers()['AP'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["-1.0"]


def test_an_image_takes_less_than_10_kb() -> None:
    """With 100 detections, and with SSD's 200."""
    for most in (100, 200):
        metric = CocoMetric([f"class {number}" for number in range(80)])
        generator = torch.Generator().manual_seed(0)
        tracemalloc.start()
        try:
            for image in range(300):
                boxes = torch.rand(most, 4, generator=generator)
                labels = torch.randint(80, (most,), generator=generator)
                found = Detections(boxes, torch.rand(most, generator=generator), labels)
                metric.add(image, found, Target(boxes[:20], labels[:20]))
            del boxes, labels, found
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert held / 300 < 10_000
        assert len(pickle.dumps(metric)) / 300 < 10_000
        metric.numbers()
        assert len(pickle.dumps(metric)) / 300 < 10_000
        # tracemalloc sees numpy's memory, but not torch's: nothing of torch may be left
        assert not any(isinstance(part, torch.Tensor) for kept in metric._images.values() for part in kept)
        assert all(kept.found.base is None or kept.found.base.size <= 6 * most for kept in metric._images.values())
