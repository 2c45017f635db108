"""Classes: ids without a name, names spelt in two ways, classes that are rare, missing or of another split."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from itertools import islice, pairwise

from limbeck.checkup.case import AGAINST, Case, letters
from limbeck.checkup.findings import ERROR, NOTE, WARNING, Finding, Marked, Place, are, have
from limbeck.checkup.labels import every, located
from limbeck.datasets.class_folders import CLASS_FOLDERS
from limbeck.datasets.flaws import same_names
from limbeck.datasets.records import Labels, Sample, Thing
from limbeck.errors import counted, nearest

FEW = 10
_UNEVEN = 20
_ALIKE, _LEAST_LENGTH, _RARE = 0.8, 4, 0.2
_EXAMPLES = 12


@dataclass
class Used:
    """How often a class is used, where, and some who use it."""

    by_split: Counter[str] = field(default_factory=Counter)
    places: list[Place] = field(default_factory=list)

    @property
    def total(self) -> int:
        return self.by_split.total()


def unknown_ids(case: Case) -> list[Finding]:
    """Ids that the list of classes does not have; told where all seem moved by one."""
    findings = []
    for _, labels in case.labels:
        declared = labels.classes
        used = _ids(labels, case)
        unknown = sorted(used.keys() - declared.keys()) if declared and labels.task == "detection" else []
        if not unknown:
            continue
        low, high = min(declared), max(declared)
        moved = _moved(used.keys(), low, high)
        count = sum(used[number].total for number in unknown)
        told = f"{_some(map(str, unknown))}, where the classes are {low} to {high}"
        cure = (
            f"{'add 1 to' if moved > 0 else 'take 1 from'} every id"
            if moved
            else "give the classes a name, or correct the ids"
        )
        findings.append(
            Finding(
                "unknown-class-ids",
                ERROR,
                f"{counted(count, 'object')} of {labels.format} {have(count)} a class id that is not listed: {told}"
                + (", all of them seemingly off by one" if moved else ""),
                [place for number in unknown for place in used[number].places],
                "Training stops at an index out of range, or learns another class.",
                cure,
                sum(each.total for each in used.values()),
                total=count,
            )
        )
    return findings


def unknown_names(case: Case) -> list[Finding]:
    """Names that a list of classes beside the labels does not have, with the nearest that it has."""
    findings = []
    for tree, labels in case.labels:
        used = _names(case, labels)
        unknown = sorted(used.keys() - set(labels.names))
        if not unknown or 2 * len(unknown) > len(used):  # a list of something else
            continue
        told = _with_nearest(unknown, labels.names)
        findings.append(
            Finding(
                "unknown-class-names",
                ERROR,
                f"{counted(len(unknown), 'class', 'classes')} of {tree.source} {are(len(unknown))} not in its list of "
                f"classes: {_some(told, 4)}",
                [place for name in unknown for place in used[name].places],
                "Trainers that go by the list stop, or leave these examples out.",
                "correct the names, or add them to the list",
                len(used),
                total=len(unknown),
            )
        )
    return findings


def gaps(case: Case) -> list[Finding]:
    """Class ids that are not 0, 1, 2... (COCO: 1, 2, 3...), and classes that nothing is of."""
    findings = []
    for _, labels in case.labels:
        used = _ids(labels, case)
        declared = labels.classes
        numbers = sorted(declared or used)
        if labels.first is None or not numbers or labels.task != "detection":
            continue
        lost = list(islice((number for low, high in pairwise(numbers) for number in range(low + 1, high)), _EXAMPLES))
        if lost or min(numbers) != labels.first:
            titles = [f"they begin at {min(numbers)}"] * (min(numbers) != labels.first)
            titles += [f"{_some(map(str, lost))} {are(len(lost))} left out"] * bool(lost)
            findings.append(
                Finding(
                    "class-id-gaps",
                    NOTE if labels.format == "COCO" else WARNING,
                    f"the class ids of {labels.format} are not {labels.first}, {labels.first + 1}, "
                    f"{labels.first + 2}...: {' and '.join(titles)}",
                    [],
                    "Trainers that take ids for places in a row go past the end, or take 0 for the background.",
                    "number the classes anew, or use a trainer that maps ids",
                    total=1,
                )
            )
        unused = [name for number, name in declared.items() if number not in used]
        if unused and used:
            findings.append(
                Finding(
                    "unused-classes",
                    WARNING,
                    f"{counted(len(unused), 'class', 'classes')} of {labels.format} {have(len(unused))} no object: "
                    f"{_some(unused)}",
                    [],
                    "A model cannot learn them, and no score tells.",
                    "take them out of the list, or label some",
                    len(declared),
                    total=len(unused),
                )
            )
    return findings


def shared_names(case: Case) -> list[Finding]:
    """Several ids with one name."""
    shared = [
        f"{name} (ids {', '.join(map(str, numbers))})"
        for _, labels in case.labels
        for name, numbers in same_names(labels.classes).items()
    ]
    if not shared:
        return []
    return [
        Finding(
            "shared-class-names",
            WARNING,
            f"{counted(len(shared), 'class name')} of more than one id: {_some(shared)}",
            [],
            "limbeck takes them as one class; for trainers that go by ids they are different ones that look the same.",
            "use one id, or give each its own name",
            total=len(shared),
        )
    ]


def unnamed(case: Case) -> list[Finding]:
    """Objects of no class."""
    places = [
        Place(sample.source, f"{located(sample, thing)} has no class", () if row is None else (row,), _marked(thing))
        for _, labels, sample, row in every(case)
        for thing in sample.things
        if not thing.label and thing.number is None and not thing.flaw
    ]
    if not places:
        return []
    title = f"{counted(len(places), 'object')} {have(len(places))} no class"
    return [
        Finding(
            "objects-without-class", ERROR, title, places, "Loaders fail on them.", "name it; in COCO by category_id"
        )
    ]


def spelling(case: Case) -> list[Finding]:
    """Classes whose names differ by case, spaces, plural or a letter."""
    used = _names(case)
    places: list[Place] = []
    titles: list[str] = []
    for rare, common in _pairs(used):
        titles.append(f"'{rare}' ({used[rare].total:,}) and '{common}' ({used[common].total:,})")
        places += [place._replace(what=f"'{rare}', elsewhere '{common}'") for place in used[rare].places[:_EXAMPLES]]
    if not titles:
        return []
    count = len(titles)
    return [
        Finding(
            "class-spelling",
            WARNING,
            f"{counted(count, 'class', 'classes')} {'seems' if count == 1 else 'seem'} to be spelt in two ways: "
            f"{_some(titles, 4)}",
            places,
            "Each spelling becomes a class of its own, and the rare one is never learned.",
            "use one spelling",
            len(used),
            total=count,
        )
    ]


def other_splits(case: Case) -> list[Finding]:
    """Classes of val, test or --against that train does not have, with the nearest that it has."""
    used = _names(case)
    splits = set().union(*(each.by_split for each in used.values())) if used else set()
    learned = "train" if "train" in splits else "" if splits & {"", AGAINST} == {"", AGAINST} else None
    if learned is None:
        return []
    known = [name for name, each in used.items() if each.by_split[learned]]
    unknown = [name for name, each in used.items() if not each.by_split[learned]]
    if not unknown or not known:
        return []
    told = _with_nearest(unknown, known)
    return [
        Finding(
            "classes-never-trained",
            ERROR,
            f"{counted(len(unknown), 'class', 'classes')} never in the training split: {_some(told, 4)}",
            [place for name in unknown for place in used[name].places],
            "A model is asked about what it was never shown; trainers that list classes by split fail.",
            "correct the names, or bring examples into the training split",
            len(used),
            total=len(unknown),
        )
    ]


def mere_folders(case: Case) -> list[Finding]:
    """Folders that were not taken for classes, since --against has other ones."""
    return [
        Finding(
            "folders-are-no-classes",
            NOTE,
            f"no folder of {tree.source} is called after a class of {AGAINST}: its photos count as unlabelled",
            [],
            "Where the folders are classes after all, a model is asked about names that it was never shown.",
            "nothing, where photos were merely collected in them; else call them as the other set does",
            total=1,
        )
        for tree, labels in case.labels
        if labels.format == CLASS_FOLDERS and not labels.samples
    ]


def few(case: Case) -> list[Finding]:
    """Classes with fewer than ten examples to learn from."""
    used = {name: each for name, each in _names(case).items() if name}
    counts = _learned(used)
    scarce = sorted((name for name, count in counts.items() if 0 < count < FEW), key=lambda name: (counts[name], name))
    if not scarce:
        return []
    number = len(scarce)
    told = _some((f"{name} ({counts[name]})" for name in scarce), 6)
    return [
        Finding(
            "few-examples",
            WARNING,
            f"{counted(number, 'class', 'classes')} {have(number)} fewer than {FEW} examples to learn from: {told}",
            [
                place._replace(what=f"{name}, {counts[name]} in all")
                for name in scarce
                for place in used[name].places[:1]
            ],
            "They are hardly learned, and their scores are chance.",
            "bring more, or put classes together",
            len(counts),
            total=number,
        )
    ]


def uneven(case: Case) -> list[Finding]:
    """Classes of very different size."""
    counts = {name: count for name, count in _learned(_names(case)).items() if name and count >= FEW}
    if len(counts) < 2 or max(counts.values()) < _UNEVEN * min(counts.values()):
        return []
    ordered = sorted(counts, key=lambda name: counts[name])
    least, most = ordered[0], ordered[-1]
    return [
        Finding(
            "uneven-classes",
            NOTE,
            f"the classes are uneven: {most} has {counts[most]:,} examples, {least} {counts[least]:,}",
            [],
            "The frequent ones win: overall accuracy hides how the rare ones do.",
            "look at scores class by class; weigh or balance the classes",
            total=1,
        )
    ]


def _pairs(used: Mapping[str, Used]) -> Iterable[tuple[str, str]]:
    """(rarer, commoner) spellings of what seems to be one class."""
    by_letters: defaultdict[str, list[str]] = defaultdict(list)
    for name in used:
        by_letters[letters(name)].append(name)
    found: set[str] = set()
    for names in by_letters.values():
        *rarer, common = sorted(names, key=lambda name: used[name].total)
        for rare in rarer:
            found.add(rare)
            yield rare, common
    names = sorted(used, key=lambda name: used[name].total)
    for rare in names if len(names) <= 500 else ():
        limit = used[rare].total / _RARE
        for common in (
            nearest(rare, [name for name in names if used[name].total >= limit], 3) if rare not in found else ()
        ):
            if common != rare and _one_slip(rare, common):
                yield rare, common
                break


def _one_slip(rare: str, common: str) -> bool:
    """A typing error, not another number or word: cta for cat, but neither class1 for class2 nor cat for bat."""
    if re.sub(r"\D", "", rare) != re.sub(r"\D", "", common) or min(len(rare), len(common)) < _LEAST_LENGTH:
        return False
    return SequenceMatcher(None, rare.lower(), common.lower()).ratio() >= _ALIKE and abs(len(rare) - len(common)) <= 2


def _with_nearest(unknown: Iterable[str], known: Iterable[str]) -> list[str]:
    names = list(known)
    return [f"'{name}'" + (f" (nearest: '{near[0]}')" if (near := nearest(name, names, 1)) else "") for name in unknown]


def _names(case: Case, only: Labels | None = None) -> dict[str, Used]:
    """Every class name that labels use, of one label set or of all; of several formats in a tree the first speaks."""
    used: defaultdict[str, Used] = defaultdict(Used)
    first = {id(tree): labels for tree, labels in reversed(case.labels)}
    for tree, labels, sample, row in every(case):
        if labels is (only or first[id(tree)]):
            for name, thing in _said(sample):
                if name:
                    _use(used[name], sample, row, case, thing)
    return dict(used)


def _ids(labels: Labels, case: Case) -> dict[int, Used]:
    used: defaultdict[int, Used] = defaultdict(Used)
    for sample in labels.samples:
        for thing in sample.things:
            if thing.number is not None:
                _use(used[thing.number], sample, case.row(sample), case, thing)
    return dict(used)


def _said(sample: Sample) -> Iterable[tuple[str, Thing | None]]:
    return [(sample.label, None)] if sample.label else [(thing.label, thing) for thing in sample.things]


def _use(used: Used, sample: Sample, row: int | None, case: Case, thing: Thing | None) -> None:
    splits = case.splits[row] if row is not None else sample.splits
    used.by_split[splits[0] if splits else ""] += 1
    if len(used.places) < _EXAMPLES:
        what = located(sample, thing) if thing else ""
        if thing and not thing.label:
            what = f"class {thing.number}, {what}"
        where = sample.source if thing else sample.image
        used.places.append(Place(where, what, () if row is None else (row,), _marked(thing) if thing else ()))


def _marked(thing: Thing) -> tuple[Marked, ...]:
    in_pixels = thing.box is not None and max(map(abs, thing.box)) > 2
    return (Marked(thing.box, thing.label or str(thing.number)),) if thing.box and in_pixels else ()


def _learned(used: Mapping[str, Used]) -> dict[str, int]:
    """Examples of each class in the training split, or in all there is."""
    splits = set().union(*(each.by_split for each in used.values())) if used else set()
    if "train" in splits:
        return {name: each.by_split["train"] for name, each in used.items()}
    return {name: each.total - each.by_split[AGAINST] for name, each in used.items()}


def _moved(used: Iterable[int], low: int, high: int) -> int:
    """1 where adding it to every id makes them all known, -1 where taking it away does; 0 where neither."""
    numbers = set(used)
    if numbers and min(numbers) == low - 1 and max(numbers) < high:
        return 1
    return -1 if numbers and max(numbers) == high + 1 and min(numbers) > low else 0


def _some(words: Iterable[str], most: int = 6) -> str:
    named = list(words)
    return ", ".join(named[:most]) + (f" and {len(named) - most:,} more" if len(named) > most else "")
