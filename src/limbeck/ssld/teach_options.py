"""The options of `limbeck teach`, which are also the arguments of `limbeck.teach(...)`.

Those that `limbeck distill` has too mean the same there: what a label depends on is settled by one code for both.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from limbeck.errors import OptionError
from limbeck.runs import choices
from limbeck.runs.choices import TeacherPrecision, table_of
from limbeck.ssld.options import Distill, validate


@dataclass(frozen=True)
class Teach:
    """Fill a soft-label store ahead of time, so that `limbeck distill --store STORE` never loads the teacher."""

    images: tuple[str, ...] = ()
    """Folders, files, .txt lists, .zip/.tar/.tar.gz archives, globs, URLs, or a manifest."""
    teacher: str = ""
    """A name of `limbeck models`, hf-hub:ORG/NAME, a limbeck run or checkpoint, an .onnx file; or several: a,b."""
    views: int = 0
    """Views of each image whose soft labels are made."""
    out: str = ""
    """The store: a folder, new or of the same teacher and views."""

    student: str = ""
    """The student that will learn from them, if its input may be larger than the teacher's: views fit the larger."""
    student_size: int = 0
    """Input size of that student (0: its own)."""
    student_args: str = ""
    """Arguments of the student's builder as JSON."""
    recipe: str = "ssld_small"
    """Where the defaults of the views come from: ssld_small (mobile students) or ssld_large."""

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
    """Stop before labelling when the teacher's answers are near uniform or constant."""

    crop_scale: tuple[float, float] = (0.08, 1.0)
    """Area of the random crop, as a share of the photo."""
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """Width over height of the random crop."""
    flip: float = 0.5
    """Chance of a mirrored view."""
    colour: str = "none"
    """none, autoaugment, randaugment or jitter."""
    view_seed: int = 0
    """Of the views; students that share a store share it."""
    keep_top: int = 0
    """Classes that a stored label keeps (0: all up to 100 classes, else a number that was measured)."""
    probe: float = 0.02
    """Share of the images that is held out, at most 2,000: of these the teacher's own evaluation view is labelled."""

    engine: str = "plain"
    """What runs over the images: plain (processes of this machine), daft, ray, or ray:HOST:PORT."""
    workers: int = -1
    """Processes (-1: one a core; 0: none beside this one)."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    cache: str = ""
    """Where manifests and unpacked archives are kept (default: $LIMBECK_CACHE or ~/.cache/limbeck)."""


OPTIONS = table_of(Teach)
EXAMPLE = "limbeck teach --images PHOTOS --teacher resnet50d --views 4 --out STORE"
_SHARED = {field.name for field in dataclasses.fields(Distill)} & set(OPTIONS)


def known(given: dict[str, Any]) -> dict[str, Any]:
    """The options from arguments in Python, in their shape.

    >>> known({"images": "photos", "views": 2})
    {'images': ('photos',), 'views': 2}
    """
    return choices.known(given, OPTIONS, source="limbeck.teach", usage="limbeck teach --help")


def of_recipe(recipe: Distill) -> Teach:
    """What a recipe says of views.

    >>> of_recipe(Distill(colour="autoaugment")).colour
    'autoaugment'
    """
    return Teach(**{name: getattr(recipe, name) for name in _SHARED})


def checked(options: Teach) -> Distill:
    """The options of a run that asks for the same labels; fails on those that are missing or make no sense."""
    for name in ("images", "teacher", "views", "out"):
        if not getattr(options, name):
            raise OptionError(f"--{name} is missing", expected="--images, --teacher, --views and --out", hint=EXAMPLE)
    shared = {name: getattr(options, name) for name in _SHARED}
    asked = Distill(**shared | {"store": options.out})
    validate(dataclasses.replace(asked, student=options.student or "none yet"))
    return asked
