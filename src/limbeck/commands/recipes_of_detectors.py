"""limbeck recipes, of detectors."""

import dataclasses
from collections.abc import Sequence

from rich.table import Table

from limbeck.console import console
from limbeck.detection.train_options import Train
from limbeck.errors import as_typed
from limbeck.recipes.published_detectors import Published, TrainRecipe
from limbeck.runs.choices import flag

_TOLD = (
    "detector",
    "backbone",
    "views",
    "repeats",
    "epochs",
    "batch",
    "schedule",
    "warmup",
    "momentum",
    "weight_decay",
)


def tell_detectors(found: Sequence[TrainRecipe]) -> None:
    """A row for each recipe."""
    rows = [_row(each) for each in found]
    drawn = Table(title="\ndetectors: limbeck train", title_justify="left", title_style="bold", box=None)
    drawn.padding = 0, 1, 0, 0
    for place, column in enumerate(("recipe", "epochs", "batch", "lr", "AP", "AP50", "AP75", "Mem", "fps")):
        widest = max(len(row[place]) for row in rows)  # a narrow terminal breaks lines, and cuts no number short
        drawn.add_column(column, justify="right" if place else "left", no_wrap=True, min_width=max(widest, len(column)))
    for row in rows:
        drawn.add_row(*row)
    console.print(drawn)
    if any(each.options.repeats > 1 for each in found):
        console.print("epochs: 24 x 5 are 24, each with five views of every photo")
    console.print("as published on COCO val2017: AP in per cent, GB of a V100 in training, images/s one by one")


def _row(one: TrainRecipe) -> list[str]:
    told = tuple(vars(one.published).values()) if one.published else (None,) * len(dataclasses.fields(Published))
    numbers = [f"{value:g}" if value is not None else "" for value in told]
    return [one.name, epochs(one.options), f"{one.options.batch}", f"{one.rate:g}", *numbers]


def show_detector(one: TrainRecipe) -> None:
    """Everything of a recipe, and the line to type."""
    console.print(f"[bold]{one.name}[/bold]")
    console.print(one.about, markup=False)
    rows = Table(box=None, show_header=False)
    if one.published:
        rows.add_row("published", published(one.published))
    rows.add_row("learning rate", f"{one.rate:g} for its batch of {one.options.batch:,}")
    for field in dataclasses.fields(Train):
        value = getattr(one.options, field.name)
        if field.name != "recipe" and value not in ("", ()) and (field.name in _TOLD or value != field.default):
            rows.add_row(flag(field.name), as_typed(value) if not isinstance(value, bool) else "yes" if value else "no")
        elif field.name == "milestones" and value and one.options.schedule == "steps":
            rows.add_row(flag(field.name), milestones(one.options))
    console.print(rows)
    teacher = " --teacher RUN" if one.options.ld_main else ""
    console.print(f"next: limbeck train {one.name} --data LABELLED{teacher} --out RUN", markup=False)


def published(told: Published) -> str:
    """In words.

    >>> published(Published(36.5, 52.9, 39.3, 1.8))
    'AP 36.5 %, AP50 52.9 %, AP75 39.3 % on COCO val2017, 1.8 GB in training'
    """
    shares = {"AP": told.ap, "AP50": told.ap50, "AP75": told.ap75}
    words = ", ".join(f"{name} {value:g} %" for name, value in shares.items() if value is not None)
    words += " on COCO val2017"
    words += f", {told.memory:g} GB in training" if told.memory is not None else ""
    return words + (f", {told.fps:g} images/s" if told.fps is not None else "")


def epochs(options: Train) -> str:
    """The length of a schedule, with the views of a photo in each epoch where they are several.

    >>> epochs(Train(epochs=24, repeats=5)), epochs(Train(epochs=100))
    ('24 x 5', '100')
    """
    return f"{options.epochs} x {options.repeats}" if options.repeats > 1 else str(options.epochs)


def milestones(options: Train) -> str:
    """As they are typed, and the epochs that they are.

    >>> milestones(Train(epochs=24))
    '0.666667 0.916667: a tenth after 16 epochs, and after 22'
    """
    ends = [f"{share * options.epochs:g}" for share in options.milestones]
    return f"{as_typed(options.milestones)}: a tenth after {ends[0]} epochs" + "".join(
        f", and after {end}" for end in ends[1:]
    )
