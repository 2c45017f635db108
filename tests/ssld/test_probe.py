"""What is asked of held-out and labelled photos, and how often."""

from pathlib import Path

import pytest
import torch
from torch import nn

from limbeck.divergence import js
from limbeck.images.imageset import ImageSet
from limbeck.records import Preprocess, SoftLabels
from limbeck.ssld.probe import Probe, answers_of, epochs_between
from limbeck.ssld.step import StudentInput, best_class
from tests.commands.tiny import draw

INPUTS = StudentInput(Preprocess((32, 32)), "float32")
CPU = torch.device("cpu")


class Alone:
    """One process."""

    def sum(self, values: tuple[float, ...]) -> list[float]:
        return [float(value) for value in values]


@pytest.fixture
def student() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 5))


@pytest.fixture
def probe(tmp_path: Path) -> Probe:
    photos = ImageSet.open(draw(tmp_path / "photos", 3), shown=False)
    answers = torch.randn(len(photos), 5, generator=torch.Generator().manual_seed(1)).log_softmax(1)
    return Probe(photos, SoftLabels(None, answers, torch.full((len(photos),), -torch.inf), 5))


def test_what_is_seen_is_what_the_student_answers(probe: Probe, student: nn.Module) -> None:
    seen = probe.look(student, INPUTS, CPU, 0)
    ((logits, _),) = answers_of(student, INPUTS, probe.photos, CPU, 0)
    assert seen.rows.tolist() == list(range(12))
    assert torch.equal(seen.best[:, 0], logits.argmax(1))
    torch.testing.assert_close(seen.probability, logits.softmax(1).topk(3).values)
    torch.testing.assert_close(seen.distance, js(logits, probe.answers, reduction="none"))
    numbers = probe.numbers(seen, Alone())  # type: ignore[arg-type]
    assert numbers["probe_js"] == pytest.approx(float(js(logits, probe.answers)), rel=1e-5)
    assert numbers["probe_agreement"] == int((logits.argmax(1) == best_class(probe.answers)).sum()) / 12


def test_the_shares_of_the_processes_are_the_whole(probe: Probe, student: nn.Module) -> None:
    whole = probe.look(student, INPUTS, CPU, 0)
    shares = [probe.look(student, INPUTS, CPU, 0, rank, 5) for rank in range(5)]
    order = torch.cat([share.rows for share in shares]).argsort()
    assert torch.equal(torch.cat([share.agrees for share in shares])[order], whole.agrees)
    torch.testing.assert_close(torch.cat([share.distance for share in shares])[order], whole.distance)


def test_a_process_without_a_share_has_seen_nothing(probe: Probe, student: nn.Module) -> None:
    seen = probe.look(student, INPUTS, CPU, 0, rank=12, world=13)
    assert probe.numbers(seen, Alone()) == {"probe_js": 0.0, "probe_agreement": 0.0}  # type: ignore[arg-type]


@pytest.mark.parametrize("steps", [1, 2, 7, 19, 20, 500])
@pytest.mark.parametrize("evaluated", [0, 10, 2000, 50_000])
def test_an_evaluation_costs_little_beside_the_steps(steps: int, evaluated: int) -> None:
    epochs = epochs_between(steps, 64, evaluated)
    assert epochs * steps >= 20
    assert epochs * steps * 64 >= 10 * evaluated
    fewer = (epochs - 1) * steps
    assert epochs == 1 or fewer < 20 or fewer * 64 < 10 * evaluated, "no more than is needed"
