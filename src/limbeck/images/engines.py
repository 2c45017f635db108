"""The engines beside `plain`: Daft on this machine, and Daft on a Ray cluster.

Daft runs in a process of its own. Ray ends the process that talks to it when its cluster is lost, without an exception;
both print as they like; and Daft's runner is chosen once a process, for good.
"""

import os
import pickle
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from importlib import import_module
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from limbeck.errors import ImagesError, OptionError
from limbeck.files import scratch
from limbeck.images.cache import cache_root
from limbeck.images.mapping import Errand, apart_from_main, default_workers, opened, outcome

_SILENT = {
    "DAFT_ANALYTICS_ENABLED": "0",
    "DAFT_PROGRESS_BAR": "0",
    "DO_NOT_TRACK": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}
_GRACE = 10.0  # seconds for a shared file system to show a file, and for an engine to end
_LAST_WORDS = 300

Begin = Callable[[Errand], int]


def daft(errand: Errand) -> Iterator[Any]:
    """Daft on this machine."""
    cure = "the same command again, with fewer --workers if memory ran out"
    return _delegated(errand, _on_this_machine, "Daft", cure)


def ray(errand: Errand) -> Iterator[Any]:
    """Daft on the Ray cluster at an address; without one on that of $RAY_ADDRESS, or of this machine."""
    if errand.address:
        _knock(errand.address)
    cure = "the same command again when the cluster is up, or with --engine plain"
    return _delegated(errand, _on_ray, f"the Ray cluster {errand.address}".rstrip(), cure)


def _knock(address: str) -> None:
    """Ray itself waits long, and then ends the process, where nobody answers."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), _GRACE).close()
    except (OSError, ValueError) as error:
        raise OptionError(
            f"no Ray cluster answers at {address}: {error}",
            expected="HOST:PORT of its head, as `ray start --head` prints it",
            hint="ray start --head --port 6379; then --engine ray:HOST:6379",
        ) from None


def _delegated(errand: Errand, begin: Begin, where: str, cure: str) -> Iterator[Any]:
    """The results of an engine in a process of its own, in the order of the shards."""
    with TemporaryDirectory(prefix="limbeck-") as folder:
        log = Path(folder) / "log"
        context = get_context("spawn")
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_serve, args=(theirs, errand, begin, log))
        waiting: dict[int, bytes] = {}
        try:
            with apart_from_main():
                process.start()
            theirs.close()
            for wanted, shard in enumerate(errand.shards):
                while wanted not in waiting:
                    try:
                        number, told = ours.recv()
                    except (EOFError, OSError):
                        done = f"{wanted + len(waiting):,} of {len(errand.shards):,} shards"
                        raise _lost(f"{where} was lost after {done}", cure, log) from None
                    waiting[number] = told
                yield opened(waiting.pop(wanted), shard)
            process.join(_GRACE)
        finally:
            ours.close()
            _end(process)


def _lost(found: str, cure: str, log: Path) -> ImagesError:
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    last = next((line for line in reversed(lines) if line.strip()), "")[:_LAST_WORDS]
    return ImagesError(
        f"{found}: {last}" if last else found,
        expected="an engine that answers; what is finished is kept",
        hint=f"{cure}: only what is left is done",
    )


def _end(process: BaseProcess) -> None:
    """It, and all that it started: they are one process group."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.is_alive():
            assert process.pid is not None
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            process.join(_GRACE)
    process.close()


def _serve(pipe: Connection, errand: Errand, begin: Begin, log: Path) -> None:
    os.setsid()  # Ctrl-C reaches the caller alone, who ends this group
    threading.Thread(target=_end_with_the_caller, daemon=True).start()
    os.environ.update(_SILENT)
    with open(log, "wb") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    try:
        for number, told in _outcomes(errand, begin):
            pipe.send((number, told))
    except BrokenPipeError:
        return
    except Exception as error:
        traceback.print_exc()
        reason = next(iter(str(error).strip().splitlines()), "")
        sys.stderr.write(f"{type(error).__name__}: {reason}\n")
        sys.exit(1)


def _end_with_the_caller() -> None:
    caller = parent_process()
    assert caller is not None
    caller.join()
    os.killpg(0, signal.SIGKILL)


def _outcomes(errand: Errand, begin: Begin) -> Iterator[tuple[int, bytes]]:
    """The number and the outcome of each shard, as they become finished."""
    workers = begin(errand)
    daft: Any = import_module("daft")

    class Worker:
        @daft.method.batch(return_dtype=daft.DataType.binary(), batch_size=1)  # type: ignore[untyped-decorator]
        def __call__(self, tasks: Any) -> list[bytes]:
            return [_done(task) for task in tasks.to_pylist()]

    with scratch(errand.home / "shared") if errand.home else nullcontext() as probe:
        if probe:
            probe.touch()
        tasks = [pickle.dumps((cache_root(), errand.function, shard, probe)) for shard in errand.shards]
        worker = daft.cls(Worker, use_process=True, max_concurrency=min(workers, len(tasks)), gpus=errand.gpus)()
        frame = daft.from_pydict({"number": list(range(len(tasks))), "task": tasks})
        if begin is _on_ray:
            frame = frame.into_partitions(len(tasks))
        for row in frame.select(frame["number"], worker(frame["task"]).alias("told")).iter_rows():
            yield row["number"], row["told"]


def _on_this_machine(errand: Errand) -> int:
    return errand.workers or default_workers()


def _on_ray(errand: Errand) -> int:
    if (Path.home() / ".ray" / "auth_token").exists():  # `ray start` takes it then, but `ray.init` does not
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    ray: Any = import_module("ray")
    ray.init(errand.address or None, log_to_driver=False, logging_level="ERROR")
    import_module("daft").set_runner_ray(noop_if_initialized=True)
    there = ray.cluster_resources()
    most = there.get("GPU", 0) / errand.gpus if errand.gpus else there.get("CPU", 1)
    return errand.workers or max(1, int(most))


def _done(task: bytes) -> bytes:
    """In a worker: one shard."""
    os.environ["OMP_NUM_THREADS"] = "1"
    cache, function, shard, probe = pickle.loads(task)  # noqa: S301  from the process that asked for it
    os.environ["LIMBECK_CACHE"] = str(cache)
    return outcome(_refused if probe and not _seen(probe) else function, shard)


def _seen(probe: Path) -> bool:
    """A file system that many machines share may show a new file some seconds late."""
    until = time.monotonic() + _GRACE
    while not probe.exists():
        if time.monotonic() > until:
            return False
        time.sleep(0.2)
    return True


def _refused(shard: Any) -> None:
    raise ImagesError(
        f"the worker on {socket.gethostname()} does not see the folder that results are kept in",
        expected="a file system that all machines of the cluster share, under one path",
        hint="LIMBECK_CACHE=/shared/folder, and photos on it too",
    )
