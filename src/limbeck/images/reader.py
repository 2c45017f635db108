"""Batches of views, read by workers: the same bytes on any number of them, whatever happens to single files."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from limbeck.images.decode import Unreadable, decode
from limbeck.images.order import Read
from limbeck.images.prepare import centre_view
from limbeck.images.readable import Images, Readable, read_as
from limbeck.images.stream import stream
from limbeck.images.view import ViewPolicy, render
from limbeck.records import Preprocess


@dataclass(frozen=True)
class Batch:
    """One step's views. `indices` are the images that were used; `replaced` says for which unreadable ones.

    `reasons` says why, for each image that this batch tried and could not read; other workers may say it again.
    """

    images: Tensor  # uint8 [B, 3, S, S], channels last
    indices: Tensor  # int64 [B]
    numbers: Tensor  # int64 [B]
    replaced: dict[int, int] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)

    def pin_memory(self) -> "Batch":
        pinned = {name: getattr(self, name).pin_memory() for name in ("images", "indices", "numbers")}
        return replace(self, **pinned)


@dataclass(frozen=True)
class EvaluationBatch:
    """The readable images of one evaluation batch, once for each preprocess; why the others failed, by index."""

    views: list[Tensor]  # uint8 [B, 3, h, w] for each preprocess
    indices: Tensor  # int64 [B]
    failed: dict[int, str] = field(default_factory=dict)


class Reader:
    """Reads the views of a run. An unreadable file gives its place to the next readable one, for good.

    `replaced` {unreadable index: used index} is what an earlier part of the run found out; `pinned` batches copy to
    CUDA without waiting.
    """

    def __init__(
        self,
        images: Images,
        policy: ViewPolicy,
        *,
        workers: int,
        replaced: dict[int, int] | None = None,
        pinned: bool = False,
    ) -> None:
        self.images, self.policy, self.workers, self.pinned = images, policy, workers, pinned
        self.replaced = dict(replaced or {})

    def batches(self, reads: Iterable[list[Read]]) -> Iterator[Batch]:
        """One batch for each list of reads; one set of workers for all of them."""
        work = _Views(self.images, self.policy, dict(self.replaced))
        for batch in stream(work, reads, self.workers, self.pinned):
            self.replaced.update(batch.replaced)
            yield batch


def evaluation_batches(
    images: Images, preprocesses: Sequence[Preprocess], *, batch: int, workers: int
) -> Iterator[EvaluationBatch]:
    """All images in order, decoded once for all preprocesses; a batch may be short where images are unreadable."""
    spans = (range(start, min(start + batch, len(images))) for start in range(0, len(images), batch))
    yield from stream(_Evaluation(images, tuple(preprocesses)), spans, workers)


class _Views:
    def __init__(self, images: Images, policy: ViewPolicy, replaced: dict[int, int]) -> None:
        self.images, self.policy, self.readable = images, policy, Readable(images, replaced)

    def __call__(self, reads: list[Read]) -> Batch:
        size = self.policy.size
        numbers = [number for _, numbers in reads for number in numbers]
        out = torch.empty(len(numbers), 3, size, size, dtype=torch.uint8, memory_format=torch.channels_last)
        indices: list[int] = []
        replaced: dict[int, int] = {}
        reasons: dict[int, str] = {}
        for index, wanted in reads:

            def views(candidate: int, data: bytes, numbers: tuple[int, ...] = wanted) -> Tensor:
                return render(self.policy, data, self.images.keys[candidate].tobytes(), numbers)

            used, rendered = self.readable(index, views, reasons)
            if used != index:
                replaced[index] = used
            out[len(indices) : len(indices) + len(wanted)] = rendered
            indices += [used] * len(wanted)
        self.readable.replaced |= replaced
        return Batch(out, torch.tensor(indices), torch.tensor(numbers), replaced, reasons)


class _Evaluation:
    def __init__(self, images: Images, preprocesses: tuple[Preprocess, ...]) -> None:
        self.images, self.preprocesses = images, preprocesses

    def __call__(self, span: range) -> EvaluationBatch:
        views = [
            torch.empty(len(span), 3, *each.size, dtype=torch.uint8, memory_format=torch.channels_last)
            for each in self.preprocesses
        ]
        indices: list[int] = []
        failed: dict[int, str] = {}
        for index in span:
            try:
                photo = read_as(self.images, index, lambda _, data: decode(data))
            except Unreadable as error:
                failed[index] = str(error)
                continue
            for view, preprocess in zip(views, self.preprocesses, strict=True):
                view[len(indices)] = centre_view(preprocess, photo)
            indices.append(index)
        return EvaluationBatch(
            [view[: len(indices)] for view in views], torch.tensor(indices, dtype=torch.int64), failed
        )
