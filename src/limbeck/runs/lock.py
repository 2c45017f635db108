"""One process in a run folder: a lock that the kernel lets go of when its holder ends, however it ends."""

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from limbeck.errors import OptionError, RunError
from limbeck.runs.resuming import resume_command

LOCK = "lock"
_HELD = (errno.EWOULDBLOCK, errno.EACCES)


@contextmanager
def only_here(run: Path, again: str = "") -> Iterator[None]:
    """Hold a run folder for this process; a folder that is made for it and stays empty is taken away again.

    `again` is what to type once it is free; without it, what goes on with a run.

    >>> from tempfile import mkdtemp
    >>> run = Path(mkdtemp())
    >>> with only_here(run), only_here(run):
    ...     pass
    Traceback (most recent call last):
    limbeck.errors.RunError: another process (pid ...) is running in ...
    """
    made = not run.exists()
    try:
        handle = _hold(run, again)
    except OSError as error:
        raise unwritable(run, error) from error
    try:
        yield
    finally:
        (run / LOCK).unlink(missing_ok=True)  # before it is let go of: the next holder's is another file
        os.close(handle)
        if made:
            with suppress(OSError):
                run.rmdir()


def refuse_if_running(run: Path) -> None:
    """Tell of a process that is running in a folder, without taking its place."""
    with suppress(FileNotFoundError, PermissionError):
        handle = os.open(run / LOCK, os.O_RDONLY)
        try:
            _take(handle, fcntl.LOCK_SH, run, "")
        finally:
            os.close(handle)


def unwritable(run: Path, error: OSError) -> OptionError:
    return OptionError(
        f"--out {run} cannot be written: {error.strerror}", expected="a writable folder", hint="another --out"
    )


def _hold(run: Path, again: str) -> int:
    while True:
        run.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(run / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:  # its last holder has just taken the empty folder away
            continue
        try:
            _take(handle, fcntl.LOCK_EX, run, again)
            if _is_at(handle, run / LOCK):
                os.ftruncate(handle, 0)
                os.write(handle, f"{os.getpid()} {socket.gethostname()}".encode())
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _take(handle: int, kind: int, run: Path, again: str) -> None:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD:
            raise _running(run, os.pread(handle, 256, 0).decode(errors="replace"), again) from None
        # a file system without locks: go on as without one


def _is_at(handle: int, path: Path) -> bool:
    """Whether an open file still lies at its path: its holder takes it away on leaving."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _running(run: Path, holder: str, again: str) -> RunError:
    process, _, host = holder.partition(" ")
    elsewhere = f" on {host}" if host and host != socket.gethostname() else ""
    stop = f"stop it first: kill -INT {process}{elsewhere}; then " if process else "once it has ended: "
    return RunError(
        f"another process (pid {process or 'not known'}{elsewhere}) is running in {run}",
        expected="one process at a time in a folder",
        hint=f"another --out; or {stop}{again or resume_command(run)}",
    )
