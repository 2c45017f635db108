"""torchdistill's DistillationBox with the settings of its CIFAR-10 KD sample: labels, SGD, three drops of the rate."""

from typing import Any

import timm
import torch
from torch.utils.data import RandomSampler
from torchdistill.core.distillation import get_distillation_box
from torchvision import transforms
from torchvision.datasets import ImageFolder

from peers.common import MEAN, STD, Job, read_job


def config(job: Job, epochs: int) -> dict[str, Any]:
    """Its sample's configuration; the milestones are the sample's shares of the whole (60, 120, 160 of 200)."""
    loader = {"batch_size": job.batch, "num_workers": 0, "drop_last": True}
    paths = {f"{model}_module_{what}": value for model in ("student", "teacher")
             for what, value in (("path", "."), ("io", "output"))}  # fmt: skip
    criterion = {"key": "KDLoss", "kwargs": paths | {"temperature": 4.0, "alpha": 0.9, "reduction": "batchmean"}}
    return {
        "num_epochs": epochs,
        "train_data_loader": {"dataset_id": "train", "sampler": {"class_or_func": RandomSampler}, "kwargs": loader},
        "teacher": {"forward_proc": "forward_batch_only", "requires_grad": False},
        "student": {"forward_proc": "forward_batch_only", "requires_grad": True},
        "optimizer": {"key": "SGD", "kwargs": {"lr": job.rate, "momentum": 0.9, "weight_decay": 5e-4}},
        "scheduler": {
            "key": "MultiStepLR",
            "kwargs": {"milestones": [int(job.steps * share) for share in (0.3, 0.6, 0.8)], "gamma": 0.2},
            "scheduling_step": 1,
        },
        "criterion": {
            "key": "WeightedSumLoss",
            "kwargs": {"sub_terms": {"kd": {"criterion": criterion, "weight": 1.0}}},
        },
    }


def main() -> None:
    job = read_job()
    torch.manual_seed(job.seed)
    student = timm.create_model("peer_student", checkpoint_path=job.start)
    teacher = timm.create_model("peer_teacher", checkpoint_path=job.teacher).eval()
    view = transforms.Compose([
        transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip(),
        transforms.ToTensor(), transforms.Normalize(MEAN, STD),
    ])  # fmt: skip
    photos = ImageFolder(job.photos, view)
    epochs = -(-job.steps // (len(photos) // job.batch))
    box = get_distillation_box(
        teacher, student, {"train": photos}, config(job, epochs), torch.device("cpu"), None, False, 1
    )
    done = 0
    for epoch in range(epochs):
        box.pre_epoch_process(epoch=epoch)
        for images, classes, more in box.train_data_loader:
            box.pre_forward_process()
            loss = box.forward_process(images, classes, more)
            box.post_forward_process(loss=loss)
            done += 1
            if done % 100 == 0:
                print(f"step {done}: loss {loss.item():.3f}", flush=True)
            if done == job.steps:
                break
        box.post_epoch_process()
    job.deliver(student.state_dict())


if __name__ == "__main__":
    main()
