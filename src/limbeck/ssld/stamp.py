"""Whose soft labels a store holds."""

import contextlib
import dataclasses
import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from limbeck.errors import StoreError, as_typed
from limbeck.files import write_atomically
from limbeck.ssld.codes import kept

FORMAT = 1
STAMP = "store.json"
_WORDS = {"scale": "crop scale", "ratio": "crop ratio", "std": "deviation", "seed": "view seed"}


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
        numbers = (
            ("format", self.format, asked.format),
            ("classes", self.classes, asked.classes),
            ("classes kept", self.keep, asked.keep or self.keep),
        )
        differences = [
            *((f"{what} {mine}", f"{what} {its}") for what, mine, its in numbers if mine != its),
            *([_teachers(self, asked)] if self.teacher != asked.teacher else []),
            *([_policies(self, asked)] if self.views != asked.views else []),
        ]
        if differences:
            found, expected = (", ".join(side) for side in zip(*differences, strict=True))
            raise StoreError(
                f"the soft labels in {root} are of {found}", expected=expected, hint="--store ANOTHER_FOLDER"
            )


def _teachers(mine: Stamp, its: Stamp) -> tuple[str, str]:
    """By their names, and by what they want their input to be."""
    looks = [stamp.extra.get("teacher", {}).get("preprocesses", []) for stamp in (mine, its)]
    inputs = [{name: [look[name] for look in each] for name in (each[0] if each else ())} for each in looks]
    told = _unlike(*inputs)
    names = [stamp.about_teacher for stamp in (mine, its)]
    if names[0] == names[1] and not any(told):
        told = "", "other weights" if names[0] else ""
    one, other = (" with ".join(filter(None, pair)) for pair in zip(names, told, strict=True))
    return f"teacher {_with_print(one, mine.teacher)}", f"teacher {_with_print(other, its.teacher)}"


def _policies(mine: Stamp, its: Stamp) -> tuple[str, str]:
    """By what differs; where nothing does, the libraries are others than those that made the store."""
    told = mine.about_views, its.about_views
    if "views" in mine.extra and "views" in its.extra:
        told = _unlike(mine.extra["views"], its.extra["views"])
        if not any(told):
            told = "made by other versions of libraries", "made by those that are installed"
    return f"views {_with_print(told[0], mine.views)}", f"views {_with_print(told[1], its.views)}"


def _unlike(mine: Mapping[str, Any], its: Mapping[str, Any]) -> tuple[str, str]:
    """What differs between two tables of facts, on either side."""
    one, other = (json.loads(json.dumps(facts)) for facts in (mine, its))
    names = [name for name in one if name in other and one[name] != other[name]]
    first, second = (
        ", ".join(f"{_WORDS.get(name, name)} {as_typed(facts[name])}" for name in names) for facts in (one, other)
    )
    return first, second


def _with_print(told: str, fingerprint: str) -> str:
    return f"{told} ({fingerprint})" if told else fingerprint


def read_stamp(root: str | Path) -> Stamp | None:
    """The stamp of the store in a folder; None where there is no store.

    >>> read_stamp("no/such/folder") is None
    True
    """
    path = Path(root) / STAMP
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
        _create(root / STAMP, dataclasses.replace(asked, keep=kept(asked.classes, asked.keep)))
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
