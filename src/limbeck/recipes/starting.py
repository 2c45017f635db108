"""The options that a recipe stands for, before anything that is typed changes them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from limbeck.detection.train_options import Train
from limbeck.errors import UnknownName, nearest
from limbeck.recipes import ALIASES, RECIPES, TRAIN
from limbeck.tables import look_up

if TYPE_CHECKING:
    from limbeck.ssld.options import Distill

_DISTILL = "limbeck distill --recipe {} --images PHOTOS --out RUN"
_TRAIN = "limbeck train {} --data LABELLED --out RUN"


def distillation(name: str = "") -> "Distill":
    """Those of `limbeck distill`.

    >>> distillation("ssld_large").weight_decay
    4e-05
    """
    name = name or "ssld_small"  # as in Distill, which takes torch: the help of `limbeck train` is quick
    if name in TRAIN:
        raise UnknownName(
            f"'{name}' is a detector's recipe",
            expected="one of distillation",
            hint=f"{_TRAIN.format(name)}, for this one",
        )
    _check(name, RECIPES, "--recipe {}")
    options: Distill = look_up("recipe", name, RECIPES)()
    return options


def training(name: str = "") -> Train:
    """Those of `limbeck train`.

    >>> training("ssd512")
    Traceback (most recent call last):
    limbeck.errors.UnknownName: unknown recipe 'ssd512'
      expected: ssd512_coco
      try:      limbeck train ssd512_coco --data LABELLED --out RUN
    """
    name = name or Train().recipe
    name = ALIASES.get(name, name)
    if name in RECIPES:
        raise UnknownName(
            f"'{name}' is a recipe of distillation",
            expected="a detector's",
            hint=f"{_DISTILL.format(name)}, for this one",
        )
    _check(name, {**TRAIN, **ALIASES}, _TRAIN)
    options: Train = look_up("recipe", name, TRAIN)()
    return options


def _check(name: str, known: Mapping[str, str], line: str) -> None:
    if name not in known:
        near = [each for each in known if name in each][:5] or nearest(name, known)
        raise UnknownName(
            f"unknown recipe '{name}'",
            expected=", ".join(near) or "a recipe that `limbeck recipes` lists",
            hint=line.format(near[0]) if near else "limbeck recipes",
        )
