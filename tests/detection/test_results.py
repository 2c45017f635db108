"""COCO's result form: what is written must give pycocotools the numbers that the metric gives."""

import json
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from limbeck.detection.coco_metric import CocoMetric
from limbeck.detection.results import category_ids, results_json, write_results
from tests.detection.coco_sets import coco_set, records, with_masks

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools


@pytest.mark.parametrize("masks", [False, True])
def test_a_written_file_gives_the_same_numbers(tmp_path: Path, masks: bool) -> None:
    content, results = with_masks(5) if masks else coco_set(6)
    ids = [7, 3, 90, 15, 16]  # the set's own
    metric = CocoMetric([str(number) for number in ids], masks)
    images = records(content, results)
    for image, (found, truth) in images.items():
        metric.add(image, found, truth)
    rows = (row for image, (found, _) in images.items() for row in results_json(image, found, ids))
    file = tmp_path / "results.json"
    write_results(file, rows)
    written = json.loads(file.read_text())
    assert len(written) == len(results)
    assert len(file.read_text().splitlines()) == len(results) + 2
    for row in written if masks else ():
        del row["bbox"]  # pycocotools would take its area for the mask's
    for part, name in (("annotations", "category_id"), ("categories", "id")):
        for each in content[part]:
            each[name] = ids[each[name]]
    with redirect_stdout(StringIO()):
        told: Any = COCO()
        told.dataset = content
        told.createIndex()
        judge = COCOeval(told, told.loadRes(written), "segm" if masks else "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    assert list(metric.numbers().values()) == pytest.approx(judge.stats.tolist(), rel=0, abs=1e-9)


def test_no_two_classes_share_a_number() -> None:
    assert category_ids((1, 2, -1), (0, 1, 2)) == [1, 2, 3]  # the set lacks the third, whose number it gives another
    assert category_ids((1, 2, -1), (0, 1, 9)) == [1, 2, 9]
    assert category_ids((-1, 4, -1), (-1, 0, 1)) == [5, 4, 1]
    assert category_ids((-1, 0, -1)) == [1, 0, 2]
    assert category_ids(()) == []


def test_no_rows_are_a_list_too(tmp_path: Path) -> None:
    write_results(tmp_path / "none.json", [])
    assert json.loads((tmp_path / "none.json").read_text()) == []


def test_a_file_that_fails_half_way_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_results(tmp_path / "broken.json", iter([{"score": 0.5}, {"score": float("nan")}]))
    assert not list(tmp_path.iterdir())
