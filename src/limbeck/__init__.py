"""limbeck pours a large vision model into a small one.

import limbeck

student = limbeck.distill(images="photos", teacher="resnet50d", student="mobilenetv3_large_100", out="runs/mobile")
student.predict("photos/cat.jpg")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from limbeck.checkpoints.backbone import backbone
    from limbeck.checkpoints.opening import load
    from limbeck.commands.bench import bench
    from limbeck.commands.convert import convert
    from limbeck.commands.demo import demo
    from limbeck.commands.distill import distill
    from limbeck.commands.doctor import doctor
    from limbeck.commands.evaluate import evaluate
    from limbeck.commands.export import export
    from limbeck.commands.finetune import finetune
    from limbeck.commands.models import models
    from limbeck.commands.predict import predict
    from limbeck.commands.select import select
    from limbeck.commands.study import study
    from limbeck.commands.teach import teach
    from limbeck.commands.train import train
    from limbeck.commands.upgrade_ssd import upgrade_ssd
    from limbeck.recipes.published import recipes

__all__ = [
    "backbone",
    "bench",
    "convert",
    "demo",
    "distill",
    "doctor",
    "evaluate",
    "export",
    "finetune",
    "load",
    "models",
    "predict",
    "recipes",
    "select",
    "study",
    "teach",
    "train",
    "upgrade_ssd",
]


def __getattr__(name: str) -> Any:
    # imported on use: `import limbeck` and `limbeck --help` stay quick
    if name == "load":
        return import_module("limbeck.checkpoints.opening").load
    if name == "backbone":
        return import_module("limbeck.checkpoints.backbone").backbone
    if name == "recipes":
        return import_module("limbeck.recipes")
    if name in __all__:
        return getattr(import_module(f"limbeck.commands.{name}"), name)
    raise AttributeError(f"module 'limbeck' has no attribute '{name}'")
