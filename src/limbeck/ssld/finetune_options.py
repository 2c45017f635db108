"""The options of `limbeck finetune`: those of a run that learns from labels, under names that fit it."""

import re
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from limbeck.checkpoints.card import is_checkpoint
from limbeck.errors import LimbeckError, OptionError
from limbeck.runs.choices import Precision, flag, table_of, typed
from limbeck.ssld.options import OPTIONS, Distill

EXAMPLE = "limbeck finetune resnet50d --images PHOTOS --out RUN"


@dataclass(frozen=True)
class Finetune:
    """Go on with a model on labelled photos: with the same classes, or with one's own."""

    model: Annotated[Positional[str], arg(metavar="MODEL")] = ""
    """A limbeck run or checkpoint (a converted one, too), or a name as `limbeck models` lists them."""
    images: tuple[str, ...] = ()
    """Photos in a folder for each class; or, with --labels, in any folder or archive."""
    labels: str = ""
    """A CSV file with a row for each photo: its file, and its class."""
    label_columns: tuple[str, ...] = ()
    """The columns of --labels that hold the file and the class, where their names do not tell."""
    out: str = ""
    """The run folder: student/ (the best), latest/ (the last), config.json, metrics.jsonl, report.html."""
    resume: bool = False
    """Go on with the run in --out, from its last saved state."""

    weights: str = ""
    """pretrained: what the makers of a model publish (the default for a name); a file; or none."""
    size: int = 0
    """Input size (0: the model's own)."""
    fix_size: int = 0
    """ResFix: train the classifier alone, at this size, on the views that evaluation shows (0: no)."""
    tune: Literal["auto", "all", "head", "norms"] = "auto"
    """all, the classifier alone (head), or classifier and norm layers (norms). auto: head with --fix-size, else all."""
    layer_rates: tuple[float, ...] = ()
    """Multipliers of the learning rate for parts of the backbone, the first part first; 0 freezes. Empty: 1, or the
    reference's where a distilled backbone gets a new head."""

    eval: str = ""
    """Labelled class folders to measure on, in place of a share that is held out."""
    val: float = 0.1
    """Share of each class that is held out to measure on, at most 2,000 photos in all (0: nothing is measured)."""
    evaluate_every: int = 0
    """Epochs between evaluations (0: so many that 20 steps or more, and ten photos for each evaluated, lie between)."""

    epochs: int = 30
    """An epoch is one view of each photo."""
    steps: int = 0
    """Stop after this many steps instead of --epochs; the schedule fits them."""
    batch: int = 32
    """Photos of one step, over all processes and parts."""
    lr: float = 0.05
    """Learning rate for a batch of 256; scaled linearly with --batch. A head that is kept wants less: 0.01 to 0.001."""
    warmup_epochs: float = 5.0
    """Linear warm-up; at most a tenth of the schedule."""
    weight_decay: float = 1e-4
    ema: float = 0.0
    """Decay of a moving average of the model, which is then evaluated and shipped (0: none)."""
    label_smoothing: float = 0.0
    """Share of the truth that is spread over all classes."""
    mixup: float = 0.0
    """Photos are mixed in pairs, by shares of Beta(a, a): 0.2 is usual (0: they are not)."""

    crop_scale: tuple[float, float] = (0.25, 1.0)
    """Area of the random crop, as a share of the photo."""
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """Width over height of the random crop."""
    flip: float = 0.5
    """Chance of a mirrored view."""
    colour: str = "none"
    """none, autoaugment, randaugment or jitter."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Precision = "auto"
    """auto: bfloat16 on CUDA that has it, else float32."""
    accumulate: int = 1
    """Parts that a batch is taken in."""
    compile: bool = False
    """Compile the model with torch.compile."""
    workers: int = -1
    """Processes that read photos (-1: the cores, at most 8; 0: none)."""
    seed: int = 0
    """Of a new head, the order of the photos, dropout and mixup."""
    save_every: int = 500
    """Steps between saved states; the end of an epoch is always saved."""
    log_every: int = 20
    """Steps between lines of metrics.jsonl."""
    track: tuple[str, ...] = ("tensorboard",)
    """tensorboard, wandb, mlflow, trackio; or none."""
    cache: str = ""
    """Where manifests and unpacked archives are kept (default: $LIMBECK_CACHE or ~/.cache/limbeck)."""


FIELDS = table_of(Finetune)
# what has another name in a distillation
_OTHERWISE = {"model": "student", "weights": "student_weights", "size": "student_size", "val": "probe"}
_SAME = [name for name in FIELDS if name in OPTIONS and name != "tune"]
_HINTS = {"--student-weights": "--weights", "--student-size": "--size", "--probe": "--val"}
_SENTENCES = {
    "--teacher-weights FILE, or ": "",
    "`limbeck distill` made": "`limbeck finetune` made",
    "limbeck distill --out RUN": "limbeck finetune --out RUN",
}
_BASE = Distill(loss="cross-entropy", best=True, verb="finetune")


def as_run(options: Finetune, base: Distill = _BASE) -> Distill:
    """The run that the options stand for; `base` has what they leave open.

    >>> as_run(Finetune("resnet50d", ("photos",), fix_size=320)).tune
    'head'
    """
    fixed = options.fix_size > 0
    if fixed and options.size not in (0, options.fix_size):
        raise OptionError(
            f"--size {options.size} with --fix-size {options.fix_size}",
            expected="one size: that of --fix-size is trained at, and shipped",
            hint="leave --size out",
        )
    weights = options.weights
    if not weights and options.model and not is_checkpoint(options.model):
        weights = "pretrained"
    same: dict[str, Any] = {name: getattr(options, name) for name in _SAME}
    if fixed and options.colour == FIELDS["colour"].default:
        same["colour"] = "none"
    return replace(
        base,
        **same,
        student=options.model,
        student_weights="" if weights == "none" else weights,
        student_size=options.fix_size or options.size,
        probe=options.val,
        tune=("head" if fixed else "all") if options.tune == "auto" else options.tune,
        test_view=fixed,
    )


def of_run(run: Distill) -> Finetune:
    """The options that a run stands for, so that `as_run` of them is that run."""
    same: dict[str, Any] = {name: getattr(run, name) for name in _SAME}
    return Finetune(
        **same,
        model=run.student,
        weights=run.student_weights or ("" if is_checkpoint(run.student) else "none"),
        size=0 if run.test_view else run.student_size,
        fix_size=run.student_size if run.test_view else 0,
        tune=run.tune,
        val=run.probe,
    )


def told(options: Distill) -> str:
    """What differs from the defaults of `limbeck finetune`, in one line.

    >>> told(as_run(Finetune("resnet50d", ("photos",), lr=0.1)))
    'limbeck finetune resnet50d --lr 0.1'
    """
    asked = of_run(options)
    plain = Finetune(model=asked.model)
    plain = replace(of_run(as_run(plain)), precision=asked.precision, evaluate_every=asked.evaluate_every)
    aside = ("model", "images", "out", "resume")
    changed = [name for name in FIELDS if name not in aside and getattr(asked, name) != getattr(plain, name)]
    return " ".join(["limbeck finetune", asked.model, *(typed(name, getattr(asked, name)) for name in changed)])


def in_its_words(error: LimbeckError, fix_size: int = 0) -> LimbeckError:
    """An error about a run's options in the names that `limbeck finetune` has for them.

    >>> print(in_its_words(OptionError("too large", hint="--student-size 224")))
    too large
      try:      --size 224
    """
    names = _HINTS | ({"--student-size": "--fix-size", "--test-view": f"--fix-size {fix_size}"} if fix_size else {})
    pattern = re.compile("|".join(rf"{re.escape(name)}(?![\\w-])" for name in names))

    def renamed(text: str) -> str:
        for theirs, ours in _SENTENCES.items():
            text = text.replace(theirs, ours)
        return pattern.sub(lambda found: names[found[0]], text)

    hint = renamed(error.hint)
    ours = {_OTHERWISE.get(name, name): name for name in FIELDS}
    for theirs, name in ours.items():  # what is proposed is the default, which may be another here
        if theirs in OPTIONS and error.hint == typed(theirs, OPTIONS[theirs].default):
            hint = typed(name, FIELDS[name].default) if FIELDS[name].default else f"leave {flag(name)} out"
    if "weights by path" in error.hint:
        hint += ", a checkpoint that `limbeck convert FILE --out CHECKPOINT` made, or --weights none"
    return type(error)(renamed(error.found), expected=renamed(error.expected), hint=hint)
