"""Options from Python and from config.json, where no command line checks them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limbeck.errors import OptionError, RunError
from limbeck.runs.choices import from_json, known, to_json
from limbeck.ssld.options import OPTIONS, Distill


@pytest.mark.parametrize(
    ("name", "value", "expected", "hint"),
    [
        ("teacher_norm", "batchh", "frozen, batch", "teacher_norm='batch'"),
        ("device", "gpu", "auto, cpu, cuda, mps", "device='cpu'"),
        ("precision", "float16", "auto, float32, bfloat16", "precision='bfloat16'"),
        ("teacher_precision", 16, "auto, float32, bfloat16, float16", "teacher_precision='auto', the default"),
        ("crop_scale", (0.5,), "float and float", "crop_scale=(0.08, 1.0), the default"),
        ("crop_scale", 0.5, "float and float", "crop_scale=(0.08, 1.0), the default"),
        ("crop_ratio", [1.0, 1.5, 2.0], "float and float", "the default"),
        ("crop_ratio", ["1", "2"], "float and float", "the default"),
        ("teacher_mean", ["a", "b", "c"], "a list of float", "teacher_mean=(), the default"),
        ("track", 3, "a list of str", "track=('tensorboard',), the default"),
        ("images", None, "a list of str", "images=(), the default"),
        ("batch", True, "int", "batch=256, the default"),
        ("batch", 2.5, "int", "batch=256, the default"),
        ("lr", "0.1", "float", "lr=0.1, the default"),
        ("compile", 1, "bool", "compile=False, the default"),
        ("student", 5, "str", "student='', the default"),
    ],
)
def test_a_value_of_another_kind_is_told(name: str, value: Any, expected: str, hint: str) -> None:
    with pytest.raises(OptionError) as raised:
        known({name: value}, OPTIONS, source="config.json")
    assert raised.value.found.startswith(f"config.json: {name} is ")
    assert raised.value.expected == expected
    assert raised.value.hint.endswith(hint)


def test_values_that_mean_the_same_are_taken() -> None:
    given = {"images": Path("photos"), "out": Path("run"), "crop_scale": [0, 1], "lr": 1, "teacher_mean": np.zeros(3)}
    taken = known(given | {"device": "cuda", "track": ["none"], "resume": True}, OPTIONS, source="limbeck.distill")
    assert taken["images"] == ("photos",)
    assert taken["out"] == "run"
    assert taken["crop_scale"] == (0, 1)
    assert taken["teacher_mean"] == (0.0, 0.0, 0.0)


def test_config_tells_what_was_asked_and_what_ran(tmp_path: Path) -> None:
    asked = Distill(images=("photos",), student="test_resnet", views=4)
    ran = replace(asked, keep_top=100, student_size=160, precision="float32")
    file = tmp_path / "config.json"
    file.write_text(to_json(ran, asked))
    told = json.loads(file.read_text())
    assert (told["views"], told["keep_top"]) == (4, 0)
    assert told["resolved"] == {"keep_top": 100, "student_size": 160, "precision": "float32"}
    assert Distill(**from_json(file, OPTIONS)) == ran
    assert Distill(**from_json(file, OPTIONS, resolved=False)) == asked
    file.write_text(to_json(ran))
    assert Distill(**from_json(file, OPTIONS, resolved=False)) == Distill(**from_json(file, OPTIONS)) == ran


def test_what_is_resolved_is_checked_too(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text('{"resolved": {"precision": "int8"}}')
    with pytest.raises(OptionError, match="precision is 'int8'"):
        from_json(file, OPTIONS)
    file.write_text('{"resolved": [1]}')
    with pytest.raises(RunError, match="'resolved' holds no options"):
        from_json(file, OPTIONS)
