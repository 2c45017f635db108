"""Work on a stream of tasks by processes that read ahead; the results come in the order of the tasks.

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
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from multiprocessing.context import BaseContext
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from limbeck.errors import ImagesError, LimbeckError
from limbeck.images.mapping import apart_from_main

Task = TypeVar("Task")
Result = TypeVar("Result")

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 1 << 30


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


def stream(
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
    context.set_forkserver_preload(["limbeck.images.reader", "limbeck.images.imageset"])
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
