"""Pascal VOC: an xml file an image, splits in ImageSets."""

import math
from collections import defaultdict
from xml.etree import ElementTree

from limbeck.console import progress
from limbeck.datasets.class_list import class_list
from limbeck.datasets.lookup import Lookup
from limbeck.datasets.records import Labels, Sample, Thing, Trouble
from limbeck.datasets.splits import folder_splits, ordered, split_of
from limbeck.datasets.tree import Tree

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def read(tree: Tree, lookup: Lookup) -> Labels | None:
    """The xml files of a tree that are annotations.

    Corners count from 1 and include both ends; in the records they count from 0 and the far ends lie outside. What is
    `difficult` is marked as COCO's crowds are: nobody learns from it, and neither finding nor missing it counts.
    """
    troubles: list[Trouble] = []
    samples: list[Sample] = []
    listed = _image_sets(tree)
    files = [name for name in tree.files if name.lower().endswith(".xml")]
    folders = folder_splits([tree.inner(name) for name in tree.images])
    with progress("reading xml files", len(files), shown=len(files) > 2000) as advance:
        for name in files:
            root = _root(tree, name, troubles)
            if root is not None:
                samples.append(_sample(tree, name, root, lookup, listed, folders, troubles))
            advance()
    if not samples:
        return Labels("Pascal VOC", "", "detection", [], troubles=troubles) if troubles else None
    troubles += _unlisted(tree, samples, listed)
    annotated = {sample.image for sample in samples}
    beside = {sample.image.rpartition("/")[0] for sample in samples if sample.found}
    for image in tree.images:
        if image not in annotated and image.rpartition("/")[0] in beside:
            stem = _stem(image)
            samples.append(Sample(image, splits=_splits(tree, image, stem, listed, folders), labelled=False))
    boxes = sum(len(sample.things) for sample in samples)
    lists = f", splits from ImageSets: {', '.join(ordered(set().union(*listed.values())))}" if listed else ""
    told = f"Pascal VOC: {len(annotated):,} xml files, {boxes:,} boxes{lists}"
    return Labels(
        "Pascal VOC", told, "detection", samples, troubles=troubles, names=tuple(class_list(tree).classes.values())
    )


def _root(tree: Tree, name: str, troubles: list[Trouble]) -> ElementTree.Element | None:
    try:
        data = tree.read(name)
        if b"<!ENTITY" in data:
            raise ValueError("it defines entities, which no annotation needs")
        root = ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError, LookupError, OSError) as error:  # LookupError: no such encoding
        troubles.append(Trouble("unreadable-labels", name, f"not readable as XML: {error}"))
        return None
    return root if root.tag == "annotation" else None


def _sample(
    tree: Tree,
    name: str,
    root: ElementTree.Element,
    lookup: Lookup,
    listed: dict[str, set[str]],
    folders: dict[str, str],
    troubles: list[Trouble],
) -> Sample:
    stem = _stem(name)
    written = (root.findtext("filename") or "").strip() or f"{stem}.jpg"
    if _stem(written) != stem:
        troubles.append(Trouble("other-name-inside", name, f"it says {written}", name))
        written = f"{stem}.jpg" if lookup.find(f"{stem}.jpg")[0] else written
    found, how = lookup.find(written, near=f"{name.rpartition('/')[0].rpartition('/')[0]}/JPEGImages")
    if how:
        troubles.append(Trouble("spelt-otherwise", name, f"{written} is {tree.inner(found)} on disk", found))
    height, width = (_number(root.findtext(f"size/{side}")) for side in ("height", "width"))
    return Sample(
        found or written,
        found=bool(found),
        splits=_splits(tree, found or name, stem, listed, folders),
        things=tuple(map(_thing, root.iter("object"), range(1, 1_000_000))),
        size=(int(height), int(width)) if height and width else None,
        source=name,
    )


def _thing(element: ElementTree.Element, number: int) -> Thing:
    label, place = (element.findtext("name") or "").strip(), f"object {number}"
    box = element.find("bndbox")
    corners = [_number(box.findtext(corner)) if box is not None else None for corner in _CORNERS]
    left, top, right, bottom = corners
    if left is None or top is None or right is None or bottom is None:
        return Thing(label, flaw="its bndbox lacks a corner, or has one that is no number", place=place)
    where = (left - 1, top - 1, right, bottom)
    flaw = f"corners {left:g},{top:g},{right:g},{bottom:g}" if right <= left or bottom <= top else ""
    difficult = _number(element.findtext("difficult")) == 1
    return Thing(label, None, where, crowd=difficult, flaw=flaw and f"no extent: {flaw}", place=place)


def _image_sets(tree: Tree) -> dict[str, set[str]]:
    """The splits of each stem; lists of single classes (stem and 1 or -1) are left aside."""
    listed: defaultdict[str, set[str]] = defaultdict(set)
    for name in tree.files:
        if "/ImageSets/" in f"/{name}" and name.lower().endswith(".txt"):
            split = split_of(_stem(name))
            for line in tree.text(name).splitlines() if split and split_of(_stem(name).partition("_")[2]) == "" else ():
                words = line.split()
                if len(words) == 1:
                    listed[words[0]].add(split)
    return dict(listed)


def _unlisted(tree: Tree, samples: list[Sample], listed: dict[str, set[str]]) -> list[Trouble]:
    stems = {_stem(sample.source or sample.image) for sample in samples} | {_stem(image) for image in tree.images}
    lost = [stem for stem in listed if stem not in stems and _stem(stem) not in stems]
    return [Trouble("lost-list-entries", f"{tree.source}/ImageSets", f"{stem}: no such image") for stem in lost]


def _splits(tree: Tree, name: str, stem: str, listed: dict[str, set[str]], folders: dict[str, str]) -> tuple[str, ...]:
    own = listed.get(stem)
    folder = folders.get(tree.inner(name).rpartition("/")[0], "")
    return tuple(ordered(own)) if own else (folder,) if folder else ()


def _stem(name: str) -> str:
    last = name.replace("\\", "/").rpartition("/")[2]
    return last.rpartition(".")[0] or last


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None
