"""From what the user named to labelled images: trees, their labels, the images of a split."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from limbeck.datasets.lookup import Lookup
from limbeck.datasets.recognise import FORMATS, recognise
from limbeck.datasets.records import Labels, Sample, Trouble
from limbeck.datasets.splits import ordered
from limbeck.datasets.tree import Tree, open_tree
from limbeck.datasets.troubles import is_error
from limbeck.detection.problems import Problems
from limbeck.errors import LimbeckError, counted, nearest, unknown_name
from limbeck.images.imageset import ImageSet

_HELD_OUT = {"test": (0.0, 0.1), "val": (0.1, 0.2), "train": (0.2, 1.0)}  # of the keys, where no list tells splits
_YOLO = "YOLO"  # here an image without a label file says that nothing is on it


@dataclass(frozen=True)
class Source:
    """A tree and what one format says of its images."""

    tree: Tree
    labels: Labels


@dataclass(frozen=True)
class Listed:
    """An image that is there, and what is said of it; `row` is its place in the ImageSet."""

    source: Source
    sample: Sample
    row: int


def open_sources(
    names: Sequence[str], format: str, cache: Path | None, shown: bool, problems: Problems, notes: list[str]
) -> tuple[list[Source], list[Tree]]:
    """Those sources that have boxes, and all trees; of several formats in one tree the first is taken."""
    format = _format(format)
    trees = [open_tree(name, cache=cache, shown=shown) for name in names]
    sources = []
    silent = []
    for tree in trees:
        every = [each for each in recognise(tree, shown=shown) if each.task == "detection"]
        found = [each for each in every if each.samples]
        unread = [trouble for each in every if not each.samples for trouble in each.troubles]
        fitting = [each for each in found if format in ("", each.format)]
        fitting.sort(key=lambda each: not any(sample.things for sample in each.samples))
        if not fitting:
            silent.append((tree, _why_none(tree, found, format), unread))
            continue
        sources.append(Source(tree, fitting[0]))
        notes.append(f"{tree.source}: {fitting[0].told}")
        notes += _left_aside(tree, fitting[0], found, unread)
    for tree, why, unread in silent:
        broken = any(is_error(each.kind) for each in unread)
        for each in unread if broken or not sources else ():
            problems.add(each.kind, f"{each.where}: {each.what}")
        if not broken and (tree.named or not tree.images or not sources):
            # images alone may be what another source's labels speak of
            problems.add("no-labels", f"{tree.source}: {why}")
    if not sources:
        raise problems.error(skippable=False)
    return sources, trees


def _left_aside(tree: Tree, used: Labels, found: Sequence[Labels], unread: Sequence[Trouble]) -> list[str]:
    """What else lies there: the same boxes in another format, perhaps, and files of which nothing could be read."""
    names = {labels: name for name, labels in _format_names().items()}
    others = [each.format for each in found if each is not used]
    notes = [
        f"{tree.source}: its {other} labels are left aside; --format {names[other]} reads them" for other in others
    ]
    return notes + [f"left aside: {each.where}: {each.what}" for each in unread if is_error(each.kind)]


def _format(typed: str) -> str:
    """The name of a format as it may be typed.

    >>> _format("voc"), _format("COCO"), _format("")
    ('Pascal VOC', 'COCO', '')
    """
    names = _format_names()
    if typed and typed not in FORMATS and typed.lower() not in names:
        raise unknown_name("label format", typed, names, option="--format")
    return names.get(typed.lower(), typed)


def _format_names() -> dict[str, str]:
    return {name.lower().replace("pascal ", ""): name for name in FORMATS if name != "masks"}


def _why_none(tree: Tree, found: Sequence[Labels], format: str) -> str:
    if found:
        return f"no labels as {format}, but as {', '.join(each.format for each in found)}"
    return f"{counted(len(tree.images), 'image')}, no labels with boxes"


def of_split(
    sources: Sequence[Source], split: str | None, problems: Problems, notes: list[str]
) -> tuple[list[tuple[Source, Sample]], bool]:
    """The samples of a split (`train+val`: of both) or of a list's file, and whether the split is still to be drawn."""
    every = [(source, sample) for source in sources for sample in source.labels.samples]
    if split is None:
        return _labelled(every, notes), False
    if is_list(split):
        return _labelled(of_list(every, Path(split).expanduser(), problems), notes), False
    there = ordered({name for _, sample in every for name in sample.splits})
    wanted = set(split.split("+"))
    if not there and wanted <= _HELD_OUT.keys():
        notes.append(
            "no list or folder tells the splits: 80 % train, 10 % val, 10 % test, drawn by the images' content"
        )
        return _labelled(every, notes), True
    chosen = [(source, sample) for source, sample in every if wanted & set(sample.splits)]
    if not chosen or not wanted <= set(there):
        raise _no_such_split(sources, split, ordered(wanted - set(there)), there or list(_HELD_OUT), problems)
    return _labelled(chosen, notes), False


def _no_such_split(
    sources: Sequence[Source], split: str, lost: Sequence[str], there: Sequence[str], problems: Problems
) -> LimbeckError:
    """With the faults of the label files: that of the split may be the one that could not be read."""
    for source in sources:
        problems.add_troubles(source.labels.troubles)
    aside = [each for source in sources for each in source.labels.troubles if each.kind == "other-json"]
    typed = " ".join(source.tree.source for source in sources)
    near = [best for name in lost for best in nearest(name, there, 1)]
    found = f"{typed}: no image is in the split '{'+'.join(lost) or split}'"
    if is_file_name(split):
        found = f"{split} is no file that lists images, nor a split of {typed}"
    return LimbeckError(
        "\n".join([found, *problems.lines(), *(f"  {each.where}: {each.what}" for each in aside)]),
        expected=f"one of {', '.join(there)}, or several joined by +",
        hint=f"{near[0]} in its place"
        if near
        else "the json or list of that split beside the others, or another split",
    )


def is_list(split: str) -> bool:
    """Whether a split is a file that lists images.

    >>> is_list("train"), is_list("train+val")
    (False, False)
    """
    return is_file_name(split) and Path(split).expanduser().is_file()


def is_file_name(split: str) -> bool:
    """Whether a split is named as a file of a list is.

    >>> is_file_name("mine.txt"), is_file_name("train")
    (True, False)
    """
    return split.lower().endswith((".txt", ".json"))


def of_list(samples: Sequence[tuple[Source, Sample]], file: Path, problems: Problems) -> list[tuple[Source, Sample]]:
    """Those that a file lists: COCO's json or a json list by name, a text by name, path or VOC's stem, one a line."""
    lookup = Lookup(sample.image for _, sample in samples)
    chosen: set[str] = set()
    for entry in _entries(file):
        name = lookup.find(entry)[0] or lookup.find(f"{entry}.jpg")[0]  # a stem may have dots in it
        if name:
            chosen.add(name)
        else:
            problems.add("lost-list-entries", f"{file}, {entry}: no such image")
    if not chosen:
        raise problems.error(f"{file} lists none of the images", skippable=False)
    return [(source, sample) for source, sample in samples if sample.image in chosen]


def _entries(file: Path) -> list[str]:
    try:
        text = file.read_text("utf-8-sig")
        if file.suffix.lower() != ".json":
            return [_listed_name(line) for line in map(str.strip, text.splitlines()) if line and _is_in(line)]
        content = json.loads(text)
    except (ValueError, OSError, RecursionError) as error:
        raise LimbeckError(
            f"{file} cannot be read: {error}", expected="names of images, one a line, or COCO json", hint="another list"
        ) from error
    rows = content.get("images", []) if isinstance(content, dict) else content
    names = [row.get("file_name") if isinstance(row, dict) else row for row in rows] if isinstance(rows, list) else []
    return [name for name in names if isinstance(name, str)]


def _is_in(line: str) -> bool:
    """VOC's lists of a class: -1 says that it is not on the image."""
    return line.split()[-1] != "-1"


def _listed_name(line: str) -> str:
    name, _, flag = line.rpartition(" ")
    return name.strip() if flag in ("0", "1") and name.strip() else line


def drawn_into(split: str, images: ImageSet, row: int) -> bool:
    """Whether an image falls into a split that no list tells: by its content alone."""
    share = int.from_bytes(images.keys[row, :8].tobytes(), "big") / 2**64
    return any(low <= share < high for low, high in map(_HELD_OUT.__getitem__, split.split("+")))


def _labelled(samples: list[tuple[Source, Sample]], notes: list[str]) -> list[tuple[Source, Sample]]:
    """Without images of which nothing is said; in YOLO that says that nothing is on them."""
    kept = [(source, each) for source, each in samples if each.labelled or source.labels.format == _YOLO]
    silent = sum(not each.labelled for _, each in kept)
    if silent:
        notes.append(f"{counted(silent, 'image')} without a label file: taken to show nothing")
    if len(kept) < len(samples):
        notes.append(f"{counted(len(samples) - len(kept), 'image')} without labels: not used")
    return kept


def join(
    samples: Sequence[tuple[Source, Sample]],
    trees: Sequence[Tree],
    problems: Problems,
    open_images: Callable[[tuple[str, ...]], ImageSet],
) -> tuple[ImageSet, list[Listed]]:
    """The images of the samples; what is missing, damaged or there twice is told, and left out."""
    places = _paths(samples, trees, problems)
    if not places:
        raise problems.error("none of the labelled images is there", skippable=False)
    images = open_images(_homes(places, trees))
    rows = {path: row for row, path in enumerate(images.paths(np.arange(len(images))).to_pylist())}
    reasons = {each.path: each.reason for each in images.skipped}
    listed: list[Listed] = []
    used: dict[int, str] = {}
    for place, source, sample in places:
        row = rows.get(place)
        if row is None:
            problems.add("unreadable-images", f"{sample.image}: {reasons.get(place, 'not among the images found')}")
        elif row in used:
            problems.add("repeated-images", f"{sample.image}: in {used[row]} and {sample.source}")
        else:
            used[row] = sample.source
            listed.append(Listed(source, sample, row))
    return images, listed


def _paths(
    samples: Sequence[tuple[Source, Sample]], trees: Sequence[Tree], problems: Problems
) -> list[tuple[str, Source, Sample]]:
    """Where each image is; what its own tree does not have may lie in another source."""
    everywhere = Lookup(name for tree in trees for name in tree.images) if len(trees) > 1 else Lookup([])
    owners = {name: tree for tree in trees for name in tree.images} if len(trees) > 1 else {}
    found = []
    for source, sample in samples:
        name, tree = sample.image, source.tree
        if not sample.found:
            name, _ = everywhere.find(sample.image)
            if not name:
                problems.add("missing-images", f"{sample.image} (in {sample.source})")
                continue
            tree = owners[name]
        found.append((f"{tree.root}{tree.inner(name)}" if tree.root else name, source, sample))
    return found


def _homes(places: Sequence[tuple[str, Source, Sample]], trees: Sequence[Tree]) -> tuple[str, ...]:
    """What ImageSet.open has to look through: archives whole, of folders only those that hold listed images."""
    archives = {tree.root: tree.place for tree in trees if tree.root and not Path(tree.root).is_dir()}
    homes: dict[str, None] = {}
    for place, _, _ in places:
        archive = next((home for root, home in archives.items() if place.startswith(root)), "")
        homes[archive or place.rpartition("/")[0]] = None
    return tuple(homes)
