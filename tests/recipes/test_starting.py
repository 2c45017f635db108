"""Where the options of a recipe come from."""

from collections.abc import Callable
from typing import Any

import pytest

from limbeck.errors import UnknownName
from limbeck.recipes.starting import distillation, training
from limbeck.ssld.options import Distill


def test_without_a_name_it_is_the_default_of_the_options() -> None:
    assert distillation() == distillation(Distill().recipe)
    assert training() == training("ssdlite")


@pytest.mark.parametrize(
    ("make", "name", "expected", "hint"),
    [
        (training, "sdlite", "ssdlite", "limbeck train ssdlite --data LABELLED --out RUN"),
        (training, "gfl_r18", "gfl_r18_fpn_coco_1x", "limbeck train gfl_r18_fpn_coco_1x --data LABELLED --out RUN"),
        (training, "zzz", "a recipe that `limbeck recipes` lists", "limbeck recipes"),
        (training, "ssld_small", "a detector's", "limbeck distill --recipe ssld_small --images PHOTOS --out RUN"),
        (distillation, "ssld_smal", "ssld_small", "--recipe ssld_small"),
        (distillation, "ssd300_coco", "one of distillation", "limbeck train ssd300_coco --data LABELLED --out RUN"),
    ],
)
def test_another_name_is_told_with_what_to_type(
    make: Callable[[str], Any], name: str, expected: str, hint: str
) -> None:
    with pytest.raises(UnknownName) as error:
        make(name)
    assert error.value.expected.split(", ")[0] == expected
    assert error.value.hint.removesuffix(", for this one") == hint
