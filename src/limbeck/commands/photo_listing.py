"""The photos that names stand for, and where answers to them are printed."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from rich.console import Console

from limbeck.console import console
from limbeck.errors import ImagesError
from limbeck.images.cache import cache_root
from limbeck.images.manifest import label
from limbeck.images.places import Found, is_url, read_found
from limbeck.images.sources import Search, find
from limbeck.records import Skipped


@dataclass(frozen=True)
class Listing:
    """Files as they were found, for the reader: they are decoded once, and nothing is kept of them."""

    names: Sequence[str]
    found: Sequence[Found]

    @property
    def keys(self) -> None:
        return None

    def __len__(self) -> int:
        return len(self.found)

    def path(self, index: int) -> str:
        return self.names[index]

    def read(self, index: int) -> bytes:
        return read_found(self.found[index])[0]


@contextmanager
def aside(json: bool) -> Iterator[Console]:
    """Where the answers go: a terminal shows them above the progress; else all but them goes to stderr."""
    before = console.stderr
    console.stderr = json or not console.is_terminal
    try:
        yield Console(soft_wrap=True, highlight=False) if console.stderr else console
    finally:
        console.stderr = before


def listed(names: Sequence[str]) -> tuple[Listing, list[Skipped]]:
    """The files that the names stand for, in the order of the names and then of the listing; and what is no photo."""
    found: list[Found] = []
    titles: list[str] = []
    skipped: list[Skipped] = []
    with console.status("listing photos") as status:
        for name in names:
            title = partial(_as_typed, name)
            search = Search(cache_root())
            before = len(found)
            try:
                for each in find([name], search):
                    found.append(each)
                    titles.append(title(label(each.path, each.container)))
                    if len(found) % 1000 == 0:
                        status.update(f"listing photos: {len(found):,}")
            except ImagesError as error:
                skipped.append(Skipped(name, _reason(error, name)))
                continue
            skipped += [Skipped(title(path), reason) for path, reason in search.skipped]
            if len(found) == before and not search.skipped:
                skipped.append(Skipped(name, "no photo is in it"))
    return Listing(titles, found), skipped


def _reason(error: ImagesError, name: str) -> str:
    """Why a name gives nothing, in words that do not name it again.

    >>> _reason(ImagesError("a.jpg does not exist", hint="photos/a.jpg"), "a.jpg")
    'does not exist; the nearest is photos/a.jpg'
    """
    reason = error.found.removeprefix(f"{name} ")
    lost = "does not exist" in reason or reason.startswith("nothing matches")
    if not error.hint or (lost and error.hint.startswith("ls ")):
        return reason
    return f"{reason}; the nearest is {error.hint}" if lost else f"{reason}; {error.hint}"


def _as_typed(name: str, path: str) -> str:
    """A path below where the user stands, when the user named it so; bytes that are no text are shown as \\udcXX.

    >>> _as_typed("photos", f"{os.getcwd()}/photos/a.jpg"), _as_typed("/photos", "/photos/a.jpg")
    ('photos/a.jpg', '/photos/a.jpg')
    """
    if not (name.startswith(("~", os.sep)) or is_url(name) or is_url(path)):
        path = os.path.relpath(path)
    return path.encode("utf-8", "backslashreplace").decode()
