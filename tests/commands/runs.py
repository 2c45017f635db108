"""Runs and photos that the command tests ask about."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from limbeck.checkpoints.card import Card, save
from limbeck.classification.models import build
from limbeck.images.prepare import to_input
from limbeck.records import Preprocess

COLOURS = {"red": (200, 40, 40), "green": (40, 200, 40), "blue": (40, 40, 200)}
LOOK = Preprocess((32, 32))


def draw_photos(root: Path, *, each: int = 4, folders: bool = True) -> Path:
    """Noisy photos of three colours, in a folder for each colour or all in one."""
    rng = np.random.default_rng(0)
    for colour, rgb in COLOURS.items():
        folder = root / colour if folders else root
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(each):
            pixels = np.clip(rng.normal(rgb, 30, (48, 64, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{colour}_{number}.jpg")
    return root


def make_run(run: Path, classes: tuple[str, ...] = tuple(COLOURS), *, seed: int = 0, **config: Any) -> Path:
    """A run whose student has learned the three colours; class i is the i-th colour, whatever it is called."""
    torch.manual_seed(seed)
    model = build("test_resnet", classes=len(COLOURS))
    labels = torch.arange(24) % len(COLOURS)
    plain = torch.tensor(list(COLOURS.values()))[labels][:, :, None, None]
    images = (plain + torch.randn(24, 3, 32, 32) * 30).clamp(0, 255).to(torch.uint8)
    inputs = to_input(images, LOOK.size, LOOK.mean, LOOK.std)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    for _ in range(40):
        loss = torch.nn.functional.cross_entropy(model(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    save(run / "student", model, Card({"builder": "timm", "name": "test_resnet", "args": {}}, classes, LOOK))
    if config:
        (run / "config.json").write_text(json.dumps(config))
    return run
