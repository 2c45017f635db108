"""A file is the old one or the new one, never a part."""

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

import pytest
import torch

from limbeck.errors import RunError
from limbeck.files import write_atomically

KILLED = """
import os, signal, sys
from pathlib import Path
from limbeck.files import write_atomically
def half(stream):
    stream.write(b"ne"); stream.flush(); os.kill(os.getpid(), signal.SIGKILL)
write_atomically(Path(sys.argv[1]), half)
"""


def test_new_content_replaces_the_old(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "file"
    write_atomically(file, b"old")
    write_atomically(file, lambda stream: stream.write(b"new"))
    assert file.read_bytes() == b"new"
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_keeps_the_old_content_and_says_what_is_needed(tmp_path: Path, number: int) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"old")

    class Full:
        """Takes a megabyte, as a disk with little space would."""

        def __init__(self, stream: BinaryIO) -> None:
            self.stream, self.left = stream, 1_000_000

        def write(self, data: bytes) -> int:
            self.left -= len(data)
            if self.left < 0:
                raise OSError(number, os.strerror(number))
            return self.stream.write(data)

        def flush(self) -> None:
            self.stream.flush()

    with pytest.raises(RunError, match="no space left") as error:
        write_atomically(file, lambda stream: torch.save({"weights": torch.zeros(10**6)}, Full(stream)))  # type: ignore[arg-type]
    assert "MB are free" in str(error.value)
    assert "--resume" in str(error.value)
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_another_failure_is_not_hidden(tmp_path: Path) -> None:
    def fail(_: BinaryIO) -> None:
        raise ValueError("no such thing")

    with pytest.raises(ValueError, match="no such thing"):
        write_atomically(tmp_path / "file", fail)
    assert list(tmp_path.iterdir()) == []


def test_a_kill_in_the_middle_keeps_the_old_content(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"old")
    assert subprocess.run([sys.executable, "-c", KILLED, str(file)], check=False).returncode == -9
    assert file.read_bytes() == b"old"
