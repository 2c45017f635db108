"""Twins: the same bytes or the same photo twice, within a split, across splits, under different labels."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from limbeck.alike.thresholds import NEAR_DUPLICATE, SAME_SCENE
from limbeck.checkup.case import AGAINST, Case
from limbeck.checkup.findings import NOTE, WARNING, Finding, Place
from limbeck.errors import counted

_ORDER = {"train": 0, "": 1, "val": 2, "test": 3, AGAINST: 4}


def exact_within(case: Case) -> list[Finding]:
    """The same bytes more than once in a split."""
    places: list[Place] = []
    drop: list[int] = []
    for group in case.equals:
        by_split: defaultdict[str, list[int]] = defaultdict(list)
        for row in group:
            by_split[_split(case, row)].append(row)
        for first, *others in by_split.values():
            for other in others:
                places.append(Place(case.names[other], f"the bytes of {case.names[first]}", (first, other)))
                drop.append(other)
    return _told(
        case,
        "exact-duplicates",
        WARNING,
        ("is a copy of another, byte for byte", "are copies of others, byte for byte"),
        places,
        "It counts twice in training, and twice in every score.",
        "keep one of each; --write-manifest keeps the first",
        drop,
    )


def exact_across(case: Case) -> list[Finding]:
    """The same bytes in two splits."""
    places: list[Place] = []
    drop: list[int] = []
    for group in case.equals:
        by_split = {split: [row for row in group if _split(case, row) == split] for split in _splits(case, group)}
        if len(by_split) > 1:
            ordered = sorted(by_split, key=_rank)
            first, last = by_split[ordered[0]], by_split[ordered[-1]]
            places += [_crossing(case, row, last[0]) for row in first]
            drop += [row for split in ordered[:-1] for row in by_split[split]]
    return _told(
        case,
        "exact-leaks",
        WARNING,
        ("is in two splits, byte for byte", "are in two splits, byte for byte"),
        places,
        "A model is asked about what it was shown: the score flatters.",
        "take them out of the training side; --write-manifest does",
        drop,
    )


def listed_twice(case: Case) -> list[Finding]:
    """One file that lists put in several splits."""
    places = [
        Place(case.names[row], f"in {' and '.join(case.splits[row])}", (int(row),))
        for row in case.photos
        if len(case.splits[row]) > 1
    ]
    return _told(
        case,
        "listed-in-two-splits",
        WARNING,
        ("is listed in two splits", "are listed in two splits"),
        places,
        "A model is asked about what it was shown: the score flatters.",
        "take them out of one of the lists",
        [place.rows[0] for place in places],
    )


def near_within(case: Case) -> list[Finding]:
    """The same photo, edited, or the same scene, within a split."""
    return [
        *_paired(
            case,
            NEAR_DUPLICATE,
            False,
            "near-duplicates",
            WARNING,
            ("is a copy of another, edited or overlapping", "are copies of others, edited or overlapping"),
            "They count twice in training.",
            "keep the largest of each: `limbeck select` with --dedupe does",
        ),
        *_paired(
            case,
            SAME_SCENE,
            False,
            "same-scenes",
            NOTE,
            (
                "shows the scene of another, as neighbouring frames of a video do",
                "show the scenes of others, as neighbouring frames of a video do",
            ),
            "So many images hold less than they seem to: split them by scene or by video, never at random.",
            "nothing, if the splits are by scene",
        ),
    ]


def near_across(case: Case) -> list[Finding]:
    """The same photo, edited, or the same scene, in two splits."""
    return [
        *_paired(
            case,
            NEAR_DUPLICATE,
            True,
            "near-duplicate-leaks",
            WARNING,
            (
                "is a copy of one in another split, edited or overlapping",
                "are copies of some in another split, edited or overlapping",
            ),
            "A model is asked about what it was shown: the score flatters.",
            "take them out of the training side; --write-manifest does",
        ),
        *_paired(
            case,
            SAME_SCENE,
            True,
            "same-scene-leaks",
            WARNING,
            (
                "shows the scene of one in another split, as neighbouring frames of a video do",
                "show the scenes of some in another split, as neighbouring frames of a video do",
            ),
            "The score says how well a model knows these scenes, not how well it does on new ones.",
            "split by scene or by video; --write-manifest leaves them in",
        ),
    ]


def neighbouring(case: Case) -> list[Finding]:
    """Crops of one larger picture, within a split and across splits."""
    within: list[Place] = []
    across: list[Place] = []
    for crop in case.crops:
        one, two = _split(case, crop.a), _split(case, crop.b)
        splits = "" if one == two else f"{one or 'here'}; {two or 'elsewhere'}: "
        edge = "right" if crop.side == "right" else "lower"
        what = f"{splits}its {edge} edge goes on in {case.names[crop.b]}"
        (within if one == two else across).append(Place(case.names[crop.a], what, (crop.a, crop.b)))
    return [
        *_told(
            case,
            "neighbouring-crops",
            NOTE,
            ("goes on in another: crops of one picture", "go on in others: crops of one picture"),
            within,
            "So many images hold less than they seem to: split them by picture, never at random.",
            "nothing, if the splits are by picture",
            (),
        ),
        *_told(
            case,
            "neighbouring-crop-leaks",
            WARNING,
            (
                "goes on in one of another split: crops of one picture",
                "go on in some of another split: crops of one picture",
            ),
            across,
            "The score says how well a model knows these pictures, not how well it does on new ones.",
            "split by picture; --write-manifest leaves them in",
            (),
        ),
    ]


def conflicts(case: Case) -> list[Finding]:
    """The same photo under different labels."""
    labels = _labels(case)
    places: list[Place] = []
    drop: list[int] = []
    pairs = [(first, other) for first, *others in case.equals for other in others]
    pairs += [(pair.a, pair.b) for pair in case.pairs or () if pair.level == NEAR_DUPLICATE]
    for first, other in dict.fromkeys(pairs):
        one, two = labels.get(first, ""), labels.get(other, "")
        if one and two and one != two:
            places.append(Place(case.names[other], f"{two}; {case.names[first]} is {one}", (first, other)))
    return _told(
        case,
        "conflicting-labels",
        WARNING,
        ("has another label than a copy of it", "have other labels than copies of them"),
        places,
        "One of the two labels is false, and a model cannot learn both.",
        "look at the pairs and correct or drop one of each",
        drop,
    )


def _paired(
    case: Case, level: str, across: bool, check: str, severity: str, title: tuple[str, str], why: str, cure: str
) -> list[Finding]:
    places: dict[int, Place] = {}
    drop: list[int] = []
    equal = {row: number for number, group in enumerate(case.equals) for row in group}
    for pair in case.pairs or ():
        a, b = sorted((pair.a, pair.b), key=lambda row: _rank(_split(case, row)))
        crosses = _split(case, a) != _split(case, b)
        if pair.level != level or crosses != across or equal.get(a, -1) == equal.get(b, -2):
            continue
        shown = a if across else b
        if shown not in places:
            places[shown] = _crossing(case, a, b) if across else _beside(case, a, b)
        if across and level == NEAR_DUPLICATE and case.is_against[b] | (_split(case, a) == "train"):
            drop.append(a)
    return _told(case, check, severity, title, list(places.values()), why, cure, drop)


def _crossing(case: Case, a: int, b: int) -> Place:
    return Place(
        case.names[a], f"{_split(case, a) or 'here'}; {_split(case, b) or 'elsewhere'}: {case.names[b]}", (a, b)
    )


def _beside(case: Case, a: int, b: int) -> Place:
    return Place(case.names[b], f"like {case.names[a]}", (a, b))


def _told(
    case: Case,
    check: str,
    severity: str,
    title: tuple[str, str],  # of one, of several
    places: Sequence[Place],
    why: str,
    cure: str,
    drop: Iterable[int],
) -> list[Finding]:
    if not places:
        return []
    number = len(places)
    words = f"{counted(number, 'photo')} {title[number > 1]}"
    return [Finding(check, severity, words, places, why, cure, len(case.photos), sorted(set(drop)))]


def _split(case: Case, row: int) -> str:
    """The last of its splits: a photo listed in train and test is one of test."""
    return max(case.splits[row], key=_rank, default="")


def _splits(case: Case, rows: Iterable[int]) -> set[str]:
    return {_split(case, row) for row in rows}


def _rank(split: str) -> int:
    return _ORDER[split]


def _labels(case: Case) -> dict[int, str]:
    """The class of each photo that has one."""
    found: dict[int, str] = {}
    for _, labels in case.labels:
        for sample in labels.samples:
            row = case.row(sample)
            if row is not None and sample.label:
                found.setdefault(row, sample.label)
    return found
