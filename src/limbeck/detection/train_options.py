"""The options of `limbeck train`, which are also the arguments of `limbeck.train(...)`."""

from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import Positional, Suppress, arg


@dataclass(frozen=True)
class Train:
    """Train a detector on photos with boxes."""

    recipe: Annotated[Positional[str], arg(metavar="RECIPE")] = "ssdlite"
    """Where the defaults come from: ssdlite, ssd300_coco or another; see `limbeck recipes`."""
    data: tuple[str, ...] = ()
    """Photos with boxes: a folder or archive with COCO json, Pascal VOC xml or YOLO txt."""
    out: str = ""
    """The run folder: student/ (the best), latest/, last/, config.json, metrics.jsonl, classes.csv."""
    config: str = ""
    """A config.json of another run, to start from its options."""
    resume: bool = False
    """Go on with the run in --out, from its last saved state."""

    split: str = "train"
    """The split that is learned from (several joined by +), or a list of its images: a .txt or a COCO .json."""
    val: str = ""
    """Other photos with boxes to measure on; none: measure nothing. Without it the split --val-split of --data."""
    val_split: str = ""
    """The split or list that is measured on (default: val of --data, or all of --val)."""
    format: str = ""
    """coco, voc or yolo, where a folder holds several."""
    classes: tuple[str, ...] = ()
    """The classes in the order of the model's answers (default: those of the set)."""
    skip_bad: bool = False
    """Go on without labels and images that have something wrong with them."""
    empty: bool = False
    """Learn from photos without objects too; the references leave them out."""
    least_side: int = 0
    """Leave out photos with a side below this."""

    detector: str = "ssdlite"
    """ssdlite, gfl, gfl_dcn or retinanet on --backbone; ssd300, ssd512 or ssdlite_mobilenetv2 with one of their own;
    ssd300_vgg16 or ssdlite320_mobilenet_v3_large as torchvision has them."""
    backbone: str = ""
    """A model's name, or a limbeck run or checkpoint: what was distilled goes under the detector, and sees photos
    normalised as before."""
    backbone_args: str = ""
    """Arguments of the backbone's builder as JSON, where --backbone is a name."""
    pretrained: bool = False
    """Begin with the weights that the backbone's makers publish."""
    weights: str = ""
    """A run or checkpoint of the same detector to begin with; a head of other classes is new."""
    size: int = 0
    """Side of the detector's input in pixels (0: its own)."""
    layer_rates: tuple[float, ...] = ()
    """Multipliers of the learning rate for parts of the backbone, the first part first; 0 freezes it."""
    frozen: int = 0
    """Parts of the backbone, from the first on, that stay as they are."""
    norm_eval: bool = False
    """Norms of the backbone keep the statistics that they came with."""
    scratch: bool = False
    """Begin from nothing where the recipe begins with published weights: nothing is frozen, norms learn."""

    teacher: str = ""
    """A detector to learn from as well (localization distillation): a run, a checkpoint, or a file that limbeck convert
    reads; a weight of --ld-main, --ld-around, --ld-classes or --ld-features says what."""
    teacher_precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    ld_main: float = 0.0
    """Weight of the teacher's edges at the places that own a box."""
    ld_around: float = 0.0
    """Weight of the teacher's edges at the places around boxes, the valuable localization region."""
    ld_classes: float = 0.0
    """Weight of the teacher's class scores at the places that own a box."""
    ld_features: float = 0.0
    """Weight of the teacher's feature maps near objects."""
    ld_region: Literal["iof", "diou"] = "iof"
    """What is around a box: diou, as the paper says; iof, as its authors' code computes it."""
    ld_temperature: float = 10.0
    ld_class_temperature: float = 2.0
    ld_images: int = 0
    """The batch that --ld-main and --ld-around are meant for, whose terms are sums over it (0: --batch)."""
    least_weight: float = 1.0
    """What GFL's box losses are divided by at least (0: a millionth is added instead, as localization distillation's
    authors have it)."""
    unlabeled: tuple[str, ...] = ()
    """Further photos, without boxes, on which only the teacher tells."""
    unlabeled_score: float = 0.3
    """How sure the teacher must be of an object on those photos."""

    views: str = ""
    """How photos are shown in training: ssd, ssd_photometric_last, flip_resize, flip_multiscale or resize (default: ssd
    where the input has an exact size, flip_resize where photos keep their proportions)."""
    by_shape: bool = False
    """Batches of photos that are all wide or all tall, but for the last of an epoch: less padding where photos keep
    their proportions."""
    repeats: int = 1
    """Views of each photo in an epoch."""
    epochs: int = 120
    """Passes over the photos; with --repeats each shows that many views of every one."""
    steps: int = 0
    """Stop after this many steps instead of --epochs; the schedule fits them."""
    batch: int = 32
    """Images of one step, over all processes and parts."""
    lr: float = 0.015
    """Learning rate for a batch of --lr-batch; scaled linearly with --batch."""
    lr_batch: int = 192
    schedule: Literal["cosine", "steps"] = "cosine"
    """How the learning rate falls: by a cosine to zero, or to a tenth at each milestone."""
    stairs: bool = False
    """The cosine falls from epoch to epoch, not from step to step."""
    milestones: tuple[float, ...] = (2 / 3, 11 / 12)
    """Shares of the schedule after which --schedule steps goes down to a tenth."""
    warmup: int = 500
    """Steps of linear warm-up; at most a tenth of the schedule."""
    warmup_from: float = 0.001
    """The share of the learning rate that the warm-up begins at."""
    momentum: float = 0.9
    weight_decay: float = 4e-5
    decay_norm: bool = True
    """Decay norms and biases as well, as the references do."""
    clip: float = 0.0
    """The largest norm of a step's gradient (0: any)."""
    ema: float = 0.0
    """Decay of a moving average of the detector, which is then evaluated and shipped (0: none)."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """auto: bfloat16 where the hardware multiplies it, on a CPU only without depthwise layers; else float32."""
    accumulate: int = 1
    """Parts that a batch is taken in."""
    sync_bn: bool = False
    """One batch norm over all processes (CUDA)."""
    workers: int = -1
    """Processes that read photos (-1: the cores, at most 8; 0: none)."""
    seed: int = 0
    """Of the first weights, the order of the photos, and the views."""
    evaluate_every: int = 1
    """Epochs between evaluations; the last one is always evaluated."""
    save_every: int = 500
    """Steps between saved states; the end of an epoch is always saved."""
    log_every: int = 20
    """Steps between lines of metrics.jsonl."""
    track: tuple[str, ...] = ("tensorboard",)
    """tensorboard, wandb, mlflow, trackio; or none."""
    cache: str = ""
    """Where manifests and unpacked archives are kept (default: $LIMBECK_CACHE or ~/.cache/limbeck)."""
    verb: Suppress[Literal["train"]] = "train"
