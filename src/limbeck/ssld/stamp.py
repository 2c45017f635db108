"""Whose soft labels a store holds."""

import contextlib
import dataclasses
import json
import os
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from limbeck.errors import StoreError
from limbeck.files import write_atomically
from limbeck.ssld.codes import kept

FORMAT = 1
_FILE = "store.json"


@dataclass(frozen=True)
class Stamp:
    """The teacher and the view policy of a store, and the shape of its labels; asked for with `keep` 0, of any."""

    teacher: str
    views: str
    classes: int
    keep: int
    about_teacher: str = ""
    about_views: str = ""
    class_names: tuple[str, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    def refuse_other(self, root: Path, asked: "Stamp") -> None:
        """Raises where labels asked for cannot be those of this store."""
        differences = [
            (f"{what} {_told(mine, about)}", f"{what} {_told(theirs, about_theirs)}")
            for what, mine, theirs, about, about_theirs in (
                ("format", self.format, asked.format, "", ""),
                ("teacher", self.teacher, asked.teacher, self.about_teacher, asked.about_teacher),
                ("views", self.views, asked.views, self.about_views, asked.about_views),
                ("classes", self.classes, asked.classes, "", ""),
                ("classes kept", self.keep, asked.keep or self.keep, "", ""),
            )
            if mine != theirs
        ]
        if differences:
            found, expected = (", ".join(side) for side in zip(*differences, strict=True))
            raise StoreError(
                f"the soft labels in {root} are of {found}", expected=expected, hint="--store ANOTHER_FOLDER"
            )


def _told(value: object, about: str) -> str:
    return f"{about} ({value})" if about else str(value)


def read_stamp(root: str | Path) -> Stamp | None:
    """The stamp of the store in a folder; None where there is no store.

    >>> read_stamp("no/such/folder") is None
    True
    """
    path = Path(root) / _FILE
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        return Stamp(**fields | {"class_names": tuple(fields["class_names"])})
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        raise StoreError(
            f"{path} cannot be read: {error}",
            expected="the stamp of a soft-label store",
            hint="--store ANOTHER_FOLDER, or delete this one",
        ) from error


def stamped(root: Path, asked: Stamp) -> Stamp:
    """The stamp of the store in a folder, which is made one where it is none; another's store is refused.

    Where `asked.keep` is 0, a store keeps what it does already, and a new one the default number of classes.
    """
    found = read_stamp(root)
    if found is None:
        _create(root / _FILE, dataclasses.replace(asked, keep=kept(asked.classes, asked.keep)))
        found = read_stamp(root)
        assert found is not None
    found.refuse_other(root, asked)
    return found


def _create(path: Path, stamp: Stamp) -> None:
    fresh = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    write_atomically(fresh, json.dumps(dataclasses.asdict(stamp), indent=1).encode())
    try:
        with contextlib.suppress(FileExistsError):  # another process made it just now
            os.link(fresh, path)
    except OSError:  # a file system without hard links
        os.replace(fresh, path)  # noqa: PTH105
    finally:
        fresh.unlink(missing_ok=True)
