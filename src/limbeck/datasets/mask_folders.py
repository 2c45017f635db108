"""Segmentation masks: for each photo a picture of class numbers, in a folder beside or under a name with a mark."""

import re
from collections import Counter
from pathlib import PurePosixPath

from limbeck.datasets.class_list import class_list
from limbeck.datasets.lookup import Lookup
from limbeck.datasets.records import Labels, Sample
from limbeck.datasets.splits import folder_splits
from limbeck.datasets.tree import Tree
from limbeck.errors import counted

_WORDS = (
    "labels", "label", "masks", "mask", "annotations", "annotation", "annots", "annot", "segmentationclass",
    "segmentationobject", "gt", "gtfine", "groundtruth", "ground_truth", "targets", "trimaps", "seg",
)  # fmt: skip
_PHOTOS = ("images", "image", "imgs", "img", "jpegimages", "photos", "leftimg8bit", "")
_MASK_FOLDER = re.compile(rf"^(?:(train|val|test|valid)[_-]?)?({'|'.join(_WORDS)})(?:[_-]?(train|val|test|valid))?$")
_MARKS = re.compile(
    r"[_-](?:mask|label|labels|seg|segmentation|gt|l|labelids|gtfine_labelids|leftimg8bit)$", re.IGNORECASE
)
_MASKS = (".png", ".bmp", ".gif", ".tif", ".tiff", ".jpg", ".jpeg", ".webp")
_LEAST_PAIRED = 0.5


def read(tree: Tree, lookup: Lookup) -> Labels | None:
    """Photos with the masks of the same name.

    >>> tree = Tree("set", "set", images=["set/images/a.jpg", "set/labels/a.png"])
    >>> [(sample.image, sample.mask) for sample in read(tree, Lookup(tree.images)).samples]
    [('set/images/a.jpg', 'set/labels/a.png')]
    """
    masks = [name for name in tree.images if _is_mask(tree.inner(name))]
    photos = sorted(set(tree.images) - set(masks))
    if not masks or not photos:
        return None
    by_place: dict[tuple[str, str], str] = {}
    for name in masks:
        by_place.setdefault((_place(tree.inner(name)), _stem(name)), name)
    folders = folder_splits([tree.inner(name) for name in tree.images])
    samples: list[Sample] = []
    for photo in photos:
        mask = by_place.pop((_place(tree.inner(photo)), _stem(photo)), "")
        split = folders[tree.inner(photo).rpartition("/")[0]]
        samples.append(Sample(photo, splits=(split,) if split else (), mask=mask, source=mask, labelled=bool(mask)))
    paired = sum(sample.labelled for sample in samples)
    if paired < _LEAST_PAIRED * min(len(photos), len(masks)):
        return None
    for name in by_place.values():
        samples.append(Sample(f"{_stem(name)}.jpg", found=False, mask=name, source=name))
    classes, colours, listed = class_list(tree)
    kinds = Counter(PurePosixPath(name).suffix.lower() for name in masks)
    told = f"masks: {paired:,} photos with a mask ({kinds.most_common(1)[0][0][1:]})"
    told += f", {counted(len(classes), 'class', 'classes')} in {listed}" if classes else ", no list of classes"
    aside = sorted(set(masks) - {sample.mask for sample in samples})
    return Labels("masks", told, "segmentation", samples, classes, colours=colours, aside=aside)


def _is_mask(name: str) -> bool:
    path = PurePosixPath(name)
    if path.suffix.lower() not in _MASKS:
        return False
    marked = _MARKS.search(path.stem) and not path.stem.lower().endswith("_leftimg8bit")
    return bool(marked) or any(_MASK_FOLDER.match(part.lower()) for part in path.parts[:-1])


def _place(name: str) -> str:
    """The folder with what tells masks from photos taken out, so that both have the same."""
    parts = []
    for part in name.lower().split("/")[:-1]:
        folder = _MASK_FOLDER.match(part)
        part = (folder[1] or folder[3] or "") if folder else part
        if part not in _PHOTOS:
            parts.append(part)
    return "/".join(parts)


def _stem(name: str) -> str:
    return _MARKS.sub("", PurePosixPath(name).stem)
