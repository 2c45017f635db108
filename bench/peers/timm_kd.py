"""timm's LogitDistillationTask in a plain loop over its own loader, with labels and its train script's defaults."""

from contextlib import nullcontext

import timm
import torch
from timm.data import create_dataset, create_loader
from timm.loss import LabelSmoothingCrossEntropy
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.task import LogitDistillationTask

from peers.common import CROP, MEAN, STD, read_job


def main() -> None:
    job = read_job()
    torch.manual_seed(job.seed)
    student = timm.create_model("peer_student", checkpoint_path=job.start).train()
    teacher = timm.create_model("peer_teacher", checkpoint_path=job.teacher)
    loader = create_loader(
        create_dataset("", root=job.photos), (3, 32, 32), job.batch, is_training=True, scale=CROP, color_jitter=0.0,
        mean=MEAN, std=STD, num_workers=0, use_prefetcher=False, persistent_workers=False, device=torch.device("cpu"),
    )  # fmt: skip
    task = LogitDistillationTask(student, teacher, LabelSmoothingCrossEntropy(0.1), temperature=4.0)
    optimizer = create_optimizer_v2(student, opt="sgd", lr=job.rate, momentum=0.9, weight_decay=2e-5)
    epochs = -(-job.steps // len(loader))
    schedule, _ = create_scheduler_v2(
        optimizer,
        "cosine",
        epochs,
        warmup_epochs=epochs / 10,
        step_on_epochs=False,
        updates_per_epoch=-(-job.steps // epochs),
    )
    fast = job.variant == "bfloat16"  # --amp --amp-dtype bfloat16 --channels-last of its train script
    if fast:
        task = task.to(memory_format=torch.channels_last)
    done = 0
    while done < job.steps:
        for photos, classes in loader:
            with torch.autocast("cpu", torch.bfloat16) if fast else nullcontext():
                loss = task(photos.contiguous(memory_format=torch.channels_last) if fast else photos, classes)["loss"]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            done += 1
            schedule.step_update(done)
            if done % 100 == 0:
                print(f"step {done}: loss {loss.item():.3f}", flush=True)
            if done == job.steps:
                break
    job.deliver(student.state_dict())


if __name__ == "__main__":
    main()
