"""The loop: learning, resuming to the same bits, running out of memory, and numbers that are not finite."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from limbeck.errors import Interrupted, LimbeckError, NonFiniteLoss
from limbeck.training.log import read_metrics
from limbeck.training.state import read_progress, state_file
from tests.training.toy import PLAN, Toy, Vectors, same, stream, train, vectors


def test_it_learns_one_batch(tmp_path: Path) -> None:
    plan = replace(PLAN, steps=150, steps_per_epoch=150, weight_decay=0.0)
    train(tmp_path, plan, Toy(dropout=0.0), lambda done, replaced: (vectors(0) for _ in range(plan.steps)))
    losses = [record["loss"] for record in read_metrics(tmp_path) if "loss" in record]
    assert losses[-1] < 0.1 < 0.5 < losses[0]


class Stops(Exception):
    pass


@pytest.mark.parametrize("ema", [0.0, 0.9])
@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("stop", [1, 3, 6, 7])
def test_resumed_equals_uninterrupted(tmp_path: Path, stop: int, norm: bool, ema: float) -> None:
    plan = replace(PLAN, ema=ema)
    whole = train(tmp_path / "whole", plan, Toy(norm=norm))

    def cut(done: int, replaced: dict[int, int]):
        for step in range(done, stop):
            yield vectors(step)
        raise Stops

    with pytest.raises(Stops):
        train(tmp_path / "cut", plan, Toy(norm=norm), cut)
    assert read_progress(tmp_path / "cut").done == {1: 0, 3: 3, 6: 6, 7: 6}[stop]
    torch.manual_seed(999)  # what ran before must not matter
    torch.rand(3)
    assert same(whole, train(tmp_path / "cut", plan, Toy(norm=norm)))
    steps = [record["step"] for record in read_metrics(tmp_path / "cut") if "loss" in record]
    assert steps == list(range(1, 9))


def test_ctrl_c_saves_and_goes_on(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole")

    def interrupted(done: int, replaced: dict[int, int]):
        for step in range(done, PLAN.steps):
            if step == 4:
                os.kill(os.getpid(), signal.SIGINT)
            yield vectors(step)

    with pytest.raises(Interrupted, match="after step 5"):
        train(tmp_path / "cut", batches=interrupted)
    assert read_progress(tmp_path / "cut").done == 5
    assert same(whole, train(tmp_path / "cut"))


class Forgetful(Toy):
    """Runs out of memory, in torch's own words, whenever it sees more than `most` rows in one pass."""

    def __init__(self, most: int, where: str) -> None:
        super().__init__(dropout=0.0)
        self.most, self.where, self.failures = most, where, 0

    def forward(self, batch: Vectors) -> dict[str, Tensor]:
        losses = super().forward(batch)
        if len(batch) > self.most:
            self.failures += 1
            if self.where == "forward":
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            losses["cross_entropy"].register_hook(self._fail)
        return losses

    def _fail(self, gradient: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


@pytest.mark.parametrize("where", ["forward", "backward"])
def test_out_of_memory_halves_the_parts_and_keeps_the_batch(tmp_path: Path, where: str, capsys) -> None:
    whole = train(tmp_path / "whole", step=Toy(dropout=0.0))
    step = Forgetful(2, where)
    halved = train(tmp_path / "halved", step=step)
    assert step.failures == 2, "8 rows, then 4; after that the size that fits is kept"
    assert read_progress(tmp_path / "halved").parts == 4
    for name in whole:
        torch.testing.assert_close(halved[name], whole[name], rtol=1e-5, atol=1e-6)
    told = capsys.readouterr().out
    assert "out of memory" in told
    assert "Batch norm now" in told
    again = Forgetful(2, where)
    train(tmp_path / "halved", replace(PLAN, steps=12), again)
    assert again.failures == 0, "a resumed run begins with the size that fitted"


def test_out_of_memory_restores_the_statistics_of_norms(tmp_path: Path) -> None:
    class Once(Toy):
        failed = False

        def forward(self, batch: Vectors) -> dict[str, Tensor]:
            losses = super().forward(batch)
            if not self.failed:
                self.failed = True
                raise torch.OutOfMemoryError("out of memory")
            return losses

    plan = replace(PLAN, steps=1, accumulate=2)
    halves = train(tmp_path / "halves", plan, Toy(norm=True, dropout=0.0))
    once = train(tmp_path / "once", replace(plan, accumulate=1), Once(norm=True, dropout=0.0))
    assert int(once["1.num_batches_tracked"]) == 2
    assert same(halves, once)


def test_out_of_memory_with_one_image_is_told(tmp_path: Path) -> None:
    with pytest.raises(LimbeckError, match="even with one image at a time"):
        train(tmp_path, step=Forgetful(0, "forward"))


def test_other_errors_are_not_taken_for_it(tmp_path: Path) -> None:
    class Broken(Toy):
        def forward(self, batch: Vectors) -> dict[str, Tensor]:
            raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        train(tmp_path, step=Broken())


def test_a_loss_that_is_not_finite_stops_before_the_weights(tmp_path: Path) -> None:
    def poisoned(done: int, replaced: dict[int, int]):
        for step in range(done, PLAN.steps):
            batch = vectors(step)
            if step == 4:
                batch.x[2, 0] = float("nan")
            yield batch

    step = Toy()
    with pytest.raises(NonFiniteLoss, match="step 5") as caught:
        train(tmp_path, step=step, batches=poisoned)
    assert "vector nan" in caught.value.found
    assert "vector nan" in (tmp_path / "nonfinite-0.txt").read_text()
    assert all(bool(torch.isfinite(value).all()) for value in step.student.state_dict().values())
    assert read_progress(tmp_path).done == 4
    assert same(train(tmp_path / "whole"), train(tmp_path))


def test_a_gradient_that_is_not_finite_stops_too(tmp_path: Path) -> None:
    class Steep(Toy):
        def forward(self, batch: Vectors) -> dict[str, Tensor]:
            losses = super().forward(batch)
            root = (self.student[0].weight.sum() * 0).sqrt()  # value 0, slope infinite
            return losses | {"root": root}

    with pytest.raises(NonFiniteLoss, match="gradient norm nan"):
        train(tmp_path, step=Steep())


def test_a_full_disk_keeps_the_last_whole_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train(tmp_path / "whole")
    real = os.fsync
    calls = 0

    def full(handle: int) -> None:
        nonlocal calls
        calls += 1
        if calls > 2:  # the first state is a file and its folder
            raise OSError(28, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LimbeckError, match="no space left"):
        train(tmp_path / "full")
    monkeypatch.undo()
    assert read_progress(tmp_path / "full").done == 3
    assert [path.name for path in state_file(tmp_path / "full").parent.iterdir()] == ["state.safetensors"]
    assert same(whole, train(tmp_path / "full"))


def test_replacements_survive(tmp_path: Path) -> None:
    def replacing(done: int, replaced: dict[int, int]):
        assert replaced == ({} if done == 0 else {7: 8})
        for step in range(done, 5 if done == 0 else PLAN.steps):
            yield replace(vectors(step), replaced={7: 8} if step == 1 else {})
        if done == 0:
            raise Stops

    with pytest.raises(Stops):
        train(tmp_path, batches=replacing)
    train(tmp_path, batches=replacing)
    assert read_progress(tmp_path).replaced == {7: 8}


def test_metrics_are_json_and_a_cut_line_is_forgotten(tmp_path: Path) -> None:
    train(tmp_path, replace(PLAN, steps=4))
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 5, "lo')
    train(tmp_path)
    records = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records if "loss" in record] == list(range(1, 9))
    assert {"loss", "accuracy", "lr", "images_per_second", "data_wait", "epoch"} <= set(records[0])


def test_the_evaluation_sees_the_average(tmp_path: Path) -> None:
    step = Toy()
    averaged = train(tmp_path, replace(PLAN, ema=0.9), step)
    assert not same(averaged, dict(step.student.state_dict()))


def test_stream_is_pure() -> None:
    assert torch.equal(next(stream(3, {})).x, vectors(3).x)


def test_a_gradient_is_clipped_to_its_largest_norm(tmp_path: Path) -> None:
    plan = replace(PLAN, steps=1, steps_per_epoch=1, warmup=0, momentum=0.0, weight_decay=0.0, lr=1.0)

    def moved(clip: float) -> float:
        step = Toy(dropout=0.0)
        before = [parameter.detach().clone() for parameter in step.student.parameters()]
        train(tmp_path / str(clip), replace(plan, clip=clip), step)
        after = [parameter.detach() for parameter in step.student.parameters()]
        return float(torch.stack([(a - b).square().sum() for a, b in zip(after, before, strict=True)]).sum().sqrt())

    free = moved(0.0)
    assert moved(2 * free) == free
    assert moved(free / 4) == pytest.approx(free / 4, rel=1e-4)
