"""The files of a folder or an archive, by name, with a way to read those that are no images."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from limbeck.errors import ImagesError
from limbeck.images.archives import is_archive, open_archive
from limbeck.images.cache import cache_root
from limbeck.images.places import Found, is_url, read_found
from limbeck.images.sources import IMAGES, reason_of

LABELS = (".csv", ".tsv", ".json", ".yaml", ".yml")
_BESIDE = ("annotations", "labels", "annotations_coco")


@dataclass(frozen=True)
class Tree:
    """What lies in one source. Every name begins with the source as it was typed: photos.zip/cats/1.jpg."""

    source: str
    place: str  # what ImageSet.open takes
    root: str = ""  # what the paths of that ImageSet begin with
    images: Sequence[str] = ()
    files: Sequence[str] = ()  # all others, and only the one named where a label file was named
    named: str = ""  # the label file, where one was named
    _members: Mapping[str, Found] = field(default_factory=dict, repr=False)

    def name(self, path: str) -> str:
        """A path of the ImageSet as a name of this tree; empty where it lies elsewhere.

        >>> Tree("photos", "photos", "/home/me/photos/").name("/home/me/photos/a.jpg")
        'photos/a.jpg'
        """
        return f"{self.source}/{path[len(self.root) :]}" if self.root and path.startswith(self.root) else ""

    def inner(self, name: str) -> str:
        """A name without the source that it begins with.

        >>> Tree("photos", "photos").inner("photos/cats/a.jpg")
        'cats/a.jpg'
        """
        return name[len(self.source) + 1 :]

    def read(self, name: str) -> bytes:
        """The bytes of a file that is no image; OSError where it cannot be read."""
        member = self._members.get(name)
        return read_found(member)[0] if member else Path(self.root, self.inner(name)).read_bytes()

    def text(self, name: str) -> str:
        return self.read(name).decode("utf-8-sig", "replace")


def open_tree(source: str, *, cache: Path | None = None, shown: bool = True) -> Tree:
    """The tree of a folder, an archive or a label file; of anything else an empty one, whose images have their paths.

    >>> from tempfile import mkdtemp
    >>> folder = mkdtemp()
    >>> for name in "a.jpg", "labels.csv":
    ...     _ = Path(folder, name).write_bytes(b"...")
    >>> tree = open_tree(folder)
    >>> [len(tree.images), len(tree.files)]
    [1, 1]
    """
    typed = source.rstrip("/") or source
    path = Path(typed).expanduser()
    if is_archive(typed) and (is_url(typed) or path.is_file()):
        return _archive(typed, cache or cache_root(), shown)
    if not is_url(typed) and path.is_dir():
        return _folder(typed, str(path), typed)
    if not is_url(typed) and path.is_file() and path.suffix.lower() in LABELS:
        return _around(path)
    if not is_url(typed) and not path.exists() and not any(mark in typed for mark in "*?["):
        raise ImagesError(
            f"{source} does not exist", expected="a folder, archive, label file or URL", hint=f"ls {path.parent}"
        )
    return Tree(typed, typed)


def _around(file: Path) -> Tree:
    """The images beside a label file, and of the other files only what it speaks of: a yaml of txt files."""
    folder = file.parent.parent if file.absolute().parent.name.lower() in _BESIDE else file.parent
    tree = _folder(str(folder), str(folder), str(folder))
    named = f"{tree.source}/{file.relative_to(folder)}"
    texts = [name for name in tree.files if name.endswith(".txt")] if file.suffix.lower() in (".yaml", ".yml") else []
    return replace(tree, files=(named, *texts), named=named)


def _folder(source: str, folder: str, place: str) -> Tree:
    root = os.path.abspath(folder)  # noqa: PTH100
    images: list[str] = []
    files: list[str] = []
    for inner in _walk(root):
        (images if inner.lower().endswith(IMAGES) else files).append(f"{source}/{inner}")
    return Tree(source, place, f"{root.rstrip('/')}/", images, files)


def _walk(root: str) -> Iterator[str]:
    """Names below a folder, sorted; linked folders once, hidden ones not."""
    seen: set[str] = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not _hidden(name))
        inner = os.path.relpath(folder, root)
        for name in sorted(files):
            if not _hidden(name):
                yield name if inner == "." else f"{inner}/{name}"


def _archive(source: str, cache: Path, shown: bool) -> Tree:
    place = source if is_url(source) else os.path.abspath(Path(source).expanduser())  # noqa: PTH100
    try:
        container, stamp, listed = open_archive(place, cache, shown=shown)
    except OSError as error:
        raise ImagesError(
            f"{source} cannot be read: {reason_of(error)}", expected="a whole archive", hint="download or pack it again"
        ) from None
    images: list[str] = []
    members: dict[str, Found] = {}
    for member in listed:
        if member.reason or any(map(_hidden, PurePosixPath(member.path).parts)):
            continue
        name = f"{source}/{member.path}"
        if member.path.lower().endswith(IMAGES):
            images.append(name)
        else:
            members[name] = Found(
                member.path, container, member.offset, member.length, member.size, member.method, member.headed, stamp
            )
    return Tree(source, source, f"{container}/", images, tuple(members), "", members)


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"
