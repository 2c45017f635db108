"""Makes src/limbeck/checkpoints/signatures.safetensors: names and shapes of every classifier of timm and torchvision.

    python bench/make_signatures.py

Builds each model once without values; ten minutes on one core.
"""

import warnings

import numpy as np
import timm
import torch
import torchvision.models as vision
from safetensors.numpy import save_file

from limbeck.backbones import BACKBONES
from limbeck.checkpoints.signatures import INDEX, UNCOUNTED, digest_of_names, digest_of_shapes, sketch
from limbeck.classification.models import Architecture, outline, timm_names
from limbeck.console import progress

CLASSES = 7919  # a prime that is no width of any model: what has it is the head


def main() -> None:
    names = [f"timm/{name}" for name in timm_names()]
    names += [f"torchvision/{name}" for name in vision.list_models(module=vision)]
    names += [f"limbeck/{name}" for name in BACKBONES]
    groups: dict[tuple[int, tuple[str, ...]], tuple[int, np.ndarray]] = {}
    models, members, shapes_of = [], [], []
    with progress("models", len(names)) as advance:
        for name in names:
            try:
                shapes = shapes_in(name)
            except Exception as error:
                print(f"left out: {name}: {str(error)[:200]}")
                advance()
                continue
            head = tuple(key for key, shape in shapes.items() if CLASSES in shape)
            group, _ = groups.setdefault((digest_of_names(shapes), head), (len(groups), sketch(shapes)))
            models.append(name)
            members.append(group)
            shapes_of.append(digest_of_shapes(shapes, head))
            advance()
    arrays = {
        "models": texts(models),
        "heads": texts([" ".join(head) for _, head in groups]),
        "names": np.array([names for names, _ in groups], np.int64),
        "sketches": np.stack([drawn for _, drawn in groups.values()]),
        "groups": np.array(members, np.int16),
        "shapes": np.array(shapes_of, np.int64),
    }
    save_file(arrays, INDEX, metadata={"timm": timm.__version__, "torch": torch.__version__})
    print(f"{len(models)} models in {len(groups)} groups: {INDEX.stat().st_size / 1e3:.0f} kB")


def shapes_in(name: str) -> dict[str, tuple[int, ...]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        state = outline(Architecture.parse(name, classes=CLASSES)).state_dict()
    return {key: tuple(value.shape) for key, value in state.items() if not key.endswith(UNCOUNTED)}


def texts(lines: list[str]) -> np.ndarray:
    return np.frombuffer("\n".join(lines).encode(), np.uint8)


if __name__ == "__main__":
    main()
