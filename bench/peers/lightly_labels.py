"""lightly-train's train_image_classification: its distilled student goes on, whole, with the few labelled photos."""

from pathlib import Path

import lightly_train
import torch
from safetensors.torch import load_file

from peers.common import MEAN, STD, read_job


def main() -> None:
    job = read_job()
    start = job.folder / "start.pt"
    torch.save(load_file(job.start), start)
    classes = dict(enumerate(sorted(folder.name for folder in Path(job.photos).iterdir())))
    lightly_train.train_image_classification(
        out=job.folder / "run", data={"train": job.photos, "val": job.photos, "classes": classes},
        # its own warm-up, 500 steps, would never end here
        model="timm/peer_student",
        model_args={"backbone_weights": str(start), "lr": job.rate, "lr_warmup_steps": job.steps // 10},
        steps=job.steps, batch_size=job.batch, gradient_accumulation_steps=1, num_workers=0, seed=job.seed,
        transform_args={"image_size": (32, 32), "normalize": {"mean": MEAN, "std": STD}},
        logger_args={"val_every_num_steps": job.steps}, accelerator="cpu", overwrite=True,
    )  # fmt: skip
    model = lightly_train.load_model(job.folder / "run" / "exported_models" / "exported_last.pt")
    student = model.backbone.get_model()
    student.head = model.class_head
    job.deliver(student.state_dict())


if __name__ == "__main__":
    main()
