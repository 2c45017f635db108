"""Soft labels as they lie on disk: the best classes, a 16-bit code for each log-probability and for the remaining mass.

A code is -2048 log p: every probability down to 1e-14 is kept to 0.025 %, where float16 would lose ten times as much at
p < 0.02. Decoding adds one number to a row's codes, so that its probabilities sum to one. That number is less than half
a code and a fraction that float32 holds exactly: encoding what was decoded gives the same codes, bit for bit, always.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from limbeck.errors import TeacherError
from limbeck.records import SoftLabels

Records = NDArray[Any]

_PER_NAT = 2048
_PARTS = 256  # a row is shifted by so many parts of a code
_LARGEST = 2**16 - 1
# exp of every code: a table gives the same bits for a value wherever it stands in an array, vectorised exp may not
_PROBABILITY = np.exp(-np.arange(_LARGEST + 1) / _PER_NAT)


def default_keep(classes: int) -> int:
    """How many classes a soft label keeps when nobody says: all up to 100, then as many as the gradient needs.

    >>> default_keep(10), default_keep(1000), default_keep(21841)
    (10, 100, 200)
    """
    return min(classes, 100) if classes <= 10_000 else 200


def kept(classes: int, keep: int) -> int:
    """The number of classes that a label keeps; 0 asks for the default."""
    return min(keep or default_keep(classes), classes)


def label_layout(classes: int, keep: int) -> list[tuple[str, str] | tuple[str, str, tuple[int]]]:
    """The fields of a label's record; the index and the rest are left out where every class is kept."""
    codes: tuple[str, str, tuple[int]] = ("codes", "<u2", (keep,))
    if keep == classes:
        return [codes]
    return [codes, ("rest", "<u2"), ("index", "<u2" if classes <= 2**16 else "<u4", (keep,))]


def encode(logits: Tensor, keep: int) -> SoftLabels:
    """Soft labels as the store gives them back, bit for bit, from logits or log-probabilities [B, C].

    >>> labels = encode(torch.tensor([[2.0, 0.0, -1.0]]), keep=1)
    >>> labels.index.tolist(), round(labels.log_probability.exp().item(), 3), round(labels.log_rest.exp().item(), 3)
    ([[0]], 0.844, 0.156)
    """
    classes = logits.shape[1]
    keep = kept(classes, keep)
    log_probability = logits.detach().float().log_softmax(1)
    if log_probability.isnan().any():
        raise TeacherError(
            "the teacher's answers hold nan", expected="finite numbers", hint="--teacher-precision float32"
        )
    if keep == classes:
        labels = SoftLabels(None, log_probability, log_probability.new_full((len(logits),), -torch.inf), classes)
    else:
        best, index = log_probability.topk(keep, 1)
        rest = log_probability.exp_().scatter_(1, index, 0).sum(1).log_()
        labels = SoftLabels(index, best, rest, classes)
    return unpack(pack(labels), classes).to(logits.device)


def pack(labels: SoftLabels) -> Records:
    """The records of labels whose probabilities sum to one."""
    keep = labels.log_probability.shape[1]
    records = np.empty(len(labels), np.dtype(label_layout(labels.classes, keep)))
    records["codes"] = _to_codes(labels.log_probability)
    if labels.index is not None and keep < labels.classes:
        records["rest"] = _to_codes(labels.log_rest)
        records["index"] = labels.index.cpu().numpy()
    return records


def unpack(records: Records, classes: int) -> SoftLabels:
    codes = records["codes"].astype(np.int32)
    assert records.dtype.names is not None
    if "index" not in records.dtype.names:
        values = _to_logarithms(codes)
        return SoftLabels(None, values, values.new_full((len(values),), -torch.inf), classes)
    values = _to_logarithms(np.concatenate([codes, records["rest"].astype(np.int32)[:, None]], 1))
    index = torch.from_numpy(records["index"].astype(np.int64))
    return SoftLabels(index, values[:, :-1].contiguous(), values[:, -1].contiguous(), classes)


def _to_codes(logarithms: Tensor) -> NDArray[np.uint16]:
    codes = logarithms.detach().float().mul(-_PER_NAT).round_().clamp_(0, _LARGEST)
    return codes.cpu().numpy().astype(np.uint16)


def _to_logarithms(codes: NDArray[np.int32]) -> Tensor:
    total = np.add.reduce(_PROBABILITY[codes], axis=1)
    shift = np.rint(np.log(total) * (_PER_NAT * _PARTS)).clip(1 - _PARTS // 2, _PARTS // 2 - 1).astype(np.int32)
    exact = (codes * np.int32(_PARTS) + shift[:, None]).astype(np.float32)
    return torch.from_numpy(exact * np.float32(-1 / (_PER_NAT * _PARTS)))
