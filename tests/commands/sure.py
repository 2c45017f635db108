"""A teacher for detectors, made without training."""

from pathlib import Path

import torch

from limbeck.checkpoints.detector_card import DetectorCard, save_detector
from limbeck.classification.models import Architecture
from limbeck.detection.dataset import DetectionSet
from limbeck.detection.detector import Look
from limbeck.detection.gfl import GFL


def sure_detector(folder: Path, scenes: Path, sure: float, classes: tuple[str, ...] = (), side: int = 64) -> Path:
    """A GFL that learned nothing, and is as sure of everything as it is told to be."""
    torch.manual_seed(1)
    names = classes or DetectionSet.open(scenes, shown=False).classes
    backbone = vars(Architecture.parse("test_resnet", classes=0))
    look = Look((side, round(side * 1333 / 800)), keep_ratio=True)
    card = DetectorCard("gfl", backbone, names, tuple(range(len(names))), look)
    model = card.build()
    assert isinstance(model, GFL)
    torch.nn.init.constant_(model.class_head.bias, sure)  # type: ignore[arg-type]
    save_detector(folder, model, card)
    return folder
