"""Files that appear whole or not at all."""

import subprocess
import sys
from pathlib import Path

import pytest

from limbeck.errors import ImagesError
from limbeck.files import replacing, sweep
from limbeck.images.cache import require_space


def test_a_failure_leaves_the_earlier_file(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    path.write_text("earlier")
    with pytest.raises(FileNotFoundError), replacing(path):
        (tmp_path / "nowhere").read_text()
    with pytest.raises(IsADirectoryError), replacing(path) as temporary:
        temporary.write_bytes(tmp_path.read_bytes())
    assert path.read_text() == "earlier"
    assert list(tmp_path.iterdir()) == [path]


def test_what_killed_processes_left_is_swept_and_what_live_ones_write_is_not(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from limbeck.files import replacing\n"
        "with replacing(Path(sys.argv[1])) as temporary: temporary.touch(); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "kept"], check=False)
    assert len(list(tmp_path.iterdir())) == 1
    with replacing(tmp_path / "kept") as temporary:
        temporary.touch()
        sweep(tmp_path)
        assert list(tmp_path.iterdir()) == [temporary]


def test_a_disk_that_is_too_small_is_told_with_both_sizes(tmp_path: Path) -> None:
    with pytest.raises(ImagesError, match=r"unpacking a\.tar needs 1000000000\.00 GB, and .* GB free"):
        require_space(tmp_path, 10**18, "unpacking a.tar")
