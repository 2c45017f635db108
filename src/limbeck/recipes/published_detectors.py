"""What is published of each detector's recipe."""

from dataclasses import dataclass

from limbeck.detection.train_options import Train
from limbeck.recipes import TRAIN
from limbeck.tables import look_up

# of the reference on COCO val2017: AP in per cent; GB of a V100 in training, at its own batch; its images a second
MEASURED = {
    "ssd300_coco": (25.5, 9.9, 43.7),
    "ssd512_coco": (29.5, 19.4, 30.7),
    "ssdlite_mobilenetv2_scratch_600e_coco": (21.3, 4.0, 69.9),
}


@dataclass(frozen=True)
class TrainRecipe:
    """A recipe of a detector, and what is published of it."""

    name: str
    about: str
    options: Train
    ap: float | None = None
    memory: float | None = None
    fps: float | None = None

    @property
    def rate(self) -> float:
        """The learning rate for the recipe's own batch."""
        return self.options.lr * self.options.batch / self.options.lr_batch


def train_recipes(name: str = "") -> list[TrainRecipe]:
    """The recipes of detectors whose name holds `name`; one that is called so stands alone.

    >>> [found.ap for found in train_recipes("ssd300_coco")]
    [25.5]
    """
    found = [name] if name in TRAIN else [known for known in TRAIN if name in known]
    return [_recipe(each) for each in found]


def _recipe(name: str) -> TrainRecipe:
    make = look_up("recipe", name, TRAIN)
    about = " ".join(line.strip() for line in (make.__doc__ or "").partition(">>>")[0].strip().splitlines())
    return TrainRecipe(name, about, make(), *MEASURED.get(name, ()))
