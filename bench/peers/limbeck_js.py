"""limbeck distill with its defaults (JS, SGD, cosine): no label is read."""

from safetensors.torch import load_file

import limbeck
from peers.common import CROP, read_job


def main() -> None:
    job = read_job()
    options = {"images": job.photos, "teacher": "peer_teacher", "teacher_weights": job.teacher}
    options |= {"student": "peer_student", "student_weights": job.start, "steps": job.steps, "batch": job.batch}
    options |= {"teacher_precision": "float32"} if job.variant == "float32" else {}
    run = job.folder / "run"
    limbeck.distill(
        **options, out=run, lr=job.rate, seed=job.seed, view_seed=job.seed, weight_decay=1e-4, crop_scale=CROP,
        warmup_epochs=1.0, probe=0.0, workers=0, track="none",
    )  # fmt: skip
    job.deliver(load_file(run / "student" / "model.safetensors"))


if __name__ == "__main__":
    main()
