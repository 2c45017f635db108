"""The top-1 on ImageNet that is published for each recipe, and what a recipe is in a row."""

from dataclasses import dataclass

from limbeck.backbones.same import SAME_IN_TIMM, definition_of
from limbeck.errors import nearest, unknown_name
from limbeck.recipes import RECIPES, TRAIN
from limbeck.ssld.options import Distill
from limbeck.tables import look_up

# Table 2, in per cent: of standard training, and distilled with stage two
TABLE_2 = {
    "mobilenet_v1": (70.9, 77.9),
    "mobilenet_v2": (72.1, 76.4),
    "mobilenet_v3_small": (68.2, 71.3),
    "mobilenet_v3_large": (75.3, 79.0),
    "hrnet_w18_c": (76.9, 81.2),
    "se_hrnet_w64_c": (80.6, 84.8),
    "resnet50_vd": (79.1, 83.0),
    "resnet101_vd": (80.3, 83.7),
    "resnet200_vd": (80.9, 85.0),
}
# what a recipe by itself comes to, in per cent: Tables 1 and 4, and the authors' documents for what they released
REACHED = {
    "ssld/mobilenet_v1-released": 77.65,
    "ssld/mobilenet_v1-stage2-released": 77.89,
    "ssld/mobilenet_v2-released": 76.34,
    "ssld/mobilenet_v2-stage2-released": 76.73,
    "ssld/mobilenet_v3_small-released": 70.11,
    "ssld/mobilenet_v3_small-stage2-released": 71.28,
    "ssld/mobilenet_v3_large": 78.54,
    "ssld/mobilenet_v3_large-released": 78.54,
    "ssld/mobilenet_v3_large-stage2-released": 78.96,
    "ssld/resnet50_vd": 82.2,
    "ssld/resnet50_vd-released": 82.07,
    "ssld/resnet50_vd-stage2-released": 82.39,
    "ssld/resnet50_vd-fix": 84.0,
    "ssld/resnet101_vd-released": 83.41,
    "ssld/resnet101_vd-stage2-released": 83.73,
} | {f"ssld/{student}-stage2": distilled for student, (_, distilled) in TABLE_2.items()}


@dataclass(frozen=True)
class Recipe:
    """A recipe, and what is published of it: the student's top-1 in per cent without (`baseline`) and after it."""

    name: str
    about: str
    student: str
    definition: str
    options: Distill
    baseline: float | None = None
    top1: float | None = None

    @property
    def rate(self) -> float:
        """The learning rate as it runs, for the recipe's own batch."""
        return self.options.lr * self.options.batch / 256

    @property
    def second(self) -> bool:
        """Whether it goes on with the student of another run."""
        return follows(self.name)


def recipes(name: str = "") -> list[Recipe]:
    """The recipes whose name holds `name`; one that is called so stands alone.

    >>> [found.top1 for found in recipes("ssld/resnet50_vd-fix")]
    [84.0]
    """
    found = [name] if name in RECIPES else [known for known in RECIPES if name in known]
    if not found:
        known = [*RECIPES, *TRAIN]
        near = nearest(name, known, 1)
        raise unknown_name("recipe", name, known, hint=f"limbeck recipes {near[0]}" if near else "limbeck recipes")
    return [recipe(each) for each in found]


def recipe(name: str) -> Recipe:
    """One recipe by its whole name."""
    make = look_up("recipe", name, RECIPES)
    student = name.removeprefix("ssld/").partition("-")[0] if "/" in name else ""
    baseline = TABLE_2[student][0] if student else None
    about = "\n".join(line.strip() for line in (make.__doc__ or "").partition(">>>")[0].strip().splitlines())
    return Recipe(name, about, student, definition(student), make(), baseline, REACHED.get(name))


def follows(name: str) -> bool:
    """Whether a recipe goes on with the student of another run.

    >>> follows("ssld/resnet50_vd"), follows("ssld/resnet50_vd-stage2-released"), follows("ssld/resnet50_vd-fix")
    (False, True, True)
    """
    return "-stage2" in name or name.endswith("-fix")


def definition(student: str) -> str:
    """Whose definition of a network a plain name means, and which timm model computes the same.

    >>> definition("resnet50_vd"), definition("mobilenet_v2")
    ("PaddleClas's; timm's resnet50d is the same", "PaddleClas's; timm has no such network")
    """
    if not student:
        return ""
    same, args = SAME_IN_TIMM.get(student, ("", {}))
    given = ", ".join(f"{key}={value}" for key, value in args.items())
    there = f"timm's {same}{f' with {given}' if given else ''} is the same" if same else "timm has no such network"
    return f"{definition_of(student)}'s; {there}"
