"""From what the user typed to the files that may be images: folders, files, lists, archives, globs, URLs, manifests."""
# ruff: noqa: PTH100, PTH111, PTH112, PTH113, PTH116, PTH118, PTH120, PTH122, PTH207, PTH208
# os.path throughout: a Path object for each of millions of files costs more than listing them

import glob
import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import pyarrow as pa

from limbeck.errors import ImagesError
from limbeck.images.archives import is_archive, open_archive
from limbeck.images.places import PLAIN, Damaged, Found, filesystem, is_url, read_whole, stamp_of, state_of

IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
MANIFEST = "manifest.arrow"
_TO_CONVERT = (".heic", ".heif", ".avif", ".jxl", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2")

_UNKNOWN = -1


@dataclass(frozen=True)
class Search:
    """One look through the sources: what to find only once, and what was passed over."""

    cache: Path
    shown: bool = True
    skipped: list[tuple[str, str]] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    seen: set[int] = field(default_factory=set)

    def first(self, *identity: str) -> bool:
        mark = hash(identity)
        if mark in self.seen:
            return False
        self.seen.add(mark)
        return True

    def skip(self, path: str, reason: str) -> None:
        self.skipped.append((path, reason))

    def ignore(self, name: str) -> None:
        self.ignored[os.path.splitext(name)[1].lower() or "no extension"] += 1


def find(sources: Sequence[str], search: Search) -> Iterator[Found]:
    """Every file of the sources that may be an image, in their order, sorted by path inside each, none twice.

    >>> from tempfile import mkdtemp
    >>> folder = mkdtemp()
    >>> for name in "b.jpg", "a.PNG", "notes.csv":
    ...     _ = Path(folder, name).write_bytes(b"...")
    >>> search = Search(Path(folder, "cache"))
    >>> [Path(found.path).name for found in find([folder], search)], dict(search.ignored)
    (['a.PNG', 'b.jpg'], {'.csv': 1})
    """
    for source in sources:
        if is_url(source) and not source.startswith("file://"):
            yield from _url(source, search)
        else:
            yield from _local(os.path.expanduser(_without_scheme(source)), search)


def _without_scheme(source: str) -> str:
    return filesystem(source)[1] if source.startswith("file://") else source


def _local(source: str, search: Search) -> Iterator[Found]:
    path = os.path.abspath(source)
    if os.path.lexists(path):
        yield from _one(path, search)
    elif glob.has_magic(source):
        yield from _pattern(path, search)
    else:
        raise ImagesError(
            f"{source} does not exist", expected="a folder, file, list, archive or URL", hint=_nearest(path)
        )


def _pattern(pattern: str, search: Search) -> Iterator[Found]:
    matches = sorted(glob.glob(pattern, recursive=True))
    if not matches:
        raise ImagesError(f"nothing matches {pattern}", expected="a pattern of existing files", hint=_nearest(pattern))
    wanted = (*IMAGES, *(kind for kind in (".txt", ".arrow") if pattern.endswith(kind)))
    fixed = re.split(r"[*?[]", pattern)[0]
    for match in matches:
        if any(map(_hidden, match.removeprefix(fixed).split("/"))):
            continue
        if match.lower().endswith(wanted) or is_archive(match) or os.path.isdir(match):
            yield from _one(match, search)
        else:
            search.ignore(match)


def _nearest(path: str) -> str:
    folder, name = os.path.split(path)
    while not os.path.isdir(folder):
        folder, name = os.path.split(folder)
    names = os.listdir(folder)
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    return os.path.join(folder, near[0]) if near else f"ls {folder}"


def _one(path: str, search: Search) -> Iterator[Found]:
    lower = path.lower()
    if os.path.isdir(path):
        kept = os.path.join(path, MANIFEST)
        yield from _manifest(kept, search) if os.path.isfile(kept) else _folder(path, search)
    elif is_archive(path):
        yield from _archive(path, search)
    elif lower.endswith(".txt"):
        yield from _list(path, search)
    elif lower.endswith(".arrow"):
        yield from _manifest(path, search)
    else:
        yield from _file(path, search)


def _folder(folder: str, search: Search) -> Iterator[Found]:
    real = os.path.realpath(folder)
    if not search.first(real, "folder"):
        return
    try:
        with os.scandir(folder) as entries:
            names = sorted(e.name + "/" * _is_folder(e) for e in entries if not _hidden(e.name))
    except OSError as error:
        search.skip(folder, reason_of(error))
        return
    for name in names:
        path = os.path.join(folder, name)
        if name.endswith("/"):
            yield from _folder(path.rstrip("/"), search)
        elif name.lower().endswith(IMAGES):
            yield from _file(path, search, os.path.join(real, name))
        else:
            search.ignore(name)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _file(path: str, search: Search, real: str = "") -> Iterator[Found]:
    """`real` is given where only the last part of the path can still be a link."""
    try:
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode):
            status, real = os.stat(path), ""
    except OSError as error:
        search.skip(path, reason_of(error))
        return
    if not stat.S_ISREG(status.st_mode):
        search.skip(path, "not an ordinary file")
    elif search.first(real or os.path.realpath(path)):
        yield Found(path, "", 0, status.st_size, status.st_size, PLAIN, False, status.st_mtime_ns)


def _list(path: str, search: Search) -> Iterator[Found]:
    """A list's own order is kept. A line that leads nowhere is one unreadable image, not the end."""
    folder = os.path.dirname(path)
    try:
        lines = open(path, encoding="utf-8-sig", errors="surrogateescape")  # noqa: SIM115
    except OSError as error:
        raise ImagesError(
            f"{path} cannot be read: {reason_of(error)}", expected="a list of images", hint=f"ls -l {path}"
        ) from None
    with lines:
        for line in map(str.strip, lines):
            if not line or line.startswith("#"):
                continue
            place = line if is_url(line) else os.path.abspath(os.path.join(folder, os.path.expanduser(line)))
            try:
                yield from _listed(place, search)
            except ImagesError as error:
                search.skip(place, error.found)


def _listed(place: str, search: Search) -> Iterator[Found]:
    if is_url(place):
        yield from _url(place, search, listed=True)
    elif place.lower().endswith(".txt"):
        search.skip(place, "a list inside a list")
    else:
        yield from _one(place, search)


def _archive(archive: str, search: Search) -> Iterator[Found]:
    real = archive if is_url(archive) else os.path.realpath(archive)
    if not search.first(real):
        return
    try:
        container, stamp, members = open_archive(archive, search.cache, shown=search.shown)
    except OSError as error:
        search.skip(archive, reason_of(error))
        return
    for member in members:
        if member.reason:
            search.skip(f"{archive}/{member.path}".rstrip("/"), member.reason)
        elif any(map(_hidden, member.path.split("/"))):
            continue
        elif not member.path.lower().endswith(IMAGES):
            search.ignore(member.path)
        elif search.first(container, member.path):
            yield Found(
                member.path,
                container,
                member.offset,
                member.length,
                member.size,
                member.method,
                member.headed,
                stamp,
            )


def _manifest(path: str, search: Search) -> Iterator[Found]:
    """The images of an earlier manifest, checked anew beside the other sources."""
    columns = ["path", "container", "offset", "length", "method"]
    try:
        with pa.memory_map(path) as file:
            reader = pa.ipc.open_file(file)
            for number in range(reader.num_record_batches):
                batch = reader.get_batch(number)
                yield from _kept(zip(*(batch.column(name).to_pylist() for name in columns)), search)
    except (OSError, pa.ArrowInvalid, KeyError) as error:
        raise ImagesError(
            f"{path} is not a manifest of images: {error}",
            expected="the manifest.arrow of a run, or a manifest from the cache",
            hint="name the photos' own folder instead: the manifest is made again",
        ) from None


def _kept(rows: Iterator[Any], search: Search) -> Iterator[Found]:
    stamps: dict[str, int] = {}
    for path, container, offset, length, method in rows:
        place = container or path
        if not container and not is_url(path):
            yield from _file(path, search)
        elif search.first(container, path):
            try:
                if place not in stamps:
                    stamps[place] = state_of(place)[1]
                yield Found(path, container, offset, length, length, method, False, stamps[place])
            except OSError as error:
                search.skip(path, reason_of(error))


def _url(url: str, search: Search, *, listed: bool = False) -> Iterator[Found]:
    system, path = filesystem(url)
    url, lower = str(system.unstrip_protocol(path)), path.lower()
    try:
        if is_archive(lower):
            yield from _archive(url, search)
        elif lower.endswith(".txt") and not listed:
            yield from _url_list(url, search)
        elif "*" in path:
            for match in sorted(map(str, system.glob(path))):
                if _hidden(match.rsplit("/", 1)[-1]):
                    continue
                if match.lower().endswith(IMAGES) or is_archive(match):
                    yield from _url(system.unstrip_protocol(match), search, listed=True)
                else:
                    search.ignore(match)
        elif lower.endswith(IMAGES) or not system.isdir(path):
            if search.first(url):
                size, stamp = (_UNKNOWN, 0) if listed else state_of(url)
                yield Found(url, "", 0, size, size, PLAIN, False, stamp)
        else:
            yield from _url_folder(system, path, search)
    except FileNotFoundError:
        if not listed:
            raise ImagesError(
                f"{url} does not exist",
                expected="a folder, image or archive at this URL",
                hint=f"see what is there: --images {url.rpartition('/')[0]}/",
            ) from None
        search.skip(url, "no such file")
    except OSError as error:
        if not listed:
            raise ImagesError(
                f"{url} cannot be read: {reason_of(error)}",
                expected="a server that answers, and leave to read",
                hint="the same command again, or download the photos first: --images FOLDER",
            ) from None
        search.skip(url, reason_of(error))


def _url_list(url: str, search: Search) -> Iterator[Found]:
    folder = url.rsplit("/", 1)[0]
    for line in map(str.strip, read_whole(url).decode("utf-8-sig", "replace").splitlines()):
        if line and not line.startswith("#"):
            yield from _url(line if is_url(line) else f"{folder}/{line}", search, listed=True)


def _url_folder(system: Any, folder: str, search: Search) -> Iterator[Found]:
    if not search.first(system.unstrip_protocol(folder).rstrip("/"), "folder"):
        return
    for information in sorted(system.ls(folder, detail=True), key=lambda entry: str(entry["name"])):
        name = str(information["name"])
        url = system.unstrip_protocol(name)
        if _hidden(name.rstrip("/").rsplit("/", 1)[-1]):
            continue
        if information["type"] == "directory":
            yield from _url_folder(system, name, search)
        elif not name.lower().endswith(IMAGES):
            search.ignore(name)
        elif search.first(url):
            size = information.get("size") or _UNKNOWN
            yield Found(url, "", 0, size, size, PLAIN, False, stamp_of(information))


def advice(names: Iterable[str]) -> str:
    """What to do about photos of kinds that are not read.

    >>> advice(["IMG_1.HEIC"])
    '; HEIC, AVIF and RAW photos are not read: convert them to JPEG or PNG'
    """
    if not any(name.lower().endswith(_TO_CONVERT) for name in names):
        return ""
    return "; HEIC, AVIF and RAW photos are not read: convert them to JPEG or PNG"


def reason_of(error: OSError) -> str:
    """Why a file cannot be read, in plain words.

    >>> reason_of(PermissionError(13, "Permission denied"))
    'permission denied'
    """
    if isinstance(error, Damaged):
        return str(error)
    return (error.strerror or "").lower() or f"{type(error).__name__}: {error}".splitlines()[0]
