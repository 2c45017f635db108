"""Digests of large files, kept in the cache as long as size and time of the file stay."""

import json
from hashlib import blake2b
from pathlib import Path

from limbeck.console import progress
from limbeck.errors import CheckpointError
from limbeck.files import write_atomically
from limbeck.images.cache import cache_root

_PIECE = 1 << 22


def file_digest(path: Path) -> str:
    """The blake2b-128 digest of a file's content.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "empty"
    >>> file.touch()
    >>> file_digest(file)
    'cae66941d9efbd404e4d88758ea67670'
    """
    path = path.resolve()
    if not path.is_file():
        raise CheckpointError(f"no file at {path}", expected="a file of weights", hint="--teacher-weights FILE")
    known = cache_root() / "digests.json"
    status = path.stat()
    stamp = [status.st_size, status.st_mtime_ns]
    digests = _read(known)
    kept = digests.get(str(path))
    if kept and kept[:2] == stamp:
        return str(kept[2])
    digests[str(path)] = [*stamp, _digest(path, status.st_size)]
    write_atomically(known, json.dumps(digests, indent=0).encode())
    return str(digests[str(path)][2])


def _digest(path: Path, size: int) -> str:
    digest = blake2b(digest_size=16)
    with open(path, "rb") as stream, progress(f"reading {path.name}", size, shown=size > 1 << 30) as advance:
        while piece := stream.read(_PIECE):
            digest.update(piece)
            advance(len(piece))
    return digest.hexdigest()


def _read(known: Path) -> dict[str, list[int | str]]:
    try:
        content = json.loads(known.read_text())
    except (OSError, ValueError):
        return {}  # a cache: made again
    return content if isinstance(content, dict) else {}
