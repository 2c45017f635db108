"""Train the toy in this process, or as one of several, and write the gradients of each step: record.py OUT [norm]."""

import sys
from dataclasses import replace
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from limbeck.training import loop
from tests.training.toy import PLAN, Toy, ranks, stream


def main(out: Path, norm: bool) -> None:
    here = ranks()
    gradients: dict[str, Tensor] = {}
    checked = loop.ensure_finite

    def recorded(step, trial, batch, done, *rest) -> None:
        checked(step, trial, batch, done, *rest)
        for name, parameter in step.student.named_parameters():
            gradients[f"{done}/{name}"] = parameter.grad.clone()

    loop.ensure_finite = recorded
    out.mkdir(exist_ok=True)

    def batches(done: int, replaced: dict[int, int]):
        return stream(done, replaced, here.rank, here.world)

    seen = []
    plan = replace(PLAN, steps=20)

    def evaluate(model, done: int) -> dict[str, float]:
        seen.append({name: value.clone() for name, value in model.named_buffers()})
        return {}

    loop.fit(Toy(norm=norm, dropout=0.0), batches, plan, evaluate, out, here)
    save_file(gradients, out / f"gradients-{here.rank}.safetensors")
    save_file(dict(seen[-1]), out / f"buffers-{here.rank}.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]), "norm" in sys.argv[2:])
