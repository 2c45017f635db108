"""The teacher of bench/cifar.py: a plain supervised loop on all 50,000 labelled CIFAR-10 photos, kept in safetensors.

python bench/cifar_teacher.py --data ../shared/data --out .bench/cifar/teacher.safetensors --epochs 12
"""

import argparse
import io
import tarfile
import time
from pathlib import Path

import numpy as np
import timm
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from cifar_models import SmallNet


def read_photos(archive: Path) -> tuple[Tensor, Tensor]:
    """All photos of an archive of class folders, uint8 [N, 3, 32, 32], and their classes."""
    photos, names = [], []
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.isfile():
                data = tar.extractfile(member)
                assert data is not None
                photos.append(np.asarray(Image.open(io.BytesIO(data.read())).convert("RGB")))
                names.append(member.name.split("/")[-2])
    classes = sorted(set(names))
    return torch.from_numpy(np.stack(photos)).permute(0, 3, 1, 2).contiguous(), torch.tensor(
        [classes.index(name) for name in names]
    )


def shifted(photos: Tensor) -> Tensor:
    """Each photo shifted by up to four pixels (mirrored border) and flipped with chance one half."""
    padded = F.pad(photos, (4, 4, 4, 4), mode="reflect")
    count = len(photos)
    top, left = torch.randint(0, 9, (2, count))
    rows = top[:, None] + torch.arange(32)
    columns = left[:, None] + torch.arange(32)
    columns = torch.where(torch.rand(count, 1) < 0.5, columns.flip(1), columns)
    pick = torch.arange(count)[:, None, None]
    return padded.permute(0, 2, 3, 1)[pick, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def normalised(photos: Tensor, model: SmallNet) -> Tensor:
    mean = torch.tensor(model.pretrained_cfg["mean"]).view(3, 1, 1)
    std = torch.tensor(model.pretrained_cfg["std"]).view(3, 1, 1)
    return ((photos / 255.0 - mean) / std).contiguous(memory_format=torch.channels_last)


@torch.inference_mode()
def top1(model: SmallNet, photos: Tensor, classes: Tensor) -> float:
    model.eval()
    hits = 0
    for start in range(0, len(photos), 500):
        with torch.autocast("cpu", torch.bfloat16):
            answers = model(normalised(photos[start : start + 500].float(), model))
        hits += int((answers.argmax(1) == classes[start : start + 500]).sum())
    model.train()
    return hits / len(photos)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, required=True)
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--epochs", type=int, default=12)
    options.add_argument("--batch", type=int, default=256)
    options.add_argument("--lr", type=float, default=0.4)
    chosen = options.parse_args()
    torch.manual_seed(0)
    photos, classes = read_photos(chosen.data / "cifar10_train.tar.gz")
    test_photos, test_classes = read_photos(chosen.data / "cifar10_test.tar.gz")
    model = timm.create_model("cifar_teacher").to(memory_format=torch.channels_last)
    steps = chosen.epochs * (len(photos) // chosen.batch)
    optimizer = torch.optim.SGD(model.parameters(), chosen.lr, 0.9, weight_decay=5e-4, nesterov=True, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, chosen.lr, steps, pct_start=0.25, anneal_strategy="linear"
    )
    start = time.time()
    for epoch in range(chosen.epochs):
        for rows in torch.randperm(len(photos))[: len(photos) // chosen.batch * chosen.batch].split(chosen.batch):
            with torch.autocast("cpu", torch.bfloat16):
                answers = model(normalised(shifted(photos[rows].float()), model))
            loss = F.cross_entropy(answers.float(), classes[rows], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        score = top1(model, test_photos, test_classes)
        print(
            f"epoch {epoch + 1}: loss {loss.item():.3f}, test top-1 {score:.4f}, {time.time() - start:.0f} s",
            flush=True,
        )
        chosen.out.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: value.contiguous() for name, value in model.state_dict().items()}, chosen.out)


if __name__ == "__main__":
    main()
