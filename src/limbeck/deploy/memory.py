"""The most memory that work takes: on CUDA what tensors have, elsewhere what the process grows by."""

import ctypes
import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psutil  # type: ignore[import-untyped, unused-ignore]
import torch

_PAUSE = 0.005  # seconds between two looks


@dataclass
class Peak:
    """Bytes, once the work is done, and what they are of."""

    of: str
    bytes: int = 0

    @property
    def gb(self) -> float:
        """As the references count: of 1,024 MB.

        >>> Peak("the process", 2**29).gb
        0.5
        """
        return self.bytes / 2**30


def resident() -> int:
    """Bytes of this process.

    >>> resident() > 2**20
    True
    """
    return int(psutil.Process().memory_info().rss)


def settled() -> int:
    """Bytes of this process once what it has freed is given back: work that takes that again would not show.

    >>> settled() <= resident() + 2**24
    True
    """
    gc.collect()
    with suppress(OSError, TypeError, AttributeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)
    return resident()


@contextmanager
def peak(device: torch.device, since: int) -> Iterator[Peak]:
    """The most that the work within takes; on a device without a count of its own, bytes of the process above `since`.

    >>> with peak(torch.device("cpu"), since=settled()) as found:
    ...     numbers = torch.ones(2**24)
    >>> found.bytes > 2**25, found.of
    (True, 'what the process grew by')
    """
    if device.type == "cuda":
        found = Peak("what tensors had on the GPU")
        torch.cuda.reset_peak_memory_stats(device)
        yield found
        found.bytes = torch.cuda.max_memory_allocated(device)
        return
    found = Peak("what the process grew by")
    done = threading.Event()
    watch = threading.Thread(target=_watch, args=(found, since, done), daemon=True)
    watch.start()
    try:
        yield found
    finally:
        done.set()
        watch.join()


def _watch(found: Peak, since: int, done: threading.Event) -> None:
    over = False
    while not over:
        over = done.wait(_PAUSE)  # and a last look when it is done
        found.bytes = max(found.bytes, resident() - since)
