"""What a file says of itself: odd values say nothing, and break nothing."""

from typing import Any

import pytest
import torch

from limbeck.checkpoints.mm_meta import Meta, read_meta
from limbeck.checkpoints.pickle_values import Thing

ODD = (1e999, -1e999, float("nan"), 16**5000, True, "1", None, torch.ones(2))


@pytest.mark.parametrize("state", ["model = dict(type='X')", ["a"], 3, None, torch.ones(2), {}, ()])
def test_objects_of_another_state_hold_no_config(state: Any) -> None:
    assert read_meta({"cfg": Thing("mmcv.Config", (), state)}).config == {}


@pytest.mark.parametrize("state", [({}, "a = 1"), {"text": "a = 1"}, ({"a": 1}, "b = 2")])
def test_objects_that_hold_one(state: Any) -> None:
    assert read_meta({"cfg": Thing("mmcv.Config", (), state)}).config == {"a": 1}


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: type(odd).__name__)
def test_sizes_that_no_image_has(odd: Any) -> None:
    for scale in ((odd, 300), (300, odd)):
        assert Meta(config={"test_pipeline": [{"type": "Resize", "scale": scale}]}).size is None
    assert read_meta({"cfg": "test_pipeline = [dict(type='Resize', scale=(1e999, 300))]"}).size is None
    long = f"test_pipeline = [dict(type='Resize', scale=(0x{'f' * 5000}, 300))]"
    assert read_meta({"cfg": long}).size is None


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: type(odd).__name__)
def test_pixels_that_are_no_numbers(odd: Any) -> None:
    for mean, deviation in (((odd, 1, 1), (1, 1, 1)), ((1, 1, 1), (1, odd, 1))):
        assert Meta(config={"img_norm_cfg": {"mean": mean, "std": deviation, "to_rgb": True}}).pixels is None


@pytest.mark.parametrize("deviation", [0, 0.0, -1, 1e-323])
def test_deviations_that_nothing_can_be_divided_by(deviation: float) -> None:
    config = {"img_norm_cfg": {"mean": [0, 0, 0], "std": [1, 1, deviation], "to_rgb": True}}
    assert Meta(config=config).pixels is None


def test_flags_that_are_none() -> None:
    config = {
        "img_norm_cfg": {"mean": [0, 0, 0], "std": [1, 1, 1], "to_rgb": torch.ones(2)},
        "test_pipeline": [{"type": "Resize", "scale": (640, 480), "keep_ratio": torch.ones(2)}],
    }
    assert Meta(config=config).pixels == ((0, 0, 0), (1, 1, 1), False)
    assert Meta(config=config).size == ((640, 480), False)
