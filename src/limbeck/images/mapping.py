"""One function over many shards: results in order, a bounded number in flight."""

import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from limbeck.console import progress
from limbeck.errors import ImagesError, OptionError, unknown_name
from limbeck.tables import look_up

ENGINES = {
    "plain": "limbeck.images.mapping:plain",
    "daft": "limbeck.images.engines:daft",
    "ray": "limbeck.images.engines:ray",
}
_PACKAGES = {"plain": (), "daft": ("daft",), "ray": ("daft", "ray")}

_AHEAD = 4  # shards a worker may finish before the one that the caller waits for
_MOST_WORKERS = 16

Shard = TypeVar("Shard")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Errand:
    """What an engine is asked to do."""

    function: Callable[[Any], Any]
    shards: Sequence[Any]
    workers: int | None  # None: as many as the engine finds good
    address: str = ""  # of a cluster
    home: Path | None = None  # a folder that every worker has to see
    gpus: float = 0.0  # of each worker


def map_shards(
    function: Callable[[Shard], Result],
    shards: Sequence[Shard],
    engine: str = "plain",
    *,
    workers: int | None = None,
    shown: bool = True,
    title: str = "working",
    home: Path | None = None,
    gpus: float = 0.0,
) -> Iterator[Result]:
    """The results of `function` over `shards`, in order; `workers` processes (0: this one; None: one a core).

    `home` is where results are kept: an engine of several machines sees to it that each of them has it. `gpus` is what
    a worker takes of the GPUs of a cluster.

    >>> list(map_shards(abs, [-1, 2, -3], workers=0, shown=False))
    [1, 2, 3]
    """
    name, address = parse_engine(engine)
    run = look_up("engine", "plain" if workers == 0 or not shards else name, ENGINES)
    with progress(title, len(shards), shown=shown) as advance:
        for result in run(Errand(function, shards, workers, address, home, gpus)):
            advance()
            yield result


def parse_engine(engine: str) -> tuple[str, str]:
    """An engine's name and the address of its cluster; fails where it is unknown or not installed.

    >>> parse_engine("plain")
    ('plain', '')
    """
    name, _, address = engine.partition(":")
    if name not in ENGINES:
        raise unknown_name("engine", name, ENGINES, option="--engine")
    if address and name != "ray":
        raise OptionError(f"--engine {engine}", expected="an address for ray alone", hint=f"--engine {name}")
    for package in _PACKAGES[name]:
        if find_spec(package) is None:
            raise OptionError(
                f"--engine {engine}: {package} is not installed",
                expected="Daft, and Ray for more than one machine",
                hint='pip install "limbeck[scale]", or --engine plain',
            )
    return name, address


def default_workers() -> int:
    """One worker for each core that this process may use.

    >>> default_workers() >= 1
    True
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, _MOST_WORKERS)


def plain(errand: Errand) -> Iterator[Any]:
    """A pool of fresh processes on this machine.

    concurrent.futures cannot say which shard killed a worker, and waits for running shards when interrupted.
    """
    workers = default_workers() if errand.workers is None else errand.workers
    shards, function = errand.shards, errand.function
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
        told = pipe.recv_bytes()
    except (EOFError, OSError):
        raise _died(process, shard) from None
    return opened(told, shard)


def outcome(function: Callable[[Any], Any], shard: Any) -> bytes:
    """What became of a shard, on its way to another process: the result, or the error and its traceback."""
    try:
        return pickle.dumps((True, function(shard)))
    except Exception as error:
        return pickle.dumps((False, (traceback.format_exc(), _packed(error))))


def opened(told: bytes, shard: Any) -> Any:
    """The result that an `outcome` holds; its error is raised again as it was."""
    succeeded, result = pickle.loads(told)  # noqa: S301  from a process of this run
    if succeeded:
        return result
    trace, packed = result
    try:
        error = pickle.loads(packed)  # noqa: S301
    except Exception:  # an exception that survives pickling but not unpickling
        error = _failed(f"on shard {shard}:\n{trace}")
    error.add_note(f"in a worker, on shard {shard}:\n{trace}")
    raise error


def _packed(error: Exception) -> bytes:
    try:
        return pickle.dumps(error)
    except Exception:
        return pickle.dumps(_failed(f"with {type(error).__name__}: {error}"))


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
            pipe.send_bytes(outcome(function, shard))
        except BrokenPipeError:
            return
