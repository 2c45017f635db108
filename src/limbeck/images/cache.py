"""Where limbeck keeps what it can make again."""

import os
import shutil
from pathlib import Path

from limbeck.errors import ImagesError


def cache_root() -> Path:
    """The cache folder: $LIMBECK_CACHE, or ~/.cache/limbeck.

    >>> cache_root().is_absolute()
    True
    """
    return Path(os.environ.get("LIMBECK_CACHE") or Path.home() / ".cache" / "limbeck").absolute()


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
