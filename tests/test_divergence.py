"""The distances against float64 autograd through the textbook formulas, and against the SSLD authors' own numbers."""

import json
import math
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from limbeck.divergence import DIVERGENCES, divergence, jeffreys, js, kl, soft_ce
from limbeck.errors import OptionError, UnknownName
from limbeck.records import SoftLabels

Loss = Callable[..., Tensor]

EXACT: dict[str, Loss] = {
    "js": js,
    "jeffreys": lambda s, t, **options: jeffreys(s, t, eps=0, **options),
    "kl": kl,
    "soft-ce": soft_ce,
}
NAMES = [*EXACT, "jeffreys+eps"]
LOSSES: dict[str, Loss] = {**EXACT, "jeffreys+eps": jeffreys}


def reference(name: str, student: Tensor, log_teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Losses of the rows and the gradient of their sum, float64; the teacher is given as log-probabilities."""
    s = student.detach().double().requires_grad_()
    x, y = s.log_softmax(1), log_teacher.double()
    p, q = x.exp(), y.exp()
    if name == "js":
        m = torch.logaddexp(x, y) - math.log(2)
        losses = (p * (x - m) + torch.where(q > 0, q * (y - m), 0)).sum(1) / 2
    elif name == "jeffreys":
        losses = ((q - p) * (y - x)).sum(1) / 2
    elif name == "jeffreys+eps":
        losses = ((q - p) * ((q + 1e-10).log() - (p + 1e-10).log())).sum(1) / 2
    elif name == "kl":
        losses = torch.where(q > 0, q * (y - x), 0).sum(1)
    else:
        losses = -(q * x).sum(1)
    losses.sum().backward()
    assert s.grad is not None
    return losses.detach(), s.grad


def check(name: str, student: Tensor, teacher: Tensor | SoftLabels, log_teacher: Tensor, tolerance: float) -> None:
    student = student.clone().requires_grad_()
    losses = LOSSES[name](student, teacher, reduction="none")
    losses.sum().backward()
    expected, gradient = reference(name, student, log_teacher)
    assert losses.dtype == torch.float32
    assert student.grad is not None
    assert torch.isfinite(student.grad).all()
    # terms of order 1 cancel in KL and in cross-entropy: their rounding stays, however small the loss is
    rounding = 5e-7 * (name in ("kl", "soft-ce"))
    assert (losses.double() - expected).abs().max().item() <= tolerance * expected.abs().max().item() + rounding
    error = (student.grad.double() - gradient).abs().max() / gradient.abs().max().clamp(min=1e-30)
    assert error.item() <= max(tolerance, 2 * torch.finfo(student.dtype).eps)


def logits(classes: int, scale: float, seed: int, rows: int = 7) -> Tensor:
    return torch.randn(rows, classes, generator=torch.Generator().manual_seed(seed)) * scale


def expand(labels: SoftLabels) -> Tensor:
    """Sparse labels as dense float64 log-probabilities."""
    if labels.index is None:
        return labels.log_probability.double()
    others = max(labels.classes - labels.index.shape[1], 1)
    dense = (labels.log_rest.double() - math.log(others)).unsqueeze(1).repeat(1, labels.classes)
    return dense.scatter(1, labels.index, labels.log_probability.double())


def top(teacher: Tensor, keep: int) -> SoftLabels:
    log_probability = teacher.double().log_softmax(1)
    best, index = log_probability.topk(keep, 1)
    rest = log_probability.exp().scatter(1, index, 0).sum(1).log()
    return SoftLabels(index, best.float(), rest.float(), teacher.shape[1])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("classes", [2, 10, 1000])
@pytest.mark.parametrize("scale", [0.1, 1.0, 5.0])
def test_values_and_gradients_are_those_of_float64(name: str, classes: int, scale: float) -> None:
    student, teacher = logits(classes, scale, 1), logits(classes, 2 * scale, 2)
    check(name, student, teacher, teacher.double().log_softmax(1), 5e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("offset", [0.0, 300.0])
def test_pairs_that_nearly_agree_keep_their_gradient(name: str, offset: float) -> None:
    teacher = logits(1000, 3.0, 3) + offset
    student = teacher + logits(1000, 1e-3, 4)
    tolerance = 5e-4 if name == "js" else 5e-3
    check(name, student, teacher, teacher.double().log_softmax(1), tolerance)
    assert abs(js(student, student.clone()).item()) < 1e-9


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_saturated_logits_stay_finite_and_right(name: str, classes: int) -> None:
    student = 1e4 * logits(classes, 1.0, 5).sign()
    teacher = 1e4 * logits(classes, 1.0, 6).sign()
    student[0], teacher[0] = 0.0, 0.0  # opposite certainties
    student[0, 0], teacher[0, 1] = 1e4, 1e4
    student[1] = teacher[1]
    check(name, student, teacher, teacher.double().log_softmax(1), 5e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_logits_are_computed_in_float32(name: str, dtype: torch.dtype) -> None:
    student, teacher = logits(100, 4.0, 7).to(dtype), logits(100, 6.0, 8).to(dtype)
    check(name, student, teacher, teacher.double().log_softmax(1), 5e-6)
    far = torch.full((2, 5), -1e4, dtype=dtype)
    far[0, 0], far[1, 3] = 1e4, 1e4
    check(name, far, far.flip(1), far.flip(1).double().log_softmax(1), 5e-6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = LOSSES[name](student, teacher)
    assert torch.equal(inside, LOSSES[name](student, teacher))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("classes", "keep"), [(2, 1), (10, 1), (10, 10), (1000, 1), (1000, 10), (1000, 1000)])
def test_sparse_teachers_equal_their_dense_expansion(name: str, classes: int, keep: int) -> None:
    student, labels = logits(classes, 2.0, 9), top(logits(classes, 4.0, 10), keep)
    check(name, student, labels, expand(labels), 5e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("keep", [1, 10])
def test_sparse_teachers_saturated_and_in_near_agreement(name: str, keep: int) -> None:
    labels = top(1e4 * logits(100, 1.0, 11).clamp(-1, 1), keep)
    labels = SoftLabels(labels.index, labels.log_probability, labels.log_rest.clamp(min=-30.0), 100)
    check(name, 1e4 * logits(100, 1.0, 12).sign(), labels, expand(labels), 2e-5)
    labels = top(logits(100, 2.0, 13), keep)
    tolerance = 1e-3 if name == "js" else 5e-3
    check(name, expand(labels).float() + logits(100, 1e-3, 14), labels, expand(labels), tolerance)


@pytest.mark.parametrize("name", ["js", "jeffreys+eps", "kl", "soft-ce"])
@pytest.mark.parametrize("keep", [1, 3])
def test_a_remainder_of_zero_gives_the_other_classes_nothing(name: str, keep: int) -> None:
    index = torch.arange(7).unsqueeze(1) + torch.arange(keep)
    labels = SoftLabels(index, torch.full((7, keep), -math.log(keep)), torch.full((7,), -math.inf), 12)
    check(name, logits(12, 3.0, 15), labels, expand(labels), 5e-6)


def test_all_classes_kept_without_an_index_is_a_dense_teacher() -> None:
    student, teacher = logits(10, 2.0, 16), logits(10, 3.0, 17)
    labels = SoftLabels(None, teacher.log_softmax(1), torch.full((7,), -math.inf), 10)
    for loss in LOSSES.values():
        assert torch.allclose(loss(student, labels), loss(student, teacher), rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_the_chunk_size_changes_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    student, teacher = logits(1000, 2.0, 18, rows=11), logits(1000, 3.0, 19, rows=11)
    for answers in (teacher, top(teacher, 10)):
        whole = _values(name, student, answers)
        monkeypatch.setattr("limbeck.divergence.CHUNK_ON_CPU", 4000)
        chunked = _values(name, student, answers)
        assert torch.allclose(chunked[0], whole[0], rtol=1e-6)
        assert torch.allclose(chunked[1], whole[1], rtol=1e-6, atol=1e-9)


def _values(name: str, student: Tensor, teacher: Tensor | SoftLabels) -> tuple[Tensor, Tensor]:
    student = student.clone().requires_grad_()
    loss = LOSSES[name](student, teacher, reduction="none")
    loss.backward(torch.arange(1.0, 1 + len(loss)))
    assert student.grad is not None
    return loss.detach(), student.grad


@pytest.mark.parametrize("name", NAMES)
def test_mean_is_the_mean_of_none_and_the_teacher_gets_no_gradient(name: str) -> None:
    student, teacher = logits(10, 1.0, 20).requires_grad_(), logits(10, 1.0, 21).requires_grad_()
    loss = LOSSES[name](student, teacher)
    assert torch.allclose(loss, LOSSES[name](student, teacher, reduction="none").mean())
    (3 * loss).backward()
    assert teacher.grad is None
    assert student.grad is not None
    _, gradient = reference(name, student, teacher.detach().double().log_softmax(1))
    assert torch.allclose(student.grad.double(), 3 * gradient / 7, atol=1e-6)
    with torch.no_grad():
        assert torch.equal(LOSSES[name](student, teacher), loss)


@pytest.mark.parametrize("name", ["js", "jeffreys", "kl", "soft-ce"])
def test_the_reference_itself_agrees_with_finite_differences(name: str) -> None:
    student, log_teacher = logits(5, 1.0, 22, rows=2).double(), logits(5, 2.0, 23, rows=2).double().log_softmax(1)
    _, gradient = reference(name, student, log_teacher)
    for row, column in ((0, 1), (1, 4)):
        step = torch.zeros_like(student)
        step[row, column] = 1e-5
        rise = (
            reference(name, student + step, log_teacher)[0].sum()
            - reference(name, student - step, log_teacher)[0].sum()
        )
        assert rise.item() / 2e-5 == pytest.approx(gradient[row, column].item(), rel=1e-6, abs=1e-9)


def test_a_nan_in_the_student_is_not_hidden() -> None:
    student = logits(10, 1.0, 24)
    student[3, 2] = math.nan
    for loss in LOSSES.values():
        assert loss(student, logits(10, 1.0, 25)).isnan()


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
def test_every_name_in_the_table_is_found() -> None:
    assert [divergence(name) for name in DIVERGENCES] == [js, jeffreys, kl, soft_ce]
    with pytest.raises(UnknownName, match="soft-ce"):
        divergence("soft_ce")


def test_class_counts_that_differ_are_named() -> None:
    with pytest.raises(OptionError, match=r"\[7, 10\][\s\S]*\[7, 1000\]"):
        js(logits(10, 1.0, 28), logits(1000, 1.0, 29))


# What the SSLD authors' own code computed, on the logits below (mild, sharp, saturated): eps 1e-10, eps 1e-12; and in
# float64 the exact symmetric KL / 2 and the true Jensen-Shannon divergence.
PUBLISHED = [
    (0.9730076193809509, 0.9730077981948853, 0.9730078732066324, 0.19681797497066503),
    (12.520177841186523, 12.850410461425781, 12.883717265251729, 0.6775884319223713),
    (22.719755172729492, 27.137828826904297, 81.37668359725274, 0.6931471676288774),
]


def published_logits(case: int, who: str) -> Tensor:
    gain = {"student": (1, 3, 25), "teacher": (1, 5, 25)}[who][case]
    digest = sha256(f"0:ssld.{who}.{case}".encode()).digest()
    draws = np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:8], "big"))).standard_normal((8, 1000))
    return torch.from_numpy((gain * draws).astype(np.float32))


@pytest.mark.parametrize("case", [0, 1, 2])
def test_the_numbers_of_the_released_code(case: int) -> None:
    student, teacher = published_logits(case, "student"), published_logits(case, "teacher")
    found = [
        jeffreys(student, teacher),
        jeffreys(student, teacher, eps=1e-12),
        jeffreys(student, teacher, eps=0),
        js(student, teacher),
    ]
    assert [value.item() for value in found] == pytest.approx(PUBLISHED[case], rel=1e-5)


@pytest.mark.shared
def test_the_gradients_of_the_released_code(shared: Path) -> None:
    folder = shared / "fixtures/parity_paddle"
    values = json.loads((folder / "ssld_loss.json").read_text())["values"]
    with np.load(folder / "ssld_loss_s0.npz") as gradients:
        for case in range(3):
            teacher = published_logits(case, "teacher")
            assert values[str(case)]["float64_true_js"] == PUBLISHED[case][3]
            for key, loss in {
                "eps1e-10": jeffreys,
                "eps1e-12": lambda s, t: jeffreys(s, t, eps=1e-12),
                "true_js": js,
            }.items():
                student = published_logits(case, "student").requires_grad_()
                loss(student, teacher).backward()
                expected = torch.from_numpy(gradients[f"grad.{case}.{key}"])
                assert student.grad is not None
                assert (student.grad - expected).abs().max() <= 1e-4 * expected.abs().max()
