"""YOLO: a txt file an image, its lines a class id and a box or polygon in shares of the image; names in data.yaml."""

import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

import yaml  # type: ignore[import-untyped]

from limbeck.console import progress
from limbeck.datasets.class_list import LISTS, class_list
from limbeck.datasets.lookup import Lookup
from limbeck.datasets.records import Labels, Sample, Thing, Trouble
from limbeck.datasets.splits import folder_splits
from limbeck.datasets.tree import Tree
from limbeck.errors import counted

_LOOKED_AT = 20
_SPLITS = ("train", "val", "test")


def read(tree: Tree, lookup: Lookup) -> Labels | None:
    """Images with their txt files, in images/ and labels/ or side by side.

    Boxes need the image's size: in the records they are in shares of it, 0 to 1.
    """
    troubles: list[Trouble] = []
    table, told = _table(tree, troubles)
    texts = {name for name in tree.files if name.endswith(".txt")}
    pairs = {image: text for image in tree.images if (text := _text_of(image, texts))}
    if not table and (not pairs or not _looks_right(tree, list(pairs.values()))):
        return None
    classes = _classes(table) or dict(class_list(tree).classes)
    points = _numbers_of_points(table)
    folders = folder_splits([tree.inner(name) for name in tree.images])
    listed = _lists(tree, table, lookup, troubles)
    samples: list[Sample] = []
    with progress("reading txt files", len(tree.images), shown=len(tree.images) > 5000) as advance:
        for image in tree.images:
            split = folders[tree.inner(image).rpartition("/")[0]]
            splits = tuple(listed.get(image, ())) or ((split,) if split else ())
            text = pairs.get(image, "")
            things = _things(tree, text, classes, points, troubles) if text else ()
            samples.append(Sample(image, splits=splits, things=things, source=text, labelled=bool(text)))
            advance()
    used = set(pairs.values())
    homes = {text.rpartition("/")[0] for text in used}
    for text in sorted(texts - used):
        if text.rpartition("/")[0] in homes and PurePosixPath(text).name not in LISTS and _looks_right(tree, [text]):
            lost = _things(tree, text, classes, points, troubles)
            samples.append(Sample(f"{PurePosixPath(text).stem}.jpg", found=False, things=lost, source=text))
    boxes = sum(len(sample.things) for sample in samples)
    told = f"YOLO: {len(pairs):,} txt files, {boxes:,} objects, {counted(len(classes), 'class', 'classes')}{told}"
    troubles += _counted(table, classes, told) + _unnamed(tree, samples, classes)
    return Labels("YOLO", told, "detection", samples, classes, troubles=troubles, first=0, shares=True)


def _text_of(image: str, texts: set[str]) -> str:
    stem = image.rpartition(".")[0]
    parts = stem.split("/")
    places = [position for position, part in enumerate(parts[:-1]) if part.lower() == "images"]
    candidates = ["/".join([*parts[:at], "labels", *parts[at + 1 :]]) for at in reversed(places)]
    return next((f"{each}.txt" for each in [*candidates, stem] if f"{each}.txt" in texts), "")


def _looks_right(tree: Tree, texts: Sequence[str]) -> bool:
    """Most lines of the first files are a class and four numbers or more, one stray word among them forgiven."""
    good = bad = 0
    for text in texts[: 50 * _LOOKED_AT]:
        for line in _lines(tree, text):
            words = line.split()
            numbers = sum(_number(word) is not None for word in words)
            fits = len(words) >= 5 and numbers >= len(words) - 1
            good, bad = good + fits, bad + (not fits)
        if good + bad >= _LOOKED_AT:
            break
    return good > 2 * bad


def _lines(tree: Tree, text: str) -> list[str]:
    try:
        return tree.text(text).splitlines()
    except OSError:
        return []


def _things(tree: Tree, text: str, classes: dict[int, str], points: int, troubles: list[Trouble]) -> tuple[Thing, ...]:
    try:
        lines = tree.text(text).splitlines()
    except OSError as error:
        troubles.append(Trouble("unreadable-labels", text, str(error)))
        return ()
    return tuple(_thing(line.split(), at, classes, points) for at, line in enumerate(lines, 1) if line.strip())


def _thing(words: list[str], line: int, classes: dict[int, str], points: int) -> Thing:
    numbers = [_number(word) for word in words]
    first = numbers[0]
    number = int(first) if first is not None and first == int(first) else None
    label, place = classes.get(number, "") if number is not None else "", f"line {line}"
    rest = [value for value in numbers[1:] if value is not None]
    if number is None or len(rest) != len(words) - 1:
        return Thing(label, number, flaw=f"not all numbers: {' '.join(words)[:60]}", place=place)
    if len(rest) in (4, 5, 4 + points):  # the fifth is a confidence
        x, y, width, height = rest[:4]
        return Thing(label, number, (x - width / 2, y - height / 2, x + width / 2, y + height / 2), place=place)
    if len(rest) >= 6 and len(rest) % 2 == 0:
        across, down = rest[::2], rest[1::2]
        return Thing(label, number, (min(across), min(down), max(across), max(down)), [rest], place=place)
    return Thing(label, number, flaw=f"{len(rest)} numbers after the class, where 4 make a box", place=place)


def _table(tree: Tree, troubles: list[Trouble]) -> tuple[dict[str, Any], str]:
    for name in tree.files:
        if name.lower().endswith((".yaml", ".yml")):
            try:
                content = yaml.safe_load(tree.text(name))
            except (yaml.YAMLError, OSError, RecursionError, ValueError) as error:
                troubles.append(
                    Trouble("unreadable-labels", name, f"not readable as YAML: {' '.join(str(error).split())}")
                )
                continue
            if isinstance(content, dict) and _is_table(content, PurePosixPath(name).stem.lower()):
                return content | {"": name}, f" ({tree.inner(name)})"
    return {}, ""


def _is_table(content: dict[str, Any], stem: str) -> bool:
    """Whether a yaml is a list of classes, and not any file that has names in it."""
    return bool(content.keys() & {"names", "nc"}) and (
        bool(content.keys() & {*_SPLITS, "path", "nc"}) or stem in ("data", "dataset")
    )


def _classes(table: dict[str, Any]) -> dict[int, str]:
    names = table.get("names")
    if isinstance(names, dict):
        return {int(key): str(name) for key, name in names.items() if str(key).isdecimal()}
    if isinstance(names, list):
        return {number: str(name) for number, name in enumerate(names)}
    count = table.get("nc")
    return {number: str(number) for number in range(count)} if isinstance(count, int) and 0 < count < 100_000 else {}


def _numbers_of_points(table: dict[str, Any]) -> int:
    """How many numbers of keypoints follow each box."""
    shape = table.get("kpt_shape")
    return math.prod(shape) if isinstance(shape, list) and all(isinstance(each, int) for each in shape) else 0


def _counted(table: dict[str, Any], classes: dict[int, str], told: str) -> list[Trouble]:
    count = table.get("nc")
    if table.get("names") and isinstance(count, int) and count != len(classes):
        return [Trouble("class-count-differs", table[""], f"nc is {count}, and {len(classes)} names follow")]
    return []


def _unnamed(tree: Tree, samples: Sequence[Sample], classes: dict[int, str]) -> list[Trouble]:
    """Ids of which nothing says what they mean."""
    used = {thing.number for sample in samples for thing in sample.things if thing.number is not None}
    if classes or not used:
        return []
    what = f"class ids {min(used)} to {max(used)}, and no data.yaml with names: [...] nor classes.txt, a name a line"
    return [Trouble("no-class-list", tree.source, what)]


def _lists(tree: Tree, table: dict[str, Any], lookup: Lookup, troubles: list[Trouble]) -> dict[str, list[str]]:
    """The splits of images by data.yaml: its folders and lists, found by the end of their names.

    A list goes before a folder: it may take some images of the folder of train for val.
    """
    by_list: defaultdict[str, dict[str, None]] = defaultdict(dict)
    by_folder: defaultdict[str, dict[str, None]] = defaultdict(dict)
    folders = {name.rpartition("/")[0] for name in tree.images}
    for split in _SPLITS:
        written = table.get(split)
        for entry in written if isinstance(written, list) else [written] if isinstance(written, str) else []:
            end = "/".join(part for part in str(entry).replace("\\", "/").split("/") if part not in ("", ".", ".."))
            lists = [name for name in tree.files if name.endswith(".txt") and f"/{name}".endswith(f"/{end}")]
            inside = {folder for folder in folders if f"/{end}/" in f"/{folder}/" or f"/{folder}".endswith(f"/{end}")}
            for name in lists[:1]:
                for line in filter(None, map(str.strip, _lines(tree, name))):
                    image, _ = lookup.find(line, near=name.rpartition("/")[0], split=split)
                    if image:
                        by_list[image][split] = None
                    else:
                        troubles.append(Trouble("lost-list-entries", name, f"{line}: no such image"))
            for image in tree.images if inside else ():
                if image.rpartition("/")[0] in inside:
                    by_folder[image][split] = None
            if not lists and not inside:
                troubles.append(Trouble("lost-list-entries", table[""], f"{split}: {entry} is not there"))
    return {image: list(splits) for image, splits in (by_folder | by_list).items()}


def _number(word: str) -> float | None:
    try:
        number = float(word)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
