"""limbeck finetune: its distilled student goes on, whole, with the few labelled photos."""

from safetensors.torch import load_file

import limbeck
from peers.common import CROP, read_job


def main() -> None:
    job = read_job()
    run = job.folder / "run"
    limbeck.finetune(
        "peer_student", weights=job.start, images=job.photos, out=run, lr=job.rate, seed=job.seed, steps=job.steps,
        batch=job.batch, crop_scale=CROP, val=0.0, workers=0, track="none",
    )  # fmt: skip
    job.deliver(load_file(run / "student" / "model.safetensors"))


if __name__ == "__main__":
    main()
