"""lightly-train's distillationv3: features of the teacher, no label. `gentle`: views like the others'."""

from pathlib import Path
from typing import Any

import lightly_train
import torch
from safetensors.torch import load_file

from peers.common import CROP, MEAN, STD, read_job


def main() -> None:
    job = read_job()
    teacher = job.folder / "teacher.pt"
    torch.save(load_file(job.teacher), teacher)
    views: dict[str, Any] = {"image_size": (32, 32), "normalize": {"mean": MEAN, "std": STD}}
    if job.variant == "gentle":
        views |= {"random_resize": {"min_scale": CROP[0]}, "color_jitter": None, "random_gray_scale": None}
        views |= {"gaussian_blur": None}
    epoch = len(list(Path(job.photos).glob("*/*"))) // job.batch
    lightly_train.pretrain(
        out=job.folder / "run", data=job.photos, batch_size=job.batch, num_workers=0, seed=job.seed,
        epochs=-(-job.steps // epoch), trainer_args={"max_steps": job.steps},
        model="timm/peer_student", model_args={"checkpoint_path": job.start},
        method="distillationv3",
        method_args={"teacher": "timm/peer_teacher", "teacher_weights": str(teacher),
                     "teacher_args": {"num_classes": 10}},
        # its weight decay for convolutions with batch norm, which it cannot tell of an architecture it does not know
        optim_args={"lr": job.rate, "weight_decay": 1e-6},
        transform_args=views, accelerator="cpu", overwrite=True,
    )  # fmt: skip
    job.deliver(torch.load(job.folder / "run" / "exported_models" / "exported_last.pt", weights_only=True))


if __name__ == "__main__":
    main()
