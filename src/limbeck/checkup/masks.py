"""Segmentation masks: do they fit their photos, and do their values mean anything?"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from limbeck.checkup.case import Case
from limbeck.checkup.findings import ERROR, NOTE, WARNING, Finding, Place, are, have
from limbeck.checkup.labels import every
from limbeck.datasets.records import Labels, Sample
from limbeck.errors import counted

IGNORED = 255
_BINARY = {0, IGNORED}
_RARE = 0.01  # of the pixels
_LOSSY = (".jpg", ".jpeg", ".webp")


def masked(case: Case) -> Iterator[tuple[Labels, Sample, int, int]]:
    """Every photo and its mask, by their rows."""
    for _, labels, sample, row in every(case):
        mask = case.rows.get(sample.mask) if sample.mask else None
        if row is not None and mask is not None:
            yield labels, sample, row, mask


def other_size(case: Case) -> list[Finding]:
    """Masks of another size than their photo."""
    places = []
    for _, sample, row, mask in masked(case):
        (height, width), (own_height, own_width) = case.sizes[row].tolist(), case.sizes[mask].tolist()
        if (height, width) != (own_height, own_width):
            turned = ", as if turned" if (height, width) == (own_width, own_height) else ""
            what = f"{own_width}x{own_height}, the photo is {width}x{height}{turned}"
            places.append(Place(sample.mask, what, (row, mask)))
    number = len(places)
    return _told(
        "mask-sizes",
        ERROR,
        f"{counted(number, 'mask')} {have(number)} another size than the photo",
        places,
        "Training stops where the two are laid over each other, or every pixel has its neighbour's class.",
        "make the masks for the photos as they are; for EXIF turns, turn the photos for good",
        case,
    )


def unknown_values(case: Case) -> list[Finding]:
    """Pixels of a class that the list does not have."""
    places: list[Place] = []
    strange: Counter[str] = Counter()
    for labels, sample, row, mask in masked(case):
        unknown = [value for value in _unknown(labels, case, mask) if value != IGNORED or case.seen.coloured[mask]]
        if unknown:
            told = [_called(value, bool(case.seen.coloured[mask])) for value in unknown]
            strange.update(told)
            places.append(Place(sample.mask, f"pixels of {', '.join(told[:6])}", (row, mask)))
    if not places:
        return []
    number = len(places)
    values = ", ".join(value for value, _ in strange.most_common(5))
    return _told(
        "unknown-mask-values",
        ERROR,
        f"{counted(number, 'mask')} {have(number)} values beyond the list of classes: {values}",
        places,
        "Training stops at a class that the network does not have.",
        "add the classes to the list, or make the values 255 (void) where they mean nothing",
        case,
    )


def binary(case: Case) -> list[Finding]:
    """Masks of 0 and 255 only: white is then a class, not void."""
    pairs = list(masked(case))
    rows = [mask for _, _, _, mask in pairs]
    values = {value for mask in rows for value in case.seen.values[mask] or ()}
    if values != _BINARY or any(case.seen.coloured[mask] for mask in rows):
        return []
    _, sample, row, mask = pairs[0]
    return [
        Finding(
            "black-and-white-masks",
            WARNING,
            "the masks are black and white: 0 and 255",
            [Place(sample.mask, "", (row, mask))],
            "255 is what most trainers take for void: nothing would be learned of it.",
            "write 1 in place of 255",
            total=1,
        )
    ]


def lossy(case: Case) -> list[Finding]:
    """Masks in a format that changes values at every edge."""
    places = [
        Place(sample.mask, "", (row, mask))
        for _, sample, row, mask in masked(case)
        if PurePosixPath(sample.mask).suffix.lower() in _LOSSY and case.seen.format[mask] in ("JPEG", "WEBP")
    ]
    number = len(places)
    return _told(
        "lossy-masks",
        ERROR,
        f"{counted(number, 'mask')} {are(number)} in a lossy format",
        places,
        "Compression smears the classes: at every edge there are values that mean nothing.",
        "make them again as PNG",
        case,
    )


def one_value(case: Case) -> list[Finding]:
    """Masks with a single value."""
    places = [
        Place(sample.mask, f"all {_called(values[0], bool(case.seen.coloured[mask]))}", (row, mask))
        for _, sample, row, mask in masked(case)
        if len(values := case.seen.values[mask] or []) == 1
    ]
    number = len(places)
    return _told(
        "one-valued-masks",
        NOTE if number < len(list(masked(case))) / 2 else WARNING,
        f"{counted(number, 'mask')} {have(number)} a single value throughout",
        places,
        "There may be nothing on the photo; or the mask was never drawn.",
        "look at them",
        case,
    )


def shares(case: Case) -> list[Finding]:
    """Classes with few pixels, or none."""
    findings = []
    for _, labels in case.labels:
        if labels.task != "segmentation" or not labels.classes:
            continue
        pixels: defaultdict[int, int] = defaultdict(int)
        for owner, _, _, mask in masked(case):
            if owner is labels:
                for value, count in zip(case.seen.values[mask] or (), case.seen.counts[mask] or ()):
                    pixels[_class_of(labels, value, bool(case.seen.coloured[mask]))] += count
        total = sum(count for value, count in pixels.items() if value in labels.classes)
        names = {
            value: name for value, name in labels.classes.items() if name.lower() not in ("void", "ignore", "unlabeled")
        }
        none = [name for value, name in names.items() if not pixels[value]]
        rare = sorted((value for value in names if 0 < pixels[value] < _RARE * total), key=lambda value: pixels[value])
        if none:
            words = f"{counted(len(none), 'class', 'classes')} {are(len(none))} on no mask: {', '.join(none[:6])}"
            why, cure = "A model cannot learn them, and no score tells.", "take them out of the list, or label some"
            findings.append(Finding("unused-classes", WARNING, words, [], why, cure, len(names), total=len(none)))
        if rare:
            told = ", ".join(f"{names[value]} {100 * pixels[value] / total:.2g} %" for value in rare[:5])
            most = max(names, key=lambda value: pixels[value])
            words = f"the classes are uneven: {told} of the pixels, {names[most]} {100 * pixels[most] / total:.2g} %"
            why = "The large ones win: pixel accuracy hides how the small ones do."
            cure = "look at IoU class by class; weigh the classes"
            findings.append(Finding("uneven-classes", NOTE, words, [], why, cure, total=1))
    return findings


def _unknown(labels: Labels, case: Case, mask: int) -> list[int]:
    if not labels.classes:
        return []
    coloured = bool(case.seen.coloured[mask])
    if coloured and not labels.colours:
        return []
    values = case.seen.values[mask] or ()
    return [value for value in values if _class_of(labels, value, coloured) not in labels.classes]


def _class_of(labels: Labels, value: int, coloured: bool) -> int:
    return labels.colours.get((value >> 16, value >> 8 & 255, value & 255), -1) if coloured else value


def _called(value: int, coloured: bool) -> str:
    return f"colour {value >> 16},{value >> 8 & 255},{value & 255}" if coloured else f"value {value}"


def _told(
    check: str, severity: str, title: str, places: Sequence[Place], why: str, cure: str, case: Case
) -> list[Finding]:
    return [Finding(check, severity, title, places, why, cure, len(list(masked(case))))] if places else []
