"""The options of `limbeck select`, which are also the arguments of `limbeck.select(...)`."""

from dataclasses import dataclass
from typing import Any, Literal

from limbeck.errors import OptionError
from limbeck.images.mapping import parse_engine
from limbeck.runs.choices import Check, TeacherPrecision, known, table_of

Signature = Literal["embedding", "hash", "local"]


@dataclass(frozen=True)
class Select:
    """From a gallery, the photos worth distilling on: the best of each class, as the teacher sees them."""

    gallery: tuple[str, ...] = ()
    """Folders, files, .txt lists, .zip/.tar/.tar.gz archives, globs, URLs, or a manifest."""
    teacher: str = ""
    """A name of `limbeck models`, hf-hub:ORG/NAME, a limbeck run or checkpoint, an .onnx file; or several: a,b."""
    out: str = ""
    """The folder of the selection: manifest.arrow, selected.parquet, select.html."""
    exclude: tuple[str, ...] = ()
    """Photos that the student will be evaluated on: what is nearly the same as one of them is left out."""

    per_class: int = 4000
    """Photos kept of each class, the best first."""
    min_score: float = 0.0
    """Leave out photos whose best class has a probability below this."""
    keep_unsure: float = 0.0
    """Share of each class's places that goes to the lowest scored photos not below --min-score."""
    balance: float = 0.0
    """Keep of no class more than this many times what the smallest class has (0: as they come)."""
    dedupe: bool = False
    """Keep of photos that are nearly the same only the largest; exact copies are always one photo."""

    signature: Signature = "local"
    """How candidates for near-duplicates are found: local features, the teacher's features, or a hash alone."""
    match: Literal["fast", "thorough"] = "fast"
    """thorough: compare every pair by its local features, as the paper did. For small sets."""
    drop_scenes: bool = False
    """Leave out other photos of an excluded photo's scene too, such as the next frame of a video."""

    teacher_weights: str = ""
    """Weights of the teacher: .safetensors, or .pth (read as tensors only). Comma separated for an ensemble."""
    teacher_size: int = 0
    """Input size of the teacher, when it does not say (0: it says)."""
    teacher_mean: tuple[float, ...] = ()
    """Channel means of the teacher's input, for images in 0..1, when it does not say."""
    teacher_std: tuple[float, ...] = ()
    """Channel deviations of the teacher's input, when it does not say."""
    teacher_precision: TeacherPrecision = "auto"
    """Arithmetic of the teacher. auto: bfloat16 where the hardware multiplies it, else float32."""
    check_teacher: bool = True
    """Stop before scoring when the teacher's answers are near uniform or constant."""

    copy: bool = False
    """Also copy the kept photos to OUT/photos; the selection then names the copies."""
    link: bool = False
    """Also link the kept photos from OUT/photos; what lies in archives is copied."""
    engine: str = "plain"
    """plain: this machine; daft (pip install "limbeck[scale]"); ray or ray:HOST:PORT, a Ray cluster."""
    workers: int = -1
    """Processes (-1: one a core; 0: none beside this one)."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    cache: str = ""
    """Where manifests and finished shards are kept (default: $LIMBECK_CACHE or ~/.cache/limbeck)."""


OPTIONS = table_of(Select)
EXAMPLE = "limbeck select --gallery PHOTOS --exclude VAL --teacher resnet50d --per-class 4000 --out SET"
# what may differ when a selection is made again in its place, since the result does not depend on it
FREE = {"out", "engine", "workers", "cache", "device", "check_teacher"}


def from_arguments(given: dict[str, Any]) -> Select:
    """The options from arguments in Python.

    >>> from_arguments({"gallery": "photos", "per_class": 10}).gallery
    ('photos',)
    """
    return Select(**known(given, OPTIONS, source="limbeck.select", usage="limbeck select --help"))


def validate(options: Select) -> None:
    """Fail on options that are missing, contradict each other, or have no sensible value."""
    for name in ("gallery", "teacher", "out"):
        if not getattr(options, name):
            raise OptionError(f"--{name} is missing", expected="--gallery, --teacher and --out", hint=EXAMPLE)
    parse_engine(options.engine)
    for clash, found, expected, hint in _checks(options):
        if clash:
            raise OptionError(found, expected=expected, hint=hint)


def _checks(options: Select) -> tuple[Check, ...]:
    unused = not options.exclude
    return (
        (options.per_class < 1, f"--per-class {options.per_class}", "1 or more", "--per-class 4000"),
        (not 0 <= options.min_score <= 1, f"--min-score {options.min_score:g}", "a probability, from 0 to 1",
         "--min-score 0"),
        (not 0 <= options.keep_unsure < 1, f"--keep-unsure {options.keep_unsure:g}",
         "a share of each class's places, from 0 to below 1", "--keep-unsure 0.1"),
        (options.balance != 0 and not options.balance >= 1, f"--balance {options.balance:g}",
         "how many times the smallest class the largest may be: 1 or more, or 0 for any", "--balance 10"),
        (options.copy and options.link, "--copy with --link", "one of them", "--link"),
        (options.workers < -1, f"--workers {options.workers}", "a number of processes, or -1 for the cores",
         "--workers -1"),
        (options.match == "thorough" and unused, "--match thorough without --exclude", "photos to compare with",
         "--exclude VAL, or leave --match out"),
        (options.drop_scenes and unused, "--drop-scenes without --exclude", "photos to compare with",
         "--exclude VAL, or leave --drop-scenes out"),
        *((len(getattr(options, name)) not in (0, 3), f"--{name.replace('_', '-')} {getattr(options, name)}",
           "three numbers, one a channel", f"--{name.replace('_', '-')} 0.5 0.5 0.5")
          for name in ("teacher_mean", "teacher_std")),
    )  # fmt: skip
