"""The model of any checkpoint, whatever it is for."""

from pathlib import Path
from typing import Any

from limbeck.checkpoints.detector_card import is_detector
from limbeck.checkpoints.loaded import load as load_classifier
from limbeck.checkpoints.loaded_detector import load_detector


def load(path: str | Path, *, device: str = "cpu") -> Any:
    """A `Loaded` classifier or a `LoadedDetector`, from a run or checkpoint folder: what its card says that it is.

    The device is `cpu`, `cuda`, `mps`, or `auto` for the best there is.

    >>> load("no/such/run")
    Traceback (most recent call last):
    limbeck.errors.CheckpointError: no checkpoint in no/such/run
      expected: model.safetensors and card.json, in this folder or in its folder student
      try:      limbeck distill --images PHOTOS --teacher TEACHER --student STUDENT --out RUN
    """
    return (load_detector if is_detector(path) else load_classifier)(path, device=device)
