"""Files that are whole or not there."""

import contextlib
import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from limbeck.errors import RunError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_atomically(path: Path, content: bytes | Callable[[BinaryIO], object]) -> None:
    """Writes beside the file and renames: a reader finds the old content or the new, whatever happens in between.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "note.txt"
    >>> write_atomically(file, b"whole")
    >>> file.read_bytes()
    b'whole'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(partial, "wb") as stream:
            if callable(content):
                content(stream)
            else:
                stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial, path)  # noqa: PTH105
        sync_folder(path.parent)
    except BaseException as error:
        written = partial.stat().st_size if partial.exists() else 0
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        if _disk_is_full(error):
            raise _no_space(path, len(content) if isinstance(content, bytes) else written) from error
        raise


def sync_folder(folder: Path) -> None:
    """Makes renames in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
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


def _no_space(path: Path, needed: int) -> RunError:
    free = shutil.disk_usage(path.parent).free
    return RunError(
        f"no space left to write {path}",
        expected=f"more than {needed / 1e6:.1f} MB; {free / 1e6:.1f} MB are free",
        hint="free some space and go on: the same command with --resume",
    )
