"""limbeck recipes: the paper's settings by name, with what is published of them."""

import shlex
from dataclasses import dataclass
from typing import Annotated

from rich.table import Table
from tyro.conf import Positional, arg

from limbeck.commands.recipes_of_detectors import show_detector, tell_detectors
from limbeck.console import console
from limbeck.errors import as_typed
from limbeck.recipes import RECIPES, TRAIN
from limbeck.recipes.published import Recipe, recipes
from limbeck.recipes.published_detectors import TrainRecipe, train_recipes
from limbeck.recipes.running import OFFICIAL
from limbeck.runs.choices import flag
from limbeck.ssld.options import OPTIONS


@dataclass(frozen=True)
class Recipes:
    """The paper's settings by name, with the published top-1 beside."""

    name: Annotated[Positional[str], arg(metavar="NAME")] = ""
    """A recipe, for everything of it and the line to type; or a part of names."""


def run(options: Recipes) -> list[Recipe] | list[TrainRecipe]:
    detectors = train_recipes(options.name)
    if options.name in TRAIN or (detectors and not any(options.name in name for name in RECIPES)):
        if len(detectors) == 1:
            show_detector(detectors[0])
        else:
            tell_detectors(detectors)
        return detectors
    found = recipes(options.name)
    if len(found) == 1:
        show(found[0])
        return found
    groups: dict[str, list[Recipe]] = {}
    for each in found:
        groups.setdefault(_taught_by(each), []).append(each)
    for title, group in groups.items():
        console.print(table(title, group))
    console.print("top-1 on ImageNet in per cent, as published: by standard training, and after the recipe;")
    console.print("lr is for the recipe's own batch; the networks are PaddleClas's, by limbeck's plain names")
    if detectors:
        tell_detectors(detectors)
    example = next((each.name for each in found if each.student), found[0].name)
    console.print(f"next: limbeck recipes {example}", markup=False)
    return found


def _taught_by(one: Recipe) -> str:
    if one.options.teacher:
        return f"taught by {one.options.teacher}"
    return "from true labels" if one.options.loss == "cross-entropy" else "any student, any teacher"


def table(title: str, found: list[Recipe]) -> Table:
    """A row for each recipe, 80 columns wide at most."""
    drawn = Table(title=f"\n{title}", title_justify="left", title_style="bold", box=None, padding=(0, 1, 0, 0))
    drawn.add_column("recipe", min_width=39, no_wrap=True)
    for column, width in (("epochs", 6), ("lr", 7), ("decay", 5), ("baseline", 8), ("distilled", 9)):
        drawn.add_column(column, justify="right", min_width=width, no_wrap=True)
    for each in found:
        drawn.add_row(
            each.name,
            f"{each.options.epochs}",
            f"{each.rate:g}",
            f"{each.options.weight_decay:g}",
            f"{each.baseline:.1f}" if each.baseline is not None else "",
            f"{each.top1:.2f}" if each.top1 is not None else "",
        )
    return drawn


def show(one: Recipe) -> None:
    """Everything of a recipe, and the line to type."""
    console.print(f"[bold]{one.name}[/bold]")
    console.print(one.about, markup=False)
    rows = Table(box=None, show_header=False)
    if one.student:
        rows.add_row("student", one.student)
        rows.add_row("network", one.definition)
    if one.baseline is not None:
        after = f"{one.top1:g} % after this recipe" if one.top1 is not None else "after this recipe not published"
        rows.add_row("top-1 on ImageNet", f"{one.baseline:g} % by standard training, {after}")
    rows.add_row("learning rate", f"{one.rate:g} for its batch of {one.options.batch:,}")
    for name, field in OPTIONS.items():
        value = getattr(one.options, name)
        if name not in ("recipe", "student") and value not in ("", ()) and (name in _TOLD or value != field.default):
            rows.add_row(flag(name), as_typed(value) if not isinstance(value, bool) else "yes" if value else "no")
    console.print(rows)
    for line in lines(one):
        console.print(line, markup=False)


_TOLD = {"teacher", "loss", "epochs", "batch", "lr", "warmup_epochs", "momentum", "weight_decay", "decay_norm"}
_TOLD |= {"crop_scale", "crop_ratio", "flip", "colour", "ema", "teacher_norm"}


def lines(one: Recipe) -> list[str]:
    """What to type for a recipe, one line after another.

    >>> lines(recipes("ssld/resnet101_vd-stage2")[0])
    ['next: limbeck distill --recipe ssld/resnet101_vd-stage2 --student RUN --images LABELLED --out RUN2']
    """
    words = ["limbeck", "distill", "--recipe", one.name]
    before = []
    if file := OFFICIAL.get(one.options.teacher):
        before = [
            f"once: limbeck convert {file} --out TEACHER   (its makers' file: nobody publishes it in timm's format)"
        ]
        words += ["--teacher", "TEACHER"]
    if not one.student:
        words += ["--teacher", "TEACHER", "--student", "STUDENT"]
    words += ["--student", "RUN"] if one.second else []
    words += ["--images", "LABELLED" if one.second else "PHOTOS", "--out", "RUN2" if one.second else "RUN"]
    line = f"next: {shlex.join(words)}"
    return [*before, line] if one.second else [*before, line, "a trial of it: the same with --scale 0.01"]
