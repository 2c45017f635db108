"""How good a student is: the same test for all, whatever tool it comes from."""

from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from cifar_models import SmallNet, cifar_student
from peers.common import MEAN, STD


@cache
def read_photos(folder: Path) -> tuple[Tensor, Tensor]:
    """All photos of class folders as the networks take them, and their classes."""
    files = sorted(folder.glob("*/*.jpg"))
    names = sorted({file.parent.name for file in files})
    pixels = torch.from_numpy(np.stack([np.asarray(Image.open(file).convert("RGB")) for file in files]))
    photos = (pixels / 255.0 - torch.tensor(MEAN)) / torch.tensor(STD)
    return photos.permute(0, 3, 1, 2), torch.tensor([names.index(file.parent.name) for file in files])


@torch.inference_mode()
def features(student: SmallNet, photos: Tensor) -> Tensor:
    student.eval()
    return torch.cat([student.stages(part).mean((2, 3)) for part in photos.split(500)])


def linear_head(inputs: Tensor, classes: Tensor, decay: float) -> torch.nn.Linear:
    """Logistic regression on standardised features."""
    head = torch.nn.Linear(inputs.shape[1], 10)
    torch.nn.init.zeros_(head.weight)
    optimizer = torch.optim.LBFGS(head.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(head(inputs), classes) + decay * head.weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return head


def score(weights: Path, few: Path, test: Path) -> dict[str, float]:
    """Test top-1 in percent of the student's own head, and of a linear head learnt from the few labelled photos."""
    student = cifar_student()
    student.load_state_dict(load_file(weights))
    photos, truth = read_photos(few)
    test_photos, test_truth = read_photos(test)
    known, asked = features(student, photos).clone(), features(student, test_photos).clone()
    with torch.inference_mode():
        own = 100 * float((student.head(asked).argmax(1) == test_truth).float().mean())
    mean, deviation = known.mean(0), known.std(0) + 1e-6
    heads = [linear_head((known - mean) / deviation, truth, decay) for decay in (1e-4, 1e-3, 1e-2)]
    with torch.inference_mode():
        answers = [head((asked - mean) / deviation).argmax(1) for head in heads]
    linear = max(100 * float((answer == test_truth).float().mean()) for answer in answers)
    return {"top1": own, "linear": linear}
