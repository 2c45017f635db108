"""What a detector found on a photo, as people read it."""

import sys
from types import SimpleNamespace

import pytest
import torch

from limbeck.checkpoints.loaded_detector import Seen
from limbeck.errors import OptionError

SEEN = Seen(
    "photo.jpg",
    torch.tensor([[0.0, 0.0, 4.0, 4.0]] * 4),
    torch.tensor([0.9, 0.8, 0.5, 0.2]),
    torch.tensor([1, 0, 0, 0]),
    ("RBC", "WBC"),
)


def test_it_is_shown_in_short() -> None:
    assert repr(SEEN) == "<Seen photo.jpg: 4 boxes (3 RBC, 1 WBC)>"
    assert repr(SEEN.above(0.85)) == "<Seen photo.jpg: 1 box (1 WBC)>"
    assert str(SEEN.above(1.0)) == "<Seen photo.jpg: 0 boxes>"
    assert repr([SEEN.above(1.0)]) == "[<Seen photo.jpg: 0 boxes>]"


def test_boxes_of_a_score() -> None:
    some = SEEN.above(0.5)
    assert (len(some), some.counts) == (3, {"RBC": 2, "WBC": 1})
    assert (some.names, some.boxes.shape) == (("WBC", "RBC", "RBC"), (3, 4))
    assert len(SEEN) == 4, "the rest is still there"


def test_supervision_is_filled_or_told_how_to_get(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(OptionError) as told:
        SEEN.to_supervision()
    assert told.value.hint == "pip install supervision"
    monkeypatch.setitem(sys.modules, "supervision", SimpleNamespace(Detections=dict))
    filled = SEEN.to_supervision()
    assert filled["xyxy"].shape == (4, 4)
    assert filled["class_id"].tolist() == [1, 0, 0, 0]
    assert filled["data"] == {"class_name": ["WBC", "RBC", "RBC", "RBC"]}
