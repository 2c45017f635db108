"""Batches of views, read by workers: the same bytes on any number of them, whatever happens to single files.

Workers come from a fork server: forking a process in which torch and its threads already run can deadlock, and spawned
workers would each import torch anew; the server imports it once, and its children share those pages. On macOS even that
server must not fork, since the system's own libraries have threads: there workers are spawned.
"""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from multiprocessing.context import BaseContext
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from limbeck.errors import ImagesError, LimbeckError
from limbeck.images.decode import Unreadable, decode
from limbeck.images.mapping import apart_from_main
from limbeck.images.order import Read
from limbeck.images.prepare import centre_view
from limbeck.images.view import ViewPolicy, render
from limbeck.records import Preprocess

Task = TypeVar("Task")
Result = TypeVar("Result")

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 1 << 30


class Images(Protocol):
    """What reading needs of an `ImageSet`."""

    @property
    def keys(self) -> Any: ...
    def __len__(self) -> int: ...
    def read(self, index: int) -> bytes: ...
    def path(self, index: int) -> str: ...


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
        for batch in _stream(work, reads, self.workers, self.pinned):
            self.replaced.update(batch.replaced)
            yield batch


def evaluation_batches(
    images: Images, preprocesses: Sequence[Preprocess], *, batch: int, workers: int
) -> Iterator[EvaluationBatch]:
    """All images in order, decoded once for all preprocesses; a batch may be short where images are unreadable."""
    spans = (range(start, min(start + batch, len(images))) for start in range(0, len(images), batch))
    yield from _stream(_Evaluation(images, tuple(preprocesses)), spans, workers)


class _Views:
    def __init__(self, images: Images, policy: ViewPolicy, replaced: dict[int, int]) -> None:
        self.images, self.policy, self.replaced = images, policy, replaced

    def __call__(self, reads: list[Read]) -> Batch:
        size = self.policy.size
        numbers = [number for _, numbers in reads for number in numbers]
        out = torch.empty(len(numbers), 3, size, size, dtype=torch.uint8, memory_format=torch.channels_last)
        indices: list[int] = []
        replaced: dict[int, int] = {}
        reasons: dict[int, str] = {}
        for index, wanted in reads:
            used, views = self._readable(index, wanted, reasons)
            if used != index:
                replaced[index] = used
            out[len(indices) : len(indices) + len(wanted)] = views
            indices += [used] * len(wanted)
        self.replaced |= replaced
        return Batch(out, torch.tensor(indices), torch.tensor(numbers), replaced, reasons)

    def _readable(self, index: int, numbers: tuple[int, ...], reasons: dict[int, str]) -> tuple[int, Tensor]:
        for candidate in self._candidates(index):
            try:
                with _naming(self.images, candidate):
                    data = _read(self.images, candidate)
                    return candidate, render(self.policy, data, self.images.keys[candidate].tobytes(), numbers)
            except Unreadable as error:
                reasons[candidate] = str(error)
        first, reason = next(iter(reasons.items()))
        raise ImagesError(
            f"none of the {len(self.images):,} images can be read any more ({self.images.path(first)}: {reason})",
            expected="the photos where they were when the run began",
            hint="see that their disk is there, then go on with --resume",
        )

    def _candidates(self, index: int) -> Iterator[int]:
        """The image itself, or what replaced it before; after it the next ones that are not known as unreadable."""
        first = self.replaced.get(index, index)
        yield first
        for further in range(first + 1, first + len(self.images)):
            if (candidate := further % len(self.images)) != index and candidate not in self.replaced:
                yield candidate


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
                with _naming(self.images, index):
                    photo = decode(_read(self.images, index))
            except Unreadable as error:
                failed[index] = str(error)
                continue
            for view, preprocess in zip(views, self.preprocesses, strict=True):
                view[len(indices)] = centre_view(preprocess, photo)
            indices.append(index)
        return EvaluationBatch(
            [view[: len(indices)] for view in views], torch.tensor(indices, dtype=torch.int64), failed
        )


def _read(images: Images, index: int) -> bytes:
    try:
        return images.read(index)
    except OSError as error:
        raise Unreadable(error.strerror or str(error)) from None
    except (ValueError, ImagesError) as error:
        raise Unreadable(str(error)) from None


@contextmanager
def _naming(images: Images, index: int) -> Iterator[None]:
    try:
        yield
    except Unreadable:
        raise
    except Exception as error:
        error.add_note(f"while reading {images.path(index)}")
        raise


@dataclass(frozen=True)
class _Failure:
    """An error on its way out of a worker: as a value, since not every exception survives being pickled."""

    error: Exception


class _Work(Dataset[Any]):
    def __init__(self, work: Callable[[Any], Any]) -> None:
        self.work = work

    def __getitem__(self, task: Any) -> Any:
        try:
            return self.work(task)
        except LimbeckError as error:
            return _Failure(error)
        except Exception:
            return _Failure(RuntimeError(f"reading failed\n{traceback.format_exc()}"))


def _stream(
    work: Callable[[Task], Result], tasks: Iterable[Task], workers: int, pinned: bool = False
) -> Iterator[Result]:
    """The results in the order of the tasks. The generator is our own, so that the global one does not move."""
    keep_freed_memory()
    # torch warns of more workers than cores, twice; their number is the user's choice
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This DataLoader will create")
        loader = DataLoader(
            _Work(work),
            sampler=tasks,
            batch_size=None,
            collate_fn=_unchanged,
            num_workers=workers,
            worker_init_fn=_settle_worker,
            multiprocessing_context=_context() if workers else None,
            generator=torch.Generator(),
            pin_memory=pinned,
        )
        with apart_from_main():
            results = iter(loader)
    try:
        while True:
            try:
                result = next(results)
            except StopIteration:
                return
            except RuntimeError as error:
                if "DataLoader worker" not in str(error):
                    raise
                result = _Failure(_died(str(error), workers))
            if isinstance(result, _Failure):
                raise result.error
            yield result
    finally:
        # ends the workers here and now, not whenever the error and its traceback are collected
        del results


def _died(reason: str, workers: int) -> ImagesError:
    return ImagesError(
        f"a reading worker died ({reason.splitlines()[0]})",
        expected=f"memory, and shared memory (/dev/shm), for {workers} workers",
        hint=f"--workers {workers // 2}, or a smaller --batch",
    )


def _unchanged(result: Any) -> Any:
    return result


@cache
def _context() -> BaseContext:
    if sys.platform == "darwin" or "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "limbeck.images.imageset"])
    return context


def _settle_worker(worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the main process's to handle; it ends the workers
    threading.Thread(target=_end_with_the_main_process, daemon=True).start()
    torch.set_num_threads(1)
    keep_freed_memory()


def _end_with_the_main_process() -> None:
    """torch's own watch sees the fork server, which outlives a main process that was killed."""
    main = multiprocessing.parent_process()
    assert main is not None
    main.join()
    os._exit(1)


def keep_freed_memory() -> None:
    """Let glibc keep large freed blocks: else the kernel clears the pages of each large photo and batch anew.

    That is half of the time of a large photo, and most of the time of making a batch float on a CPU.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):  # not glibc
        return
    mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
    if not mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES):
        mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES >> 5)  # the most that older ones accept
