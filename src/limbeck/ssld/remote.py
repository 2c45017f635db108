"""A store at a URL: machines without a common file system put files there, and each reads its own copy of them.

Files cannot be mapped into memory through a URL, so each machine has them on a disk of its own.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path

from limbeck.console import progress
from limbeck.errors import LimbeckError, StoreError
from limbeck.files import replacing, write_atomically
from limbeck.images.cache import require_space
from limbeck.images.places import filesystem
from limbeck.ssld.shard import DAMAGED, SUFFIX
from limbeck.ssld.stamp import STAMP


def copy_of(url: str, cache: Path) -> Path:
    """Where the copy of a store lies on this machine."""
    return cache / "stores" / blake2b(url.rstrip("/").encode(), digest_size=16).hexdigest()


def fetch(url: str, folder: Path, *, shown: bool = True) -> None:
    """Get the files of the store that were not fetched before; what was made few since is not fetched again.

    Where a file of the copy was damaged, nobody knows which ones it was made of: all are fetched again.
    """
    had = folder.with_suffix(".fetched")
    damaged = list(folder.glob(f"*{DAMAGED}"))
    names = set(had.read_text().split()) if had.exists() and not damaged else set()
    with _reaching(url):
        system, root = filesystem(url)
        system.invalidate_cache()
        there = system.ls(root, detail=True) if system.exists(root) else []
        sizes = {Path(each["name"]).name: each["size"] or 0 for each in there if each["type"] == "file"}
        ours = {name for name in sizes if name == STAMP or name.endswith(SUFFIX)} - names
        left = sorted(name for name in ours if not (folder / name).exists())
        require_space(folder, sum(sizes[name] for name in left), f"a copy of {url}")
        with progress("fetching soft labels", len(left), shown=shown and bool(left)) as advance:
            for name in left:
                with replacing(folder / name) as temporary:
                    system.get_file(f"{root}/{name}", str(temporary))
                advance()
    write_atomically(had, "\n".join(sorted(names | ours - {STAMP})).encode())
    for file in damaged:
        file.unlink(missing_ok=True)


def publish(url: str, file: Path) -> None:
    """Put a file of the store where it is not yet."""
    with _reaching(url):
        system, root = filesystem(url)
        system.makedirs(root, exist_ok=True)
        if not system.exists(f"{root}/{file.name}"):
            fresh = f"{root}/.{file.name}.{uuid.uuid4().hex}.tmp"
            system.put_file(str(file), fresh)
            system.mv(fresh, f"{root}/{file.name}")  # whole or not there


def is_published(url: str, name: str) -> bool:
    with _reaching(url):
        system, root = filesystem(url)
        return bool(system.exists(f"{root}/{name}"))


@contextmanager
def _reaching(url: str) -> Iterator[None]:
    try:
        yield
    except LimbeckError:
        raise
    except Exception as error:  # each filesystem has its own
        raise StoreError(
            f"the store at {url} cannot be reached: {type(error).__name__}: {error}",
            expected="a place that can be read and written, with the packages and the credentials that it needs",
            hint="the same command again does only what is left; or --out FOLDER, on a disk that all machines share",
        ) from error
