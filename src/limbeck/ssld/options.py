"""The options of `limbeck distill`, which are also the arguments of `limbeck.distill(...)`."""

import dataclasses
import json
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from limbeck.errors import OptionError, RunError

Precision = Literal["auto", "float32", "bfloat16"]
TeacherPrecision = Literal["auto", "float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class Distill:
    """Pour a teacher into a student, with photos that need no labels."""

    images: tuple[str, ...] = ()
    """Folders, files, .txt lists, .zip/.tar/.tar.gz archives, globs, URLs, or a manifest."""
    teacher: str = ""
    """timm name, hf-hub:ORG/NAME, torchvision/NAME, a limbeck run or checkpoint, an .onnx file; or several: a,b."""
    student: str = ""
    """timm name, or a limbeck run or checkpoint to go on from."""
    out: str = ""
    """The run folder: student/, last/, config.json, metrics.jsonl, skipped.csv, report.html."""

    recipe: str = "ssld_small"
    """Where the defaults come from: ssld_small (mobile students) or ssld_large."""
    config: str = ""
    """A config.json of another run, to start from its options."""
    resume: bool = False
    """Go on with the run in --out, from its last saved state."""

    teacher_weights: str = ""
    """Weights of the teacher: .safetensors, or .pth (read as tensors only). Comma separated for an ensemble."""
    teacher_size: int = 0
    """Input size of the teacher, when it does not say (0: it says)."""
    teacher_mean: tuple[float, ...] = ()
    """Channel means of the teacher's input, for images in 0..1, when it does not say."""
    teacher_std: tuple[float, ...] = ()
    """Channel deviations of the teacher's input, when it does not say."""
    teacher_norm: Literal["frozen", "batch"] = "frozen"
    """batch: the teacher's norms use each batch's statistics, as the authors' released code does. Excludes --views."""
    teacher_precision: TeacherPrecision = "auto"
    """Arithmetic of the teacher. auto: bfloat16 where the hardware multiplies it, else float32."""
    check_teacher: bool = True
    """Stop before training when the teacher's answers are near uniform or constant."""

    student_weights: str = ""
    """Weights to start the student from."""
    student_args: str = ""
    """Arguments of the student's builder as JSON, for instance '{"drop_rate": 0.2}'."""
    student_size: int = 0
    """Input size of the student (0: its own)."""

    loss: str = "js"
    """js (the paper's text), jeffreys (its authors' code), kl, soft-ce; or cross-entropy: class folders, no teacher."""
    loss_eps: float = 1e-10
    """The epsilon inside the logarithms of jeffreys; 0 is exact."""
    epochs: int = 360
    """An epoch is one view of each image."""
    steps: int = 0
    """Stop after this many steps instead of --epochs; the schedule fits them."""
    batch: int = 256
    """Images of one step, over all processes and parts."""
    lr: float = 0.1
    """Learning rate for a batch of 256; scaled linearly with --batch."""
    warmup_epochs: float = 5.0
    """Linear warm-up; at most a tenth of the schedule."""
    momentum: float = 0.9
    weight_decay: float = 1e-5
    decay_norm: bool = False
    """Decay norms and biases as well."""
    ema: float = 0.0
    """Decay of a moving average of the student, which is then evaluated and shipped (0: none)."""

    crop_scale: tuple[float, float] = (0.08, 1.0)
    """Area of the random crop, as a share of the photo."""
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """Width over height of the random crop."""
    flip: float = 0.5
    """Chance of a mirrored view."""
    colour: str = "none"
    """none, autoaugment, randaugment or jitter."""
    crops_per_read: int = 1
    """Consecutive views served by one read of a photo."""
    views: int = 0
    """0: a fresh view each epoch, with the teacher beside. R: R views of each image, their soft labels stored."""
    store: str = ""
    """Where soft labels are kept with --views (default: OUT/store); may be shared by many students."""
    keep_top: int = 0
    """Classes that a stored label keeps (0: all up to 100 classes, else a number that was measured)."""

    probe: float = 0.02
    """Share of the images that is held out, at most 2,000, to see how well the student follows the teacher."""
    eval: str = ""
    """Labelled class folders for top-1 and top-5 after each epoch."""
    evaluate_every: int = 1
    """Epochs between evaluations."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Precision = "auto"
    """Arithmetic of the student. auto: bfloat16 on CUDA that has it, else float32."""
    accumulate: int = 1
    """Parts that a batch is taken in."""
    compile: bool = False
    """Compile the student with torch.compile."""
    sync_bn: bool = False
    """One batch norm over all processes (CUDA)."""
    workers: int = -1
    """Processes that read photos (-1: the cores, at most 8; 0: none)."""
    seed: int = 0
    """Of the student's first weights, the order of the photos and dropout."""
    view_seed: int = 0
    """Of the views; students that share a store share it."""
    save_every: int = 500
    """Steps between saved states; the end of an epoch is always saved."""
    log_every: int = 20
    """Steps between lines of metrics.jsonl."""
    track: tuple[str, ...] = ("tensorboard",)
    """tensorboard, wandb, mlflow, trackio; or none."""
    cache: str = ""
    """Where manifests and unpacked archives are kept (default: $LIMBECK_CACHE or ~/.cache/limbeck)."""


# what may differ between a run and its resumption, since the result does not depend on it
FREE = {"resume", "out", "workers", "save_every", "log_every", "track", "cache", "device", "config"}
OPTIONS = {field.name: field for field in dataclasses.fields(Distill)}


def known(options: dict[str, Any], *, source: str = "limbeck.distill") -> dict[str, Any]:
    """The options, with lists as tuples; an unknown one fails, with the nearest known.

    >>> known({"lr": 0.2, "images": "photos"})
    {'lr': 0.2, 'images': ('photos',)}
    """
    for name in options:
        if name not in OPTIONS:
            near = get_close_matches(name, OPTIONS, n=3, cutoff=0.5)
            raise OptionError(f"{source}: unknown option '{name}'", expected=", ".join(near or sorted(OPTIONS)))
    return {name: _shaped(name, value) for name, value in options.items()}


def _shaped(name: str, value: Any) -> Any:
    if not isinstance(OPTIONS[name].default, tuple):
        return str(value) if isinstance(value, Path) else value
    if isinstance(value, str | Path):
        return (str(value),)
    return tuple(str(part) if isinstance(part, Path) else part for part in value)


def to_json(options: Distill) -> str:
    return json.dumps(dataclasses.asdict(options), indent=2) + "\n"


def from_json(file: Path) -> dict[str, Any]:
    """The options that a config.json holds.

    >>> from_json(Path("no/config.json"))
    Traceback (most recent call last):
    limbeck.errors.RunError: no/config.json does not exist
      expected: the config.json that `limbeck distill` writes into its run folder
    """
    if not file.exists():
        expected = "the config.json that `limbeck distill` writes into its run folder"
        raise RunError(f"{file} does not exist", expected=expected)
    try:
        options = json.loads(file.read_text())
    except ValueError as error:
        raise RunError(f"{file} is not JSON: {error}") from error
    return known(options, source=str(file))


def resumed(asked: Distill, stored: Distill) -> Distill:
    """The options of a stored run, with what may change taken from what is asked now."""
    fresh = Distill()
    changes = {}
    for name in OPTIONS:
        now, then, default = getattr(asked, name), getattr(stored, name), getattr(fresh, name)
        if name in ("out", "resume") or (name in FREE and now != default):
            changes[name] = now
        elif now not in (default, then):
            raise OptionError(
                f"--{name.replace('_', '-')} is {now!r} now, but the run in {asked.out} was started with {then!r}",
                expected="the options of the run that is resumed",
                hint="leave the option out, or start a new run with another --out",
            )
    return dataclasses.replace(stored, **changes)


def validate(options: Distill) -> None:
    """Fail on options that are missing, contradict each other, or have no sensible value."""
    labelled = options.loss == "cross-entropy"
    for name, missing in (
        ("images", not options.images),
        ("teacher", not options.teacher and not labelled),
        ("student", not options.student),
        ("out", not options.out),
    ):
        if missing:
            example = "limbeck distill --images PHOTOS --teacher resnet50d --student mobilenetv3_large_100 --out RUN"
            raise OptionError(f"--{name} is missing", expected=example)
    clashes = (
        (labelled and options.teacher, "--loss cross-entropy learns from class folders and takes no --teacher"),
        (labelled and options.views, "--loss cross-entropy has no soft labels to store; leave --views out"),
        (options.store and not options.views, "--store keeps the labels of --views R; give --views as well"),
        (options.keep_top and not options.views, "--keep-top concerns stored labels; give --views as well"),
        (
            options.views and options.teacher_norm == "batch",
            "--teacher-norm batch depends on the batch, so its labels cannot be stored; leave --views out",
        ),
        (len(options.teacher_mean) not in (0, 3), "--teacher-mean takes three numbers, one a channel"),
        (len(options.teacher_std) not in (0, 3), "--teacher-std takes three numbers, one a channel"),
        (options.views % options.crops_per_read if options.crops_per_read > 0 else 1,
         "--views must be a multiple of --crops-per-read"),
        (options.batch % (options.crops_per_read or 1), "--batch must be a multiple of --crops-per-read"),
        (not 0 <= options.probe < 1, "--probe is a share of the images, from 0 to below 1"),
        (not 0 <= options.ema < 1, "--ema is a decay, from 0 to below 1"),
        (not 0 <= options.flip <= 1, "--flip is a chance, from 0 to 1"),
        (not 0 < options.crop_scale[0] <= options.crop_scale[1] <= 1, "--crop-scale is two shares, the smaller first"),
    )  # fmt: skip
    for clash, told in clashes:
        if clash:
            raise OptionError(told)
    for name in ("epochs", "batch", "accumulate", "crops_per_read", "evaluate_every", "save_every", "log_every"):
        if getattr(options, name) < 1:
            raise OptionError(f"--{name.replace('_', '-')} is {getattr(options, name)}", expected="1 or more")
    for name in ("lr", "weight_decay", "momentum", "warmup_epochs", "loss_eps", "views", "steps", "keep_top"):
        if getattr(options, name) < 0:
            raise OptionError(f"--{name.replace('_', '-')} is {getattr(options, name)}", expected="0 or more")
