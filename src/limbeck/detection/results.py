"""Detections in COCO's result form, which every evaluation tool of the field reads."""

from collections.abc import Iterable, Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any, BinaryIO

from limbeck.detection.rle import packed_all
from limbeck.files import JsonList, write_atomically
from limbeck.records import Detections


def category_ids(*wishes: Sequence[int]) -> list[int]:
    """A number of its own for each class: the first of its `wishes` that is free (-1 is none), else one above all.

    >>> category_ids((1, 2, -1, -1), (0, 1, 2, 5)), category_ids((7, -1))
    ([1, 2, 6, 5], [7, 8])
    """
    free = count(max([-1, *chain(*wishes)]) + 1)
    ids = [-1] * len(wishes[0])
    for wish in wishes:
        for place, number in enumerate(wish):
            if ids[place] < 0 and number not in ids:
                ids[place] = number
    return [next(free) if number < 0 else number for number in ids]


def results_json(image: int | str, found: Detections, ids: Sequence[int]) -> list[dict[str, Any]]:
    """The rows of one image; `ids` are the set's own numbers of the classes, in the order of the labels.

    >>> import torch
    >>> found = Detections(torch.tensor([[1.0, 2.0, 4.0, 6.0]]), torch.tensor([0.5]), torch.tensor([1]))
    >>> results_json(7, found, [3, 9])
    [{'image_id': 7, 'category_id': 9, 'bbox': [1.0, 2.0, 3.0, 4.0], 'score': 0.5}]
    """
    corners = found.boxes.detach().cpu().double()
    boxes = corners.clone()
    boxes[:, 2:] -= corners[:, :2]
    columns = zip(found.labels.tolist(), boxes.tolist(), found.scores.tolist(), strict=True)
    rows: list[dict[str, Any]] = [
        {"image_id": image, "category_id": ids[label], "bbox": box, "score": score} for label, box, score in columns
    ]
    if found.masks is not None:
        for row, pack in zip(rows, packed_all(found.masks), strict=True):
            row["segmentation"] = {"size": list(pack["size"]), "counts": pack["counts"].decode()}
    return rows


def write_results(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """One json list, a row a line; rows may come as they are found: none is held.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "results.json"
    >>> write_results(file, iter([{"image_id": 1, "score": 0.5}, {"image_id": 2, "score": 0.25}]))
    >>> file.read_text().count("image_id")
    2
    """

    def stream(file: BinaryIO) -> None:
        told = JsonList(lambda text: file.write(text.encode()))
        told.add(rows)
        told.end()

    write_atomically(path, stream)
