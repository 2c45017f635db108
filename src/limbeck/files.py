"""Files that are whole or not there."""

import errno
import json
import os
import secrets
import shutil
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from itertools import count
from pathlib import Path
from typing import BinaryIO

from limbeck.errors import OptionError, RunError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_HOST = blake2b(socket.gethostname().encode(), digest_size=4).hexdigest()
_OURS = secrets.token_hex(3)  # two containers may share host name and process number
_numbers = count()


@contextmanager
def scratch(path: Path) -> Iterator[Path]:
    """A name beside `path` that no other process uses; what lies there is gone after the block."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{_HOST}-{os.getpid()}-{_OURS}{next(_numbers)}.tmp")
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file that becomes `path` when the block ends well; otherwise `path` stays as it was.

    >>> from tempfile import mkdtemp
    >>> path = Path(mkdtemp()) / "answer.txt"
    >>> with replacing(path) as temporary:
    ...     _ = temporary.write_text("42")
    >>> path.read_text()
    '42'
    """
    with scratch(path) as temporary:
        try:
            yield temporary
            _sync(temporary)
            os.replace(temporary, path)  # noqa: PTH105
            _sync(path.parent)
        except Exception as error:
            if _disk_is_full(error):
                written = temporary.stat().st_size if temporary.exists() else 0
                raise _no_space(path, written) from error
            raise


def write_atomically(path: Path, content: bytes | Callable[[BinaryIO], object]) -> None:
    """Write a file so that a reader finds the old content or the new, whatever happens in between.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "note.txt"
    >>> write_atomically(file, b"whole")
    >>> file.read_bytes()
    b'whole'
    """
    with replacing(path) as temporary, open(temporary, "wb") as stream:
        if callable(content):
            content(stream)
        else:
            stream.write(content)


class JsonList:
    """A json list that is written as its rows come, a row a line.

    >>> told = JsonList(lambda text: print(text, end=""))
    >>> told.add([{"score": 0.5}])
    [
    {"score": 0.5}
    >>> told.end()
    <BLANKLINE>
    ]
    """

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write, self._lead = write, "["

    def add(self, rows: Iterable[object]) -> None:
        for row in rows:
            self._write(f"{self._lead}\n{json.dumps(row, allow_nan=False)}")
            self._lead = ","

    def end(self) -> None:
        self._write("[]\n" if self._lead == "[" else "\n]\n")


@contextmanager
def writing(option: str, path: Path) -> Iterator[None]:
    """A place that an option names and that cannot be written is told as an error of the option.

    >>> with writing("--results", Path("r.json")):
    ...     raise PermissionError(13, "Permission denied")
    Traceback (most recent call last):
    limbeck.errors.OptionError: --results r.json cannot be written: Permission denied
      expected: a place that can be written
      try:      --results with another place
    """
    try:
        yield
    except OSError as error:
        raise OptionError(
            f"{option} {path} cannot be written: {error.strerror or error}",
            expected="a place that can be written",
            hint=f"{option} with another place",
        ) from error


def check_file(option: str, path: Path) -> None:
    """An error before the work begins, where its outcome could not be written; folders on the way are made."""
    with writing(option, path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        with scratch(path) as temporary:
            temporary.touch()


def sweep(folder: Path) -> None:
    """Remove what processes of this machine left in `folder` when they were killed."""
    for left in folder.glob(f".*.{_HOST}-*-*.tmp"):
        owner = int(left.name.split("-")[-2])
        if not _alive(owner):
            left.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Make what was written, or renamed in a folder, survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _disk_is_full(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL:
            return True
        error = error.__cause__ or error.__context__  # torch.save wraps what its stream raises
    return False


def _no_space(path: Path, written: int) -> RunError:
    free = shutil.disk_usage(path.parent).free
    return RunError(
        f"no space left to write {path}",
        expected=f"more than {written / 1e6:.1f} MB; {free / 1e6:.1f} MB are free",
        hint="free some space, then the same command again; with --resume where a run had begun",
    )


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
