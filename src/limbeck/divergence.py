"""Distances between a student's and a teacher's answers, by name.

Everything is computed in float32 from logits, a few rows at a time, with the gradient in closed form: as stable as the
float64 textbook formula, several times faster than autograd through it, and without its temporaries.

With s and t the logits, p and q their softmax, x and y its logarithm, every formula below is written in p, q and the
log ratio d = y - x. d is taken from t - s, which is exact where the two nearly agree.
"""

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from limbeck.errors import OptionError
from limbeck.records import SoftLabels
from limbeck.tables import look_up

DIVERGENCES = {
    "js": "limbeck.divergence:js",
    "jeffreys": "limbeck.divergence:jeffreys",
    "kl": "limbeck.divergence:kl",
    "soft-ce": "limbeck.divergence:soft_ce",
}

Teacher = Tensor | SoftLabels
Reduction = Literal["mean", "none"]
Divergence = Callable[..., Tensor]
# (p, q, d, eps) -> the loss of each row; leaves the gradient in p; q and d may be overwritten
Formula = Callable[[Tensor, Tensor, Tensor, float], Tensor]

CHUNK_ON_CPU = 2**16  # elements: p, q, d and the inputs of one chunk stay in a core's cache
CHUNK_ELSEWHERE = 2**26
APART = 0.1  # two distributions hardly meet when they share less of their mass
TINY = 1e-37


def divergence(name: str) -> Divergence:
    """The distance of that name.

    >>> divergence("js") is js
    True
    """
    function: Divergence = look_up("loss", name, DIVERGENCES)
    return function


def js(student: Tensor, teacher: Teacher, *, reduction: Reduction = "mean") -> Tensor:
    """Jensen-Shannon: (KL(p || m) + KL(q || m)) / 2 with m = (p + q) / 2, the distance that the SSLD paper names.

    >>> agree = torch.tensor([[4.0, 0.0]])
    >>> js(agree, agree).item(), round(js(agree, -1e4 * agree).item(), 4)
    (0.0, 0.6479)
    """
    return _reduce(_js, student, teacher, 0.0, reduction)


def jeffreys(student: Tensor, teacher: Teacher, *, reduction: Reduction = "mean", eps: float = 1e-10) -> Tensor:
    """(KL(p || q) + KL(q || p)) / 2, what the SSLD authors' released code computes.

    That code adds `eps` to both probabilities inside the logarithms: 1e-10 in its first release, 1e-12 since. It bounds
    the loss of a saturated pair. eps=0 is exact, and infinite where a teacher gives a class no mass at all.

    >>> round(jeffreys(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 2.0]]), eps=0).item(), 4)
    1.5232
    """
    return _reduce(_jeffreys if eps else _exact_jeffreys, student, teacher, eps, reduction)


def kl(student: Tensor, teacher: Teacher, *, reduction: Reduction = "mean") -> Tensor:
    """KL(teacher || student).

    >>> round(kl(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 2.0]])).item(), 4)
    1.5232
    """
    return _reduce(_kl, student, teacher, 0.0, reduction)


def soft_ce(student: Tensor, teacher: Teacher, *, reduction: Reduction = "mean") -> Tensor:
    """Cross-entropy under the teacher's probabilities: KL(teacher || student) plus the teacher's own entropy.

    >>> round(soft_ce(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 2.0]])).item(), 4)
    1.8885
    """
    return _reduce(_soft_ce, student, teacher, 0.0, reduction)


def _js(p: Tensor, q: Tensor, d: Tensor, eps: float) -> Tensor:
    d.clamp_(-128, 128)  # beyond it the smaller of p and q is zero in float32
    # a = -log(p / m) = log((1 + e^d) / 2) and b = -log(q / m) = log((1 + e^-d) / 2) share log((1 + e^-|d|) / 2), the
    # bend. Where p and q nearly agree it must be exact around 0; where they hardly meet, around -log 2, then left out.
    less = torch.minimum(p, q)
    apart = (less.sum(1, keepdim=True) < APART).float()
    bend = torch.abs(d).neg_().expm1_().mul_(0.5 - 0.5 * apart)
    less.div_(torch.maximum(p, q).clamp_(min=TINY)).mul_(apart)
    bend.add_(less).log1p_()
    a = torch.clamp(d, min=0, out=less).add_(bend)
    b = torch.sub(bend, d.clamp_(max=0), out=d)
    half = torch.mul(p, a, out=bend).sum(1, keepdim=True)
    other = q.mul_(b).sum(1, keepdim=True)
    p.mul_(torch.sub(half * 0.5, a, alpha=0.5, out=a))
    return other.add_(half).mul_(-0.5).add_(apart, alpha=math.log(2)).squeeze(1)


def _exact_jeffreys(p: Tensor, q: Tensor, d: Tensor, eps: float) -> Tensor:
    pull = torch.mul(p, d).sum(1, keepdim=True)  # -KL(p || q)
    loss = torch.sub(q, p).mul_(d).sum(1).mul_(0.5)
    # p (x - y - KL(p || q)) from the one half, p - q from the other
    p.mul_(d.neg_().add_(pull).add_(1)).sub_(q).mul_(0.5)
    return loss


def _jeffreys(p: Tensor, q: Tensor, d: Tensor, eps: float) -> Tensor:
    padded = p + eps
    gap = torch.sub(q, p, out=d)
    log_ratio = q.add_(eps).log_().sub_(padded.log())
    loss = torch.mul(gap, log_ratio).sum(1).mul_(0.5)
    slope = log_ratio.add_(gap.div_(padded)).mul_(-0.5)  # the derivative by p, before the softmax
    mean_slope = torch.mul(p, slope).sum(1, keepdim=True)
    p.mul_(slope.sub_(mean_slope))
    return loss


def _kl(p: Tensor, q: Tensor, d: Tensor, eps: float) -> Tensor:
    p.sub_(q)
    loss: Tensor = d.clamp_(min=-1e30).mul_(q).sum(1)  # the clamp makes 0 log 0 zero
    return loss


def _soft_ce(p: Tensor, q: Tensor, d: Tensor, eps: float) -> Tensor:
    entropy: Tensor = torch.special.entr(q).sum(1)
    return entropy.add_(_kl(p, q, d, eps))


def _reduce(formula: Formula, student: Tensor, teacher: Teacher, eps: float, reduction: Reduction) -> Tensor:
    classes = teacher.classes if isinstance(teacher, SoftLabels) else teacher.shape[-1]
    if student.ndim != 2 or student.shape != (len(teacher), classes):
        raise OptionError(
            f"student answers of shape {list(student.shape)}", expected=f"[{len(teacher)}, {classes}], as the teacher's"
        )
    wanted = student.requires_grad and torch.is_grad_enabled()
    with torch.autocast(student.device.type, enabled=False):
        losses: Tensor = _ClosedForm.apply(student, teacher, formula, eps, wanted)
    return losses.mean() if reduction == "mean" else losses


class _ClosedForm(torch.autograd.Function):
    """The loss of each row, and its gradient by the student's logits, computed together."""

    @staticmethod
    def forward(ctx: Any, student: Tensor, teacher: Teacher, formula: Formula, eps: float, wanted: bool) -> Tensor:
        batch, classes = student.shape
        rows = max(1, (CHUNK_ON_CPU if student.device.type == "cpu" else CHUNK_ELSEWHERE) // classes)
        losses = student.new_empty(batch, dtype=torch.float32)
        gradient = student.new_empty(student.shape if wanted else (min(rows, batch), classes), dtype=torch.float32)
        for start in range(0, batch, rows):
            part = slice(start, min(start + rows, batch))
            p = gradient[part] if wanted else gradient[: part.stop - start]
            answer = teacher[part]
            compare = _compare_sparse if isinstance(answer, SoftLabels) and answer.index is not None else _compare_dense
            q, d = compare(student[part].float(), answer, p)
            losses[part] = formula(p, q, d, eps)
        if wanted:
            ctx.save_for_backward(gradient)
        ctx.dtype = student.dtype
        return losses

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, by_loss: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return (gradient * by_loss.unsqueeze(1)).to(ctx.dtype), None, None, None, None


def _compare_dense(student: Tensor, teacher: Teacher, p: Tensor) -> tuple[Tensor, Tensor]:
    """q and d of a few rows; p is filled."""
    answers = (teacher.log_probability if isinstance(teacher, SoftLabels) else teacher).detach().float()
    top, total = _softmax_into(p, student)
    q = torch.empty_like(p)
    teacher_top, teacher_total = _softmax_into(q, answers)
    d = torch.sub(answers, student).sub_((teacher_top - top).add_((teacher_total / total).log()))
    return q, d


def _compare_sparse(student: Tensor, teacher: Any, p: Tensor) -> tuple[Tensor, Tensor]:
    """q and d of a few rows; p is filled. The teacher costs a fill and a scatter, no exponential of its own."""
    top, total = _softmax_into(p, student)
    others = max(teacher.classes - teacher.index.shape[1], 1)
    log_other = teacher.log_rest.float().sub(math.log(others)).unsqueeze(1)
    log_kept = teacher.log_probability.float()
    q = log_other.exp().expand_as(p).contiguous().scatter_(1, teacher.index, log_kept.exp())
    # -x = (top - s) + log(total): the bracket comes first, it is exact where it matters
    d = torch.sub(top, student).add_(total.log_())
    kept = d.gather(1, teacher.index).add_(log_kept)
    return q, d.add_(log_other).scatter_(1, teacher.index, kept)


def _softmax_into(out: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    """Fill `out` with the softmax; returns the largest logit and the sum of exp(logit - largest)."""
    torch.softmax(logits, 1, out=out)
    return logits.amax(1, keepdim=True), out.amax(1, keepdim=True).reciprocal_()
