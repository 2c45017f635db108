"""The one training loop. It never learns what it trains."""

import time
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path

import torch
from torch import Tensor, nn

from limbeck.errors import Interrupted, NonFiniteLoss
from limbeck.step import Step
from limbeck.training.attempt import Batch, Pass, forward_backward
from limbeck.training.ema import Average
from limbeck.training.frozen import freeze, rest
from limbeck.training.log import Log
from limbeck.training.optimizer import set_rate, sgd
from limbeck.training.plan import Plan
from limbeck.training.ranks import Ranks
from limbeck.training.schedule import learning_rate
from limbeck.training.state import Progress, load_state, save_state, state_file
from limbeck.training.stopping import Stopping
from limbeck.training.window import Window

# (steps done, images replaced so far) -> the batches from there on
Batches = Callable[[int, dict[int, int]], Generator[Batch, None, None]]
# (the student as it would be shipped, steps done) -> numbers by name
Evaluate = Callable[[nn.Module, int], dict[str, float]]
# called before every save: what must be on disk before the state is
Settle = Callable[[], None]


def fit(
    step: Step, batches: Batches, plan: Plan, evaluate: Evaluate, out: Path, ranks: Ranks, settle: Settle = lambda: None
) -> nn.Module:
    """Train `step.student` by the plan, from the run's saved state when there is one; the model to ship comes back."""
    ranks.share(step.student)
    frozen = freeze(step.student, plan.rates)
    optimizer = sgd(step.student, plan)
    average = Average(step.student, plan.ema) if plan.ema else None
    progress = Progress(parts=plan.accumulate)
    if state_file(out).exists():
        progress = load_state(out, step, optimizer, average)
    shipped = average.model if average else step.student

    def save() -> None:
        settle()
        progress.replaced = ranks.union(progress.replaced)  # and every process has settled
        if ranks.first:
            save_state(out, step, optimizer, average, progress)

    window = Window()
    with (
        Stopping(launched=ranks.world > 1) as stopping,  # until the workers have ended too
        closing(batches(progress.done, progress.replaced)) as stream,
        Log(out, plan, ranks, done=progress.done) as log,
    ):
        while progress.done < plan.steps:
            waited = time.monotonic()
            batch = next(stream)
            waited = time.monotonic() - waited
            progress.replaced.update(batch.replaced)

            rate = learning_rate(plan, progress.done)
            set_rate(optimizer, rate)
            rest(frozen)
            draws = (plan.seed * 1_000_003 + progress.done) * 4096 + ranks.rank
            trial = forward_backward(step, batch, progress.parts, ranks, seed=draws % 2**63)
            progress.parts = trial.parts
            average_gradients(step, ranks)
            norm = ensure_finite(step, trial, batch, progress.done, out, ranks)
            if plan.clip:
                torch.nn.utils.clip_grads_with_norm_(step.student.parameters(), plan.clip, norm)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            if average:
                average.update(step.student, progress.done)
            progress.done += 1
            window.add(trial, len(batch) * ranks.world, waited)

            (stop,) = ranks.any(bool(stopping))
            if progress.done % plan.log_every == 0 or plan.ends_epoch(progress.done):
                log.write(progress.done, window.close(ranks) | {"lr": rate})
            if plan.ends_epoch(progress.done) and due(plan, progress.done):
                ranks.share_buffers(shipped)
                if numbers := evaluate(shipped, progress.done):
                    log.write(progress.done, numbers)
            if progress.done % plan.save_every == 0 or plan.ends_epoch(progress.done) or stop:
                save()
            log.show(progress.done, finish=progress.done == plan.steps)
            if stop:
                break
        (stop,) = ranks.any(bool(stopping))  # one that came with the last evaluation, too
        if stop:
            raise Interrupted(f"stopped after step {progress.done:,} of {plan.steps:,}; everything is saved")
    ranks.share_buffers(shipped)
    return shipped


def average_gradients(step: Step, ranks: Ranks) -> None:
    """The mean gradient over the processes."""
    ranks.average([p.grad for p in step.student.parameters() if p.grad is not None])


def due(plan: Plan, done: int) -> bool:
    return plan.epoch_of(done) % plan.evaluate_every == 0 or done == plan.steps


def ensure_finite(step: Step, trial: Pass, batch: Batch, done: int, out: Path, ranks: Ranks) -> Tensor:
    """Stop before the weights are touched when a loss or a gradient is not finite; else the gradient's norm."""
    gradients = [p.grad for p in step.student.parameters() if p.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients)
    loss = torch.stack([*trial.losses.values(), norm.to(next(iter(trial.losses.values())).device)])
    (broken,) = ranks.any(not bool(torch.isfinite(loss).all()))
    if not broken:
        return norm
    names = batch.names()
    listed = out / f"nonfinite-{ranks.rank}.txt"
    listed.write_text("\n".join(names) + "\n")
    values = ", ".join(f"{name} {float(value):.4g}" for name, value in trial.losses.items())
    raise NonFiniteLoss(
        f"step {done + 1}: {values}, gradient norm {float(norm):.4g}; images: {', '.join(names[:3])}, ... "
        f"(all {len(names)} in {listed})",
        expected="finite numbers; the weights were not touched, the last saved state is good",
        hint="another --out with a lower --lr or --precision float32; or take those images away",
    )
