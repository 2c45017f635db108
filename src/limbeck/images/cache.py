"""Where limbeck keeps what it can make again, and how a file gets there whole or not at all."""

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from itertools import count
from pathlib import Path

from limbeck.errors import ImagesError

_HOST = blake2b(socket.gethostname().encode(), digest_size=4).hexdigest()
_numbers = count()


def cache_root() -> Path:
    """The cache folder: $LIMBECK_CACHE, or ~/.cache/limbeck.

    >>> cache_root().is_absolute()
    True
    """
    return Path(os.environ.get("LIMBECK_CACHE") or Path.home() / ".cache" / "limbeck").absolute()


@contextmanager
def scratch(path: Path) -> Iterator[Path]:
    """A name beside `path` that no other process uses; what lies there is gone after the block."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{_HOST}-{os.getpid()}-{next(_numbers)}.tmp")
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
        yield temporary
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)


def sweep(folder: Path) -> None:
    """Remove what processes of this machine left in `folder` when they were killed."""
    for left in folder.glob(f".*.{_HOST}-*-*.tmp"):
        owner = int(left.name.split("-")[-2])
        if not _alive(owner):
            left.unlink(missing_ok=True)


def require_space(folder: Path, size: int, purpose: str) -> None:
    """Refuse to start (or go on) writing what the disk cannot hold.

    >>> require_space(Path("."), 1, "a byte")
    """
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if size > free:
        raise ImagesError(
            f"{purpose} needs {size / 1e9:.2f} GB, and {folder} has {free / 1e9:.2f} GB free",
            expected="enough free disk for the cache",
            hint="LIMBECK_CACHE=/a/larger/disk",
        )


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
