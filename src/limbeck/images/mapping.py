"""One function over many shards: results in order, a bounded number in flight."""

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Any, TypeVar

from limbeck.console import progress
from limbeck.errors import ImagesError
from limbeck.tables import look_up

ENGINES = {"plain": "limbeck.images.mapping:plain"}

_AHEAD = 4  # shards a worker may finish before the one that the caller waits for
_MOST_WORKERS = 16

Shard = TypeVar("Shard")
Result = TypeVar("Result")


def map_shards(
    function: Callable[[Shard], Result],
    shards: Sequence[Shard],
    engine: str = "plain",
    *,
    workers: int | None = None,
    shown: bool = True,
    title: str = "working",
) -> Iterator[Result]:
    """The results of `function` over `shards`, in order; `workers` processes (0: this one; None: one a core).

    >>> list(map_shards(abs, [-1, 2, -3], workers=0, shown=False))
    [1, 2, 3]
    """
    run = look_up("engine", engine, ENGINES)
    with progress(title, len(shards), shown=shown) as advance:
        for result in run(function, shards, default_workers() if workers is None else workers):
            advance()
            yield result


def default_workers() -> int:
    """One worker for each core that this process may use.

    >>> default_workers() >= 1
    True
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, _MOST_WORKERS)


def plain(function: Callable[[Shard], Result], shards: Sequence[Shard], workers: int) -> Iterator[Result]:
    """A pool of fresh processes on this machine.

    concurrent.futures cannot say which shard killed a worker, and waits for running shards when interrupted.
    """
    if workers < 1 or len(shards) < 2:
        yield from map(function, shards)
        return
    team: list[tuple[BaseProcess, Connection]] = []
    try:
        for _ in range(min(workers, len(shards))):
            team.append(_hire(function))
        yield from _in_order(team, shards)
    finally:
        for process, pipe in team:
            pipe.close()
            process.terminate()
        for process, _ in team:
            process.join()
            process.close()


def _in_order(team: Sequence[tuple[BaseProcess, Connection]], shards: Sequence[Any]) -> Iterator[Any]:
    processes = {pipe: process for process, pipe in team}
    idle = list(processes)
    busy: dict[Connection, int] = {}
    finished: dict[int, Any] = {}
    given = 0
    for wanted in range(len(shards)):
        while wanted not in finished:
            while idle and given < min(len(shards), wanted + _AHEAD * len(team)):
                pipe = idle.pop()
                busy[pipe] = given
                _give(pipe, shards[given], processes[pipe])
                given += 1
            ready = wait(busy)
            for pipe in [pipe for pipe in busy if pipe in ready]:
                number = busy.pop(pipe)
                finished[number] = _receive(pipe, processes[pipe], shards[number])
                idle.append(pipe)
        yield finished.pop(wanted)


def _give(pipe: Connection, shard: Any, process: BaseProcess) -> None:
    try:
        pipe.send(shard)
    except OSError:
        raise _died(process, shard) from None


def _receive(pipe: Connection, process: BaseProcess, shard: Any) -> Any:
    try:
        succeeded, outcome = pipe.recv()
    except (EOFError, OSError):
        raise _died(process, shard) from None
    if succeeded:
        return outcome
    try:
        error = pipe.recv()
    except EOFError:
        raise _died(process, shard) from None
    except Exception:  # an exception that survives pickling but not unpickling
        error = _failed(f"on shard {shard}:\n{outcome}")
    error.add_note(f"in a worker, on shard {shard}:\n{outcome}")
    raise error


def _failed(how: str) -> ImagesError:
    return ImagesError(
        f"a worker failed {how}", expected="an error in plain words: this one is limbeck's", hint="report it, please"
    )


def _died(process: BaseProcess, shard: Any) -> ImagesError:
    process.join()
    code = process.exitcode or 0
    cause = f"was killed by signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"ended with code {code}"
    return ImagesError(
        f"a worker {cause} on shard {shard}",
        expected="the worker to finish its shard",
        hint="the same command again goes on from here; with fewer workers if memory ran out",
    )


def _hire(function: Callable[[Any], Any]) -> tuple[BaseProcess, Connection]:
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, function), daemon=True)
    with apart_from_main():
        process.start()
    theirs.close()
    return process, ours


@contextmanager
def apart_from_main() -> Iterator[None]:
    """Processes started here do not run the user's script again from its top, guard or no guard."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _serve(pipe: Connection, function: Callable[[Any], Any]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the caller ends the workers
    os.environ["OMP_NUM_THREADS"] = "1"
    while True:
        try:
            shard = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            pipe.send((True, function(shard)))
        except BrokenPipeError:
            return
        except Exception as error:
            pipe.send((False, traceback.format_exc()))
            _send_error(pipe, error)


def _send_error(pipe: Connection, error: Exception) -> None:
    try:
        pipe.send(error)
    except Exception:
        pipe.send(_failed(f"with {type(error).__name__}: {error}"))
