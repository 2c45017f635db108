"""A recipe says all that was published, and limbeck's defaults say none of it."""

import ast
import inspect
from typing import Any

import pytest

from limbeck.recipes import RECIPES, ssld
from limbeck.tables import look_up

PAPER: dict[str, Any] = {
    "loss": "js",
    "epochs": 360,
    "batch": 256,
    "lr": 0.1,
    "warmup_epochs": 5.0,
    "momentum": 0.9,
    "crop_scale": (0.08, 1.0),
    "crop_ratio": (3 / 4, 4 / 3),
    "flip": 0.5,
}
ROWS = {
    "ssld_small": PAPER | {"weight_decay": 1e-5, "colour": "none"},
    "ssld_large": PAPER | {"weight_decay": 4e-5, "colour": "autoaugment"},
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_its_row_of_the_paper(name: str) -> None:
    chosen = vars(look_up("recipe", name, RECIPES)())
    assert {option: chosen[option] for option in ROWS[name]} == ROWS[name]
    assert chosen["recipe"] == name


def test_nothing_published_is_left_to_the_defaults() -> None:
    said = {word.arg for word in ast.walk(ast.parse(inspect.getsource(ssld))) if isinstance(word, ast.keyword)}
    assert said == {*ROWS["ssld_small"], "recipe"}
