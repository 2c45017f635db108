"""What `limbeck bench` measures: a run or checkpoint, a detector's recipe, or a network by name."""

from dataclasses import dataclass, replace
from pathlib import Path

from limbeck.checkpoints.card import Card, is_checkpoint, named
from limbeck.checkpoints.detector_card import DetectorCard, is_detector
from limbeck.checkpoints.loaded import Loaded, load
from limbeck.checkpoints.loaded_detector import LoadedDetector, load_detector
from limbeck.checkpoints.pixels import device_named
from limbeck.classification.models import preprocess_of
from limbeck.commands.train_model import look_of, student_of
from limbeck.detection.detector import design
from limbeck.errors import UnknownName, nearest
from limbeck.recipes import TRAIN
from limbeck.recipes.published_detectors import train_recipes

_GPUS = 8  # that share a batch of the published recipes
_BATCH, _CLASSES, _THOUSAND = 32, 80, 1000


@dataclass(frozen=True)
class Measured:
    """A model, the images of a training step, and what is published of its recipe.

    A run's own batch is that of all its processes and parts: how many they were is not told by a checkpoint.
    """

    loaded: Loaded | LoadedDetector
    batch: int
    fps: float | None = None
    memory: float | None = None


def measured(name: str, device: str) -> Measured:
    """The model that a path or a name means; random weights where it has none."""
    path = Path(name).expanduser()
    if is_checkpoint(path):
        if not is_detector(path):
            classifier = load(path, device=device)
            return Measured(classifier, int(classifier.card.provenance.get("batch") or _BATCH))
        detector = load_detector(path, device=device)
        told = detector.card.provenance
        return of_recipe(detector, str(told.get("recipe", "")), int(told.get("batch") or _BATCH))
    if name in TRAIN:
        return of_recipe(untrained(name, device), name, train_recipes(name)[0].options.batch)
    try:
        return Measured(random_classifier(name, device), _BATCH)
    except UnknownName as error:
        near = nearest(name, TRAIN)
        if not near:
            raise
        raise UnknownName(
            f"no run, recipe or model is called '{name}'",
            expected=f"{', '.join(near)}, or {error.expected}",
            hint=f"limbeck bench {near[0]}",
        ) from None


def of_recipe(detector: LoadedDetector, recipe: str, batch: int) -> Measured:
    """Beside what is published of a recipe, whose batch eight GPUs share; a recipe may have been trained with another
    detector, or at another size."""
    found = train_recipes(recipe)[0] if recipe in TRAIN else None
    told = found.published if found else None
    if found is None or told is None or told.fps is None:
        return Measured(detector, batch)
    options = found.options
    if (detector.card.detector, detector.look.size) != (options.detector, look_of(options).size):
        return Measured(detector, batch)
    return Measured(detector, max(1, options.batch // _GPUS), told.fps, told.memory)


def untrained(recipe: str, device: str) -> LoadedDetector:
    options = replace(train_recipes(recipe)[0].options, pretrained=False)
    options = options if design(options.detector).strides else replace(options, backbone="")
    model, backbone, look = student_of(options, _CLASSES)
    names = tuple(str(number) for number in range(_CLASSES))
    card = DetectorCard(options.detector, backbone, names, range(_CLASSES), look)
    return LoadedDetector(model.eval().to(device_named(device)), names, look, card)


def random_classifier(name: str, device: str) -> Loaded:
    architecture = named(name, classes=_THOUSAND)
    model = architecture.build()
    names = tuple(str(number) for number in range(_THOUSAND))
    look = preprocess_of(model)
    return Loaded(model.eval().to(device_named(device)), names, look, Card(vars(architecture), names, look))
