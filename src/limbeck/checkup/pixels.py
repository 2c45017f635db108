"""Pixels: sizes, shapes, colour modes, turns and blank images."""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from limbeck.checkup.case import Case
from limbeck.checkup.findings import NOTE, WARNING, Finding, Place, are, have
from limbeck.checkup.survey import OPAQUE, SEE_THROUGH
from limbeck.errors import counted

_TINY, _SMALL = 16, 64
_TINY_SHARE = 0.1  # of the usual short side
_HUGE, _LARGE, _HUGE_TIMES = 50_000_000, 12_000_000, 20
_LONG = 5
_TURNS = {
    2: "mirrored", 3: "turned by 180°", 4: "mirrored and turned by 180°", 5: "mirrored and turned by 90°",
    6: "turned by 90°", 7: "mirrored and turned by 270°", 8: "turned by 270°",
}  # fmt: skip


def tiny(case: Case) -> list[Finding]:
    """Images that are small beside the others, or beside anything; one note where all are small."""
    short = case.sizes[case.photos].min(1) if len(case.photos) else np.zeros(0)
    if not len(short):
        return []
    usual = float(np.median(short))
    findings = []
    if usual < _SMALL:
        (height, width), count = Counter(map(tuple, case.sizes[case.photos].tolist())).most_common(1)[0]
        of_all = "all of them" if count == len(short) else f"{count:,} of them"
        findings.append(
            Finding(
                "small-throughout",
                NOTE,
                f"the images are small: {of_all} {width}x{height} pixels",
                [_sized(case, int(case.photos[0]))],
                "A model made for 224 pixels sees them enlarged.",
                "train at their own size (--student-size), or with a network made for small images",
                1,
            )
        )
    rows = case.photos[(short < min(_TINY, usual)) | ((short < _TINY_SHARE * usual) & (short < _SMALL))]
    number = len(rows)
    if number:
        findings.append(
            Finding(
                "tiny-images",
                WARNING,
                f"{counted(number, 'image')} {are(number)} tiny",
                [_sized(case, int(row)) for row in rows],
                f"The usual short side is {usual:,.0f} pixels: icons and thumbnails among photos teach little.",
                "leave them out, or look for the originals",
                len(case.photos),
            )
        )
    return findings


def huge(case: Case) -> list[Finding]:
    """Images that are much larger than a training run needs, and than their neighbours."""
    area = case.sizes[case.photos].prod(1)
    usual = float(np.median(area)) if len(area) else 0.0
    rows = case.photos[(area > _HUGE) | ((area > _LARGE) & (area > _HUGE_TIMES * usual))]
    number = len(rows)
    if not number:
        return []
    return [
        Finding(
            "huge-images",
            WARNING,
            f"{counted(number, 'image')} {are(number)} huge",
            [_sized(case, int(row)) for row in rows],
            "Each takes as long to read as many others, and fills memory in loaders that decode it whole.",
            "reduce them to a few thousand pixels a side",
            len(case.photos),
        )
    ]


def long_shapes(case: Case) -> list[Finding]:
    """Images more than five times as long as wide."""
    sides = case.sizes[case.photos]
    rows = case.photos[sides.max(1) > _LONG * sides.min(1)] if len(sides) else case.photos
    number = len(rows)
    if not number:
        return []
    usual = number > len(case.photos) / 2
    return [
        Finding(
            "extreme-aspect",
            NOTE if usual else WARNING,
            f"{counted(number, 'image')} {are(number)} over {_LONG} times as long as wide, or as wide as long",
            [_sized(case, int(row)) for row in rows],
            "A square crop shows a small part of them, a square resize distorts them.",
            "look at them: strips, banners and broken scans are best left out, panoramas cut",
            len(case.photos),
        )
    ]


def blank(case: Case) -> list[Finding]:
    """Images of one colour."""
    rows = [int(row) for row in case.photos if case.seen.blank[row]]
    number = len(rows)
    if not number:
        return []
    return [
        Finding(
            "blank-images",
            WARNING,
            f"{counted(number, 'image')} {are(number)} blank: one colour and nothing else",
            [Place(case.names[row], "", (row,)) for row in rows],
            "They show nothing, and teach whatever label they have.",
            "leave them out",
            len(case.photos),
            rows,
        )
    ]


def alpha(case: Case) -> list[Finding]:
    """Alpha channels: harmless where they are opaque throughout."""
    return [
        *_moded(
            case,
            "alpha-channels",
            NOTE,
            "{} an alpha channel, opaque throughout",
            lambda row: case.seen.alpha[row] == OPAQUE,
            "Code that expects three channels fails on four; limbeck drops the alpha.",
            "nothing for limbeck; elsewhere convert to RGB",
        ),
        *_moded(
            case,
            "see-through-images",
            WARNING,
            "{} see-through pixels",
            lambda row: case.seen.alpha[row] == SEE_THROUGH,
            "Without the alpha the hidden colours show, often black or noise, where a viewer shows white.",
            "lay them on the background that you want to train with",
        ),
    ]


def modes(case: Case) -> list[Finding]:
    """Grey, palette, CMYK and deep images."""
    grey = "L", "LA", "1"
    deep = "I", "F", "I;16", "I;16B", "I;16L", "I;16N"
    many = len(case.photos)
    number = sum(case.seen.mode[row] in grey for row in case.photos)
    mixed = "" if number == many else f", the other {many - number:,} in colour"
    return [
        *_moded(
            case,
            "grey-images",
            NOTE,
            "{} a single grey channel" + mixed,
            lambda row: case.seen.mode[row] in grey,
            "Code that expects three channels fails on one; limbeck repeats it three times.",
            "nothing for limbeck; elsewhere convert to RGB",
        ),
        *_moded(
            case,
            "palette-images",
            NOTE,
            "{} a palette in place of colours",
            lambda row: case.seen.mode[row] in ("P", "PA"),
            "Read without their palette they are numbers, not colours; limbeck looks the colours up.",
            "nothing for limbeck; elsewhere convert to RGB",
        ),
        *_moded(
            case,
            "cmyk-images",
            WARNING,
            "{} the colours of print (CMYK)",
            lambda row: case.seen.mode[row] == "CMYK",
            "Decoders disagree on their colours, and some show them inverted.",
            "convert them to RGB",
        ),
        *_moded(
            case,
            "deep-images",
            WARNING,
            "{} more than 8 bits a channel",
            lambda row: case.seen.mode[row] in deep,
            "limbeck scales 65535 to 255: what uses a small part of that range comes out nearly black.",
            "stretch and convert them to 8 bits yourself where the range is not full",
        ),
        *_moded(
            case,
            "moving-images",
            NOTE,
            "{} several frames",
            lambda row: case.seen.frames[row] > 1,
            "Only the first frame is read.",
            "take the frames apart if they matter",
        ),
    ]


def turned(case: Case) -> list[Finding]:
    """EXIF turns: the photo is stored otherwise than it is shown."""
    rows = [int(row) for row in case.photos if case.seen.orientation[row] != 1]
    number = len(rows)
    if not number:
        return []
    boxed = any(sample.things or sample.mask for _, found in case.labels for sample in found.samples)
    turns = {row: int(case.seen.orientation[row]) for row in rows}
    places = [Place(case.names[row], f"EXIF orientation {turn}, {_TURNS[turn]}", (row,)) for row, turn in turns.items()]
    why = "limbeck and OpenCV turn them, plain Pillow and torchvision do not"
    return [
        Finding(
            "exif-turns",
            WARNING if boxed else NOTE,
            f"{counted(number, 'photo')} {are(number)} stored turned, with an EXIF mark that says how to show them",
            places,
            f"{why}: boxes and masks fit only one of the two." if boxed else f"{why}.",
            "see in the pictures whether labels fit" if boxed else "nothing for limbeck; elsewhere turn them for good",
            len(case.photos),
        )
    ]


def _moded(
    case: Case, check: str, severity: str, title: str, fits: Callable[[int], bool], why: str, cure: str
) -> Sequence[Finding]:
    rows = [int(row) for row in case.photos if fits(int(row))]
    if not rows:
        return []
    number = len(rows)
    words = title.format(f"{counted(number, 'image')} {have(number)}")
    places = [Place(case.names[row], case.seen.mode[row], (row,)) for row in rows]
    return [Finding(check, severity, words, places, why, cure, len(case.photos))]


def _sized(case: Case, row: int) -> Place:
    height, width = case.sizes[row]
    return Place(case.names[row], f"{width:,}x{height:,}", (row,))
