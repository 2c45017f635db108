"""The options of `limbeck distill`, which are also the arguments of `limbeck.distill(...)`."""

from dataclasses import dataclass
from typing import Literal

from tyro.conf import Suppress

from limbeck.divergence import DIVERGENCES
from limbeck.errors import OptionError, as_typed, unknown_name
from limbeck.images.policies import COLOURS
from limbeck.runs.choices import TRACKERS, Check, Precision, TeacherPrecision, flag, table_of, typed


@dataclass(frozen=True)
class Distill:
    """Pour a teacher into a student, with photos that need no labels."""

    images: tuple[str, ...] = ()
    """Folders, files, .txt lists, .zip/.tar/.tar.gz archives, globs, URLs, or a manifest."""
    teacher: str = ""
    """A name of `limbeck models`, hf-hub:ORG/NAME, a limbeck run or checkpoint, an .onnx file; or several: a,b."""
    student: str = ""
    """A name of `limbeck models`, or a run or checkpoint to go on from."""
    out: str = ""
    """The run folder: student/, last/, config.json, metrics.jsonl, skipped.csv, report.html."""

    recipe: str = "ssld_small"
    """Where the defaults come from: ssld_small (mobile students), ssld_large, or another of `limbeck recipes`."""
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
    """Weights to start the student from; pretrained: those that its makers publish."""
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
    scale: float = 1.0
    """Share of the epochs and of the warm-up that is run: 0.01 tries a long schedule out."""
    tune: Literal["all", "head", "norms"] = "all"
    """What is trained: everything, the classifier alone, or (norms) the classifier and the norm layers."""
    layer_rates: tuple[float, ...] = ()
    """Multipliers of the learning rate for parts of the backbone, the first part first; 0 freezes it (empty: all 1)."""
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
    test_view: bool = False
    """Train on the view that evaluation shows: short side to the student's size, centre crop, no flip, no colours."""
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
    evaluate_every: int = 0
    """Epochs between evaluations (0: so many that 20 steps or more, and ten photos for each evaluated, lie between)."""

    labels: Suppress[str] = ""
    """A CSV file with the classes of the images, in place of class folders."""
    label_columns: Suppress[tuple[str, ...]] = ()
    """The columns of --labels that hold the file and the class, where their names do not tell."""
    label_smoothing: Suppress[float] = 0.0
    """Share of the truth that is spread over all classes."""
    mixup: Suppress[float] = 0.0
    """Photos are mixed in pairs, by shares of Beta(a, a) (0: they are not)."""
    best: Suppress[bool] = False
    """Keep the best evaluation as student/, and the last as latest/."""
    verb: Suppress[Literal["distill", "finetune"]] = "distill"
    """The command that began the run, and goes on with it."""

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


EXAMPLE = "limbeck distill --images PHOTOS --teacher resnet50d --student mobilenetv3_large_100 --out RUN"
OPTIONS = table_of(Distill)


def validate(options: Distill) -> None:
    """Fail on options that are missing, unknown, contradict each other, or have no sensible value."""
    labelled = options.loss == "cross-entropy"
    for name, missing in (
        ("images", not options.images),
        ("teacher", not options.teacher and not labelled),
        ("student", not options.student),
        ("out", not options.out),
    ):
        if missing:
            raise OptionError(f"--{name} is missing", expected="--images, --teacher, --student and --out", hint=EXAMPLE)
    for option, names, allowed in (
        ("loss", (options.loss,), (*DIVERGENCES, "cross-entropy")),
        ("colour", (options.colour,), tuple(COLOURS)),
        ("track", options.track, (*TRACKERS, "none")),
    ):
        for name in names:
            if name not in allowed:
                raise unknown_name(option, name, allowed, option=f"--{option}")
    for clash, found, expected, hint in (*_clashes(options), *_out_of_range(options)):
        if clash:
            raise OptionError(found, expected=expected, hint=hint)


_LABELS_ONLY = "labels", "label_columns", "label_smoothing", "mixup", "best"


def _clashes(options: Distill) -> tuple[Check, ...]:
    labelled, stored, crops = options.loss == "cross-entropy", options.views > 0, options.crops_per_read
    views = "leave it out, or --views R"
    return (
        (labelled and options.teacher != "", f"--loss cross-entropy with --teacher {options.teacher}",
         "labels from class folders, or a teacher: one of them", "--loss js, or leave --teacher out"),
        (labelled and stored, f"--loss cross-entropy with --views {options.views}",
         "soft labels to store, which labelled photos have not", "--views 0"),
        (options.store != "" and not stored, f"--store {options.store} without --views", "views to store", views),
        (options.keep_top > 0 and not stored, f"--keep-top {options.keep_top} without --views",
         "labels to store", views),
        (stored and options.teacher_norm == "batch", f"--teacher-norm batch with --views {options.views}",
         "answers that depend on one photo alone: those of a teacher that looks at whole batches cannot be stored",
         "--views 0, or --teacher-norm frozen"),
        (crops > 0 and options.views % crops > 0, f"--views {options.views} with --crops-per-read {crops}",
         "views that are a multiple of the crops of a read", f"--views {-(-options.views // max(1, crops)) * crops}"),
        (crops > 0 and options.batch % crops > 0, f"--batch {options.batch} with --crops-per-read {crops}",
         "a batch that is a multiple of the crops of a read", f"--batch {-(-options.batch // max(1, crops)) * crops}"),
        (options.accumulate > options.batch > 0, f"--accumulate {options.accumulate} with --batch {options.batch}",
         "at most one part for each image of a batch", f"--accumulate {options.batch}"),
        (options.test_view and options.colour != "none", f"--test-view with --colour {options.colour}",
         "views as evaluation shows them, which no colours change", "--colour none"),
        (options.test_view and crops > 1, f"--test-view with --crops-per-read {crops}",
         "one view of each photo: evaluation has no other", "--crops-per-read 1"),
        (options.tune == "head" and bool(options.layer_rates),
         f"--tune head with --layer-rates {as_typed(options.layer_rates)}",
         "a backbone that learns, or none of it", "--tune all, or leave --layer-rates out"),
        (labelled and len(options.label_columns) == 2 and not options.labels,
         typed("label_columns", options.label_columns), "the file that has these columns", "--labels FILE.csv"),
        *((not labelled and getattr(options, name) != OPTIONS[name].default,
           f"{typed(name, getattr(options, name))} with --loss {options.loss}", "true labels",
           "limbeck finetune learns from labels") for name in _LABELS_ONLY),
        ("none" in options.track and len(options.track) > 1, f"--track {' '.join(options.track)}",
         "trackers, or none of them", "--track none"),
    )  # fmt: skip


def _out_of_range(options: Distill) -> tuple[Check, ...]:
    def check(fails: bool, name: str, expected: str) -> Check:
        return (
            fails,
            f"{flag(name)} is {as_typed(getattr(options, name))}",
            expected,
            typed(name, OPTIONS[name].default),
        )

    positive = "epochs", "batch", "accumulate", "crops_per_read", "save_every", "log_every"
    numbers = "lr", "weight_decay", "momentum", "warmup_epochs", "loss_eps", "views", "steps"
    counts = "keep_top", "evaluate_every", "teacher_size", "student_size"
    least, most = options.crop_scale
    return (
        *(check(getattr(options, name) < 1, name, "1 or more") for name in positive),
        *(check(not getattr(options, name) >= 0, name, "0 or more") for name in (*numbers, *counts)),
        *(check(len(getattr(options, name)) not in (0, 3), name, "three numbers, one a channel")
          for name in ("teacher_mean", "teacher_std")),
        check(any(value <= 0 for value in options.teacher_std), "teacher_std", "numbers above 0"),
        check(not 0 <= options.probe < 1, "probe", "a share of the images, from 0 to below 1"),
        check(not 0 <= options.ema < 1, "ema", "a decay, from 0 to below 1"),
        check(not 0 <= options.flip <= 1, "flip", "a chance, from 0 to 1"),
        check(not 0 < least <= most <= 1, "crop_scale", "two shares from above 0 to 1, the smaller first"),
        check(not 0 < options.crop_ratio[0] <= options.crop_ratio[1], "crop_ratio", "two ratios, the smaller first"),
        check(not 0 < options.scale <= 1, "scale", "a share of the schedule, from above 0 to 1"),
        check(any(not rate >= 0 for rate in options.layer_rates), "layer_rates", "multipliers of 0 or more"),
        check(not 0 <= options.label_smoothing < 1, "label_smoothing", "a share, from 0 to below 1"),
        check(not options.mixup >= 0, "mixup", "0, or the a of Beta(a, a), as 0.2"),
        check(len(options.label_columns) not in (0, 2), "label_columns", "two columns, that of the file first"),
        check(options.workers < -1, "workers", "a number of processes, or -1 for the cores"),
    )  # fmt: skip
