"""What limbeck evaluate keeps of a detector's answers."""

import pickle
import tracemalloc

import pytest
import torch

from limbeck.commands.evaluate_detector import Measured
from limbeck.records import Detections, Target

_IMAGES, _CLASSES, _OBJECTS = 200, 80, 20


@pytest.mark.parametrize("most", [100, 200])  # COCO's detections of an image, and SSD's
def test_an_image_takes_less_than_10_kb_in_all_that_is_measured(most: int) -> None:
    measured = Measured([f"class {number}" for number in range(_CLASSES)])
    generator = torch.Generator().manual_seed(0)

    def add(image: int) -> None:
        boxes = torch.rand(most, 4, generator=generator)
        boxes[:, 2:] += boxes[:, :2]
        labels = torch.randint(_CLASSES, (most,), generator=generator)
        found = Detections(boxes, torch.rand(most, generator=generator), labels)
        measured.add(image, found, Target(boxes[:_OBJECTS], labels[:_OBJECTS]))

    add(-1)  # imports what is imported late
    tracemalloc.start()  # sees numpy's memory, not torch's
    try:
        for image in range(_IMAGES):
            add(image)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held / _IMAGES < 10_000
    assert len(pickle.dumps(measured)) / _IMAGES < 10_000
