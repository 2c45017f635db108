"""A set as files of a run: who goes on has the photos and boxes that the run began with, whatever became of them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from limbeck.detection.columns import Columns
from limbeck.detection.dataset import DetectionSet
from limbeck.files import write_atomically
from limbeck.images.imageset import ImageSet


def write_set(photos: DetectionSet, folder: Path, name: str) -> None:
    """NAME.arrow, the photos, then NAME.safetensors, their boxes; masks are left out."""
    photos.images.save(folder / f"{name}.arrow")
    columns = {part: values for part, values in vars(photos.columns).items() if isinstance(values, np.ndarray)}
    told = {"classes": photos.classes, "ids": photos.ids, "numbers": photos.numbers, "notes": photos.notes}
    write_atomically(folder / f"{name}.safetensors", save(columns, {"set": json.dumps(told)}))


def read_set(folder: Path, name: str) -> DetectionSet | None:
    """The set that was written there, if one was.

    >>> read_set(Path("nowhere"), "photos") is None
    True
    """
    file = folder / f"{name}.safetensors"
    if not file.exists():
        return None
    with safe_open(file, "np") as opened:
        columns = Columns(**{part: opened.get_tensor(part) for part in opened.keys()})  # noqa: SIM118
        told: dict[str, Any] = json.loads(opened.metadata()["set"])
    listed = {part: tuple(values) for part, values in told.items()}
    return DetectionSet(images=ImageSet(folder / f"{name}.arrow"), columns=columns, **listed)
