"""Class folders: an image's class is the name of the folder that it lies in."""

from collections import Counter

from limbeck.datasets.class_list import class_list
from limbeck.datasets.lookup import Lookup
from limbeck.datasets.records import Labels, Sample
from limbeck.datasets.splits import folder_splits, split_of
from limbeck.datasets.tree import Tree

CLASS_FOLDERS = "class folders"
_NO_CLASS = {"images", "image", "imgs", "img", "photos", "pictures", "jpegimages", "data", "dataset", "frames"}
_MOST_ELSEWHERE = 0.05  # of the images, in folders that are no class: beside them, or deeper


def read(tree: Tree, lookup: Lookup) -> Labels | None:
    """Where nearly all images lie in several folders at one depth, below train, val and test or none of them.

    >>> tree = Tree("set", "set", images=["set/train/cat/1.jpg", "set/train/dog/2.jpg"])
    >>> [(sample.label, sample.splits) for sample in read(tree, Lookup(tree.images)).samples]
    [('cat', ('train',)), ('dog', ('train',))]
    """
    inner = [tree.inner(name) for name in tree.images]
    splits = folder_splits(inner)
    ways = [_class_of(name, splits[name.rpartition("/")[0]]) for name in inner]
    common = Counter(depth for depth, _ in ways).most_common(1)
    if not common:
        return None
    (depth, count), *_ = common
    labels = [label if at == depth else "" for at, label in ways]
    classes = sorted({label for label in labels if label})
    if depth != 1 or len(classes) < 2 or count < (1 - _MOST_ELSEWHERE) * len(inner):
        return None
    whole = split_of(tree.source.rstrip("/").rpartition("/")[2])
    samples = []
    for name, label in zip(tree.images, labels):
        split = splits[tree.inner(name).rpartition("/")[0]] or whole
        samples.append(Sample(name, splits=(split,) if split else (), label=label, labelled=bool(label)))
    return Labels(
        CLASS_FOLDERS,
        f"class folders: {len(classes):,} classes",
        "classification",
        samples,
        names=tuple(class_list(tree).classes.values()),
    )


def _class_of(name: str, split: str) -> tuple[int, str]:
    """How many folders lie above an image, the split's own not counted, and the innermost of them."""
    folders = [part for part in name.split("/")[:-1] if part.lower() not in _NO_CLASS]
    if split:
        folders = [part for part in folders if split_of(part) != split]
    return len(folders), folders[-1] if folders else ""
