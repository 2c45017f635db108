"""The photos that a detector learns from, and those that it is measured on."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from limbeck.checkpoints.detector_card import read_detector_card
from limbeck.detection.dataset import DetectionSet
from limbeck.detection.opened import Opened, read_sources
from limbeck.detection.sources import is_list
from limbeck.detection.stored import read_set, write_set
from limbeck.detection.train_options import Train
from limbeck.errors import LimbeckError, OptionError, counted, nearest
from limbeck.runs.devices import reading_workers
from limbeck.ssld.opening import refuse_moved

_LEARNED, _MEASURED = "manifest", "val"
_NAMED = 6


class Photos(NamedTuple):
    """What is learned from, and what is measured on."""

    train: DetectionSet
    val: DetectionSet | None


def open_photos(options: Train) -> Photos:
    """Those that a run that goes on has kept; else those that are named, all that is wrong with them in one error."""
    if options.resume and (kept := read_set(_folder(options), _LEARNED)) is not None:
        val = read_set(_folder(options), _MEASURED)
        for each in (kept, val):
            if each is not None:
                refuse_moved(each.images)
        return Photos(kept, val)
    if is_list(options.split) and not options.val and not options.val_split:
        raise OptionError(
            f"--split {options.split}, and nothing that says what to measure on",
            expected="another list, other photos, or none",
            hint="--val-split LIST, --val OTHER_PHOTOS or --val none",
        )
    known = tuple(read_detector_card(options.weights).classes) if options.weights else ()
    opener = _Opener(options)
    try:
        train = _learned(opener, known)
    except LimbeckError as error:
        raise _with_those_of_val(error, opener) from error
    try:
        val = _measured(opener, train.classes)
    except LimbeckError as error:
        found = f"of the photos to measure on: {error.found}"
        raise type(error)(found, expected=error.expected, hint=error.hint) from error
    return Photos(train if options.empty else train.filled(options.least_side), val)


def keep_photos(options: Train, photos: Photos) -> None:
    """For those who resume; what is learned from comes last, and tells that all is there."""
    if read_set(_folder(options), _LEARNED) is None:
        if photos.val is not None:
            write_set(photos.val, _folder(options), _MEASURED)
        write_set(photos.train, _folder(options), _LEARNED)


def _folder(options: Train) -> Path:
    return Path(options.out) / "last"


class _Opener:
    """Photos by their sources and split; what is both learned from and measured on is read once."""

    def __init__(self, options: Train) -> None:
        self.options = options
        self._read: dict[tuple[str, ...], Opened] = {}

    def open(
        self, sources: tuple[str, ...], split: str, classes: tuple[str, ...], *, skip_bad: bool = False
    ) -> DetectionSet:
        options = self.options
        if sources not in self._read:
            workers = reading_workers(options.workers, 1)
            self._read[sources] = read_sources(
                sources, format=options.format, cache_at=options.cache or None, workers=workers
            )
        return DetectionSet.of(
            self._read[sources],
            split=split or None,
            classes=classes or None,
            skip_bad=skip_bad or options.skip_bad,
        )

    def classes(self) -> tuple[str, ...]:
        """Those of what is learned from, whatever else is wrong with it; those that were named where none is left."""
        options = self.options
        try:
            return self.open(options.data, options.split, options.classes, skip_bad=True).classes
        except LimbeckError:
            return options.classes


def _learned(opener: _Opener, known: tuple[str, ...]) -> DetectionSet:
    """In the order of the model's answers, where it knows the same classes."""
    options = opener.options
    photos = opener.open(options.data, options.split, options.classes)
    if not options.classes and known and known != photos.classes and set(known) == set(photos.classes):
        return opener.open(options.data, options.split, known)
    return photos


def _measured(opener: _Opener, classes: tuple[str, ...]) -> DetectionSet | None:
    options = opener.options
    if options.val == "none":
        return None
    sources = (options.val,) if options.val else options.data
    split = options.val_split or ("" if options.val else "val")
    try:
        return opener.open(sources, split, classes)
    except LimbeckError as error:
        if options.val or options.val_split:
            raise
        raise type(error)(
            error.found, expected=error.expected, hint=f"{error.hint}; --val OTHER_PHOTOS; or --val none"
        ) from error


def _with_those_of_val(error: LimbeckError, opener: _Opener) -> LimbeckError:
    """The faults of what is measured on beside those of what is learned from."""
    try:
        _measured(opener, opener.classes())
    except LimbeckError as other:
        head, *faults = other.found.split("\n")
        new = [line for line in faults if line not in error.found.split("\n")]
        if new or (head not in error.found and not faults):
            both = f"{error.found}\nand of the photos to measure on: {other.found}"
            return LimbeckError(both, expected=error.expected, hint=error.hint)
    return error


def told(options: Train, photos: Photos) -> str:
    """What was found, in a few lines."""
    train, val = photos
    spans = train.columns.spans
    objects = int((spans[:, 1] - spans[:, 0]).sum())
    lines = [
        f"{counted(len(train), 'photo')} with {counted(objects, 'box', 'boxes')} of "
        f"{counted(len(train.classes), 'class', 'classes')}"
        + (f", {counted(len(val), 'photo')} to measure on" if val is not None else ", none to measure on")
    ]
    lines += train.notes
    of_val = val.notes if val is not None else ()
    lines += [f"to measure on: {note}" for note in of_val if note not in train.notes or _is_count(note)]
    if val is not None and (seen := _in_both(train, val)):
        lines.append(f"{seen:,} of the photos to measure on are learned from too")
    lines += _never_learned(train, val) if val is not None else []
    if options.weights and not options.resume:
        lines += _unlike(tuple(read_detector_card(options.weights).classes), train.classes, options.weights)
    return "\n".join(lines)


def _is_count(note: str) -> bool:
    """Whether a note counts the photos or boxes of its own split; other notes are about the source."""
    return note[0].isdecimal() or note.startswith("left out: ")


def _in_both(train: DetectionSet, val: DetectionSet) -> int:
    one, other = (np.ascontiguousarray(each.images.keys).view("V16")[:, 0] for each in (train, val))
    return int(np.isin(other, one).sum())


def _never_learned(train: DetectionSet, val: DetectionSet) -> list[str]:
    """Classes that are measured and of which nothing is shown: those of a list that has more than the photos."""
    learned, measured = _objects(train), _objects(val)
    lost = [number for number, count in enumerate(measured) if count and not learned[number]]
    names = [f"{train.classes[number]} ({counted(int(measured[number]), 'object')})" for number in lost]
    beyond = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return [f"measured, and never learned from: {', '.join(names[:_NAMED])}{beyond}"] if names else []


def _objects(photos: DetectionSet) -> NDArray[np.int64]:
    """How many objects of each class are on the photos."""
    columns, shown = photos.columns, np.zeros(len(photos.columns.labels) + 1, np.int64)
    np.add.at(shown, columns.spans[:, 0], 1)
    np.add.at(shown, columns.spans[:, 1], -1)
    return np.bincount(columns.labels[shown.cumsum()[:-1] > 0], minlength=len(photos.classes))


def _unlike(known: tuple[str, ...], classes: tuple[str, ...], weights: str) -> list[str]:
    """Classes that are spelt nearly as the model has them.

    >>> _unlike(("cat", "dog"), ("Cat", "dog", "tram"), "run")
    ['run does not know Cat; the nearest that it knows is cat']
    """
    strange = [name for name in classes if name not in known]
    near = {name: nearest(name, [each for each in known if each not in classes], 1) for name in strange}
    return [f"{weights} does not know {name}; the nearest that it knows is {at[0]}" for name, at in near.items() if at]
