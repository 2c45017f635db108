"""What is published of each detector's recipe."""

from dataclasses import dataclass

from limbeck.detection.train_options import Train
from limbeck.recipes import ALIASES, TRAIN
from limbeck.tables import look_up


@dataclass(frozen=True)
class Published:
    """On COCO val2017: AP in per cent; GB of a V100 in training, at its own batch; its images a second, one by one."""

    ap: float
    ap50: float | None = None
    ap75: float | None = None
    memory: float | None = None
    fps: float | None = None


PUBLISHED = {
    "ssd300_coco": Published(25.5, memory=9.9, fps=43.7),
    "ssd512_coco": Published(29.5, memory=19.4, fps=30.7),
    "ssdlite_mobilenetv2_scratch_600e_coco": Published(21.3, memory=4.0, fps=69.9),
    # of the authors' table
    "gfl_r18_fpn_coco_1x": Published(35.8, 53.1, 38.2),
    "gfl_r34_fpn_coco_1x": Published(38.9, 56.6, 42.2),
    "gfl_r50_fpn_coco_1x": Published(40.1, 58.2, 43.1, fps=19.5),
    "gfl_r101_fpn_coco_2x": Published(44.6, 62.9, 48.4, fps=14.7),
    "ld_r18_gflv1_r101_fpn_coco_1x": Published(36.5, 52.9, 39.3),
    "ld_r34_gflv1_r101_fpn_coco_1x": Published(39.8, 56.6, 43.1),
    "ld_r50_gflv1_r101_fpn_coco_1x": Published(41.1, 58.7, 44.9, fps=19.5),
    "ld_r101_gflv1_r101dcn_fpn_coco_2x": Published(45.4, 63.1, 49.5, fps=14.7),
    # of the paper, with the region around boxes and the classes
    "ld_r18_gflv1_r101_fpn_coco_1x_vlr": Published(37.5),
    "ld_r34_gflv1_r101_fpn_coco_1x_vlr": Published(41.0),
    "ld_r50_gflv1_r101_fpn_coco_1x_vlr": Published(42.1, fps=19.5),
    # as mmdetection trained them again
    "gfl_r101_fpn_coco_2x_b16": Published(44.7, fps=14.7),
    "gfl_r101_dcn_fpn_coco_2x_b16": Published(47.1, fps=12.9),
    "ld_r18_gflv1_r101_fpn_coco_1x_b16": Published(36.5, memory=1.8),
    "ld_r34_gflv1_r101_fpn_coco_1x_b16": Published(39.9, memory=2.2),
    "ld_r50_gflv1_r101_fpn_coco_1x_b16": Published(41.0, memory=3.6, fps=19.5),
    "ld_r101_gflv1_r101dcn_fpn_coco_2x_b16": Published(45.5, memory=5.5, fps=14.7),
}


@dataclass(frozen=True)
class TrainRecipe:
    """A recipe of a detector, and what is published of it."""

    name: str
    about: str
    options: Train
    published: Published | None = None

    @property
    def rate(self) -> float:
        """The learning rate for the recipe's own batch."""
        return self.options.lr * self.options.batch / self.options.lr_batch


def train_recipes(name: str = "") -> list[TrainRecipe]:
    """The recipes of detectors whose name holds `name`; one that is called so stands alone.

    >>> [found.published.ap for found in train_recipes("ssd300_coco")]
    [25.5]
    """
    name = ALIASES.get(name, name)
    found = [name] if name in TRAIN else [known for known in TRAIN if name in known]
    return [_recipe(each) for each in found]


def _recipe(name: str) -> TrainRecipe:
    make = look_up("recipe", name, TRAIN)
    about = " ".join(line.strip() for line in (make.__doc__ or "").partition(">>>")[0].strip().splitlines())
    return TrainRecipe(name, about, make(), PUBLISHED.get(name))
