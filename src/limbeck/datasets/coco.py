"""COCO json: boxes, polygons and run lengths."""

import math
from collections import Counter, defaultdict
from typing import Any

from limbeck.datasets.coco_files import dicts, read_files
from limbeck.datasets.lookup import Lookup
from limbeck.datasets.records import Labels, Sample, Thing, Trouble
from limbeck.datasets.splits import folder_splits, split_of
from limbeck.datasets.tree import Tree
from limbeck.errors import counted, peek


def read(tree: Tree, lookup: Lookup) -> Labels | None:
    """The COCO json files of a tree, taken together."""
    files, troubles = read_files(tree)
    contents = _said_once(files)
    if not contents:
        return Labels("COCO", "", "detection", [], troubles=troubles) if troubles else None
    whole = folder_splits([tree.inner(name) for name in tree.images])
    samples: list[Sample] = []
    classes: dict[int, str] = {}
    for name, content in contents.items():
        declared = _classes(name, content, troubles)
        for number, label in declared.items():
            if classes.setdefault(number, label) != label:
                what = f"class {number} is {label}, and {classes[number]} in the other files"
                troubles.append(Trouble("class-lists-differ", name, what))
        samples += _samples(tree, name, content, declared, lookup, whole, troubles)
    listed = len(samples)
    samples += _beside(tree, samples, whole)
    things = sum(len(sample.things) for sample in samples)
    outlined = sum(thing.outline is not None for sample in samples for thing in sample.things)
    kind = f"{things:,} objects, {outlined:,} with masks" if outlined else f"{things:,} boxes"
    where = tree.inner(next(iter(contents))) if len(contents) == 1 else f"{len(contents)} json files"
    told = f"COCO: {where}, {listed:,} images, {kind}, {counted(len(classes), 'class', 'classes')}"
    return Labels("COCO", told, "detection", samples, classes, troubles=troubles, first=1)


def _beside(tree: Tree, samples: list[Sample], folders: dict[str, str]) -> list[Sample]:
    """Images that no json lists, in the folders of those that some json does."""
    listed = {sample.image for sample in samples}
    homes = {sample.image.rpartition("/")[0] for sample in samples if sample.found}
    lost = [image for image in tree.images if image not in listed and image.rpartition("/")[0] in homes]
    splits = [folders[tree.inner(image).rpartition("/")[0]] for image in lost]
    return [Sample(image, splits=(split,) if split else (), labelled=False) for image, split in zip(lost, splits)]


def _said_once(contents: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Without files whose every object another one of their split has too: COCO's keypoints are its persons again."""
    if len(contents) < 2:
        return contents
    said: defaultdict[str, set[str]] = defaultdict(set)
    kept = set()
    for name in sorted(contents, key=lambda name: -len(contents[name]["annotations"])):
        parts = ("id", "image_id", "category_id", "bbox")
        objects = {repr([each.get(part) for part in parts]) for each in dicts(contents[name]["annotations"])}
        known = said[split_of(name.rpartition("/")[2])]
        if not objects or not objects <= known:
            kept.add(name)
            known |= objects
    return {name: content for name, content in contents.items() if name in kept}


def _classes(name: str, content: dict[str, Any], troubles: list[Trouble]) -> dict[int, str]:
    classes: dict[int, str] = {}
    for place, category in enumerate(dicts(content.get("categories"))):
        number, label = _whole(category.get("id")), str(category.get("name") or "")
        if number is None:
            troubles.append(_lacking(name, "id", category, f"category {label or place}"))
        elif number in classes:
            what = f"id {number} is both {classes[number]} and {label}"
            troubles.append(Trouble("repeated-ids", name, what))
        else:
            if not label:
                troubles.append(_lacking(name, "name", category, f"category {number}"))
            classes[number] = label or str(number)
    return classes


def _lacking(name: str, part: str, entry: dict[str, Any], what: str) -> Trouble:
    found = "has no" if entry.get(part) in (None, "") else f"has {peek(entry[part])} as its"
    return Trouble("lacking-parts", name, f"{what} {found} {part}")


def _samples(
    tree: Tree,
    name: str,
    content: dict[str, Any],
    classes: dict[int, str],
    lookup: Lookup,
    folders: dict[str, str],
    troubles: list[Trouble],
) -> list[Sample]:
    things = _things(name, content, classes, troubles)
    split = split_of(name.rpartition("/")[2])
    samples: list[Sample] = []
    known: set[Any] = set()
    unnumbered = 0
    for place, image in enumerate(dicts(content["images"])):
        number, written = _hashable(image.get("id")), str(image.get("file_name") or image.get("path") or "")
        if image.get("id") is None:
            troubles.append(_lacking(name, "id", image, f"image {written or place}"))
            unnumbered += 1
            continue
        if number in known:
            troubles.append(Trouble("repeated-ids", name, f"image id {number} is used more than once", written))
            continue
        known.add(number)
        if not written:
            troubles.append(_lacking(name, "file_name", image, f"image {number}"))
            things.pop(number, None)
            continue
        found, how = lookup.find(written, near=name.rpartition("/")[0], split=split)
        if how:
            troubles.append(Trouble("spelt-otherwise", name, f"{written} is {tree.inner(found)} on disk", found))
        own = split or folders.get(tree.inner(found).rpartition("/")[0], "")
        height, width = _whole(image.get("height")), _whole(image.get("width"))
        size = (height, width) if height is not None and width is not None else None
        samples.append(
            Sample(
                found or written,
                found=bool(found),
                splits=(own,) if own else (),
                things=tuple(things.pop(number, ())),
                size=size,
                source=name,
                number=number,
            )
        )
    for number, lost in things.items() if len(things) > unnumbered else ():  # else those of images without an id
        troubles.append(Trouble("lost-annotations", name, f"{len(lost)} of image_id {number}, which no image has"))
    return samples


def _things(
    name: str, content: dict[str, Any], classes: dict[int, str], troubles: list[Trouble]
) -> defaultdict[Any, list[Thing]]:
    """The objects by the id of their image."""
    things: defaultdict[Any, list[Thing]] = defaultdict(list)
    seen: Counter[str] = Counter()
    for place, annotation in enumerate(dicts(content["annotations"])):
        number = annotation.get("id")
        if number is None:
            troubles.append(Trouble("unnumbered-annotations", name, f"annotation {place}, counted from 0"))
        else:
            seen[str(number)] += 1
        called = f"annotation {place}, counted from 0" if number is None else f"annotation {number}"
        if annotation.get("image_id") is None:
            troubles.append(_lacking(name, "image_id", annotation, called))
        else:
            things[_hashable(annotation["image_id"])].append(_thing(annotation, classes, called))
    repeated = [number for number, times in seen.items() if times > 1]
    troubles += [Trouble("repeated-ids", name, f"annotation id {n} is used {seen[n]} times") for n in repeated]
    return things


def _thing(annotation: dict[str, Any], classes: dict[int, str], place: str) -> Thing:
    number = _whole(annotation.get("category_id"))
    outline = annotation.get("segmentation") or None
    label, crowd = classes.get(number, "") if number is not None else "", bool(annotation.get("iscrowd"))
    area = next(iter(_numbers([annotation.get("area")])), None)
    numbers = _numbers(annotation.get("bbox"))
    if not numbers and outline is not None and not annotation.get("bbox"):
        return Thing(label, number, None, outline, crowd, "", place, area)
    if len(numbers) != 4:
        return Thing(label, number, None, outline, crowd, f"the box is {annotation.get('bbox')!r}", place, area)
    left, top, width, height = numbers
    return Thing(label, number, (left, top, left + width, top + height), outline, crowd, "", place, area)


def _hashable(value: Any) -> Any:
    return value if isinstance(value, int | str) else repr(value)


def _whole(value: Any) -> int | None:
    try:
        return int(value) if not isinstance(value, bool) and float(value) == int(value) else None
    except (TypeError, ValueError, OverflowError):
        return None


def _numbers(values: Any) -> list[float]:
    try:
        numbers = [float(value) for value in values]
    except (TypeError, ValueError):
        return []
    return numbers if all(map(math.isfinite, numbers)) else []
