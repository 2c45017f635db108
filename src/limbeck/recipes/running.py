"""A recipe as it is about to run: what it needs of the user, and its schedule shortened for a trial."""

from dataclasses import replace
from pathlib import Path

from limbeck.backbones import BACKBONES
from limbeck.backbones.same import PUBLISHED
from limbeck.checkpoints.card import is_checkpoint
from limbeck.console import console
from limbeck.errors import CheckpointError, OptionError, counted
from limbeck.recipes.published import follows
from limbeck.ssld.options import Distill

# the official file of a teacher that no hub has
OFFICIAL = {"resnet50_vd": "ResNet50_vd_ssld_pretrained.pdparams"}


def check(options: Distill) -> None:
    """Stop where a recipe's student or teacher has to be brought.

    >>> check(Distill(recipe="ssld/resnet50_vd-stage2"))
    Traceback (most recent call last):
    limbeck.errors.OptionError: --student is missing
      expected: the run of the stage before: the folder that `limbeck distill --recipe ssld/resnet50_vd` made
      try:      --student RUN
    """
    if options.resume:
        return
    if follows(options.recipe) and not options.student_weights and not _is_run(options.student):
        before = (
            options.recipe.replace("-fix", "-stage2") if options.recipe.endswith("-fix") else _first(options.recipe)
        )
        raise OptionError(
            f"--student {options.student} is no run" if options.student else "--student is missing",
            expected=f"the run of the stage before: the folder that `limbeck distill --recipe {before}` made",
            hint="--student RUN",
        )
    official = OFFICIAL.get(options.teacher)
    if official and _nobody_has(options.teacher) and not options.teacher_weights and not _is_run(options.teacher):
        raise CheckpointError(
            f"{options.recipe} is taught by {options.teacher} with its makers' distilled weights, and no hub has them",
            expected="their file, converted once",
            hint=f"limbeck convert {official} --out TEACHER, then --teacher TEACHER",
        )


def scaled(options: Distill) -> Distill:
    """The schedule by --scale: its epochs, or steps, and its warm-up; one epoch is left at least.

    >>> short = scaled(Distill(scale=0.01))
    --scale 0.01: 4 epochs in place of 360, and 0.05 to warm up
    >>> short.epochs, short.scale
    (4, 1.0)
    """
    if options.scale == 1:
        return options
    epochs = max(1, round(options.epochs * options.scale))
    steps = max(1, round(options.steps * options.scale)) if options.steps else 0
    warmup = options.warmup_epochs * options.scale
    length = counted(steps, "step") if steps else counted(epochs, "epoch")
    whole = options.steps or options.epochs
    console.print(f"--scale {options.scale:g}: {length} in place of {whole:,}, and {warmup:g} to warm up")
    return replace(options, epochs=epochs, steps=steps, warmup_epochs=warmup, scale=1.0)


def _first(recipe: str) -> str:
    return recipe.replace("-stage2", "")


def _is_run(name: str) -> bool:
    return bool(name) and is_checkpoint(Path(name).expanduser())


def _nobody_has(name: str) -> bool:
    return name in BACKBONES and name not in PUBLISHED
