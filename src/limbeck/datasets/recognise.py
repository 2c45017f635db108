"""Which formats a data set is in: each looks for itself, and what it finds is told."""

from limbeck.console import progress
from limbeck.datasets.lookup import Lookup
from limbeck.datasets.records import Labels
from limbeck.datasets.tree import Tree
from limbeck.tables import look_up

FORMATS = {
    "COCO": "limbeck.datasets.coco:read",
    "Pascal VOC": "limbeck.datasets.voc:read",
    "YOLO": "limbeck.datasets.yolo:read",
    "CSV": "limbeck.datasets.csv_files:read",
    "masks": "limbeck.datasets.mask_folders:read",
}


def recognise(tree: Tree, *, shown: bool = True) -> list[Labels]:
    """Every format found in a tree, by itself or beside others; class folders where there is no other.

    The last ones may be without samples: files of a format, none of which could be read, and why.

    >>> tree = Tree("set", "set", images=["set/cat/1.jpg", "set/dog/2.jpg"])
    >>> [labels.told for labels in recognise(tree, shown=False)]
    ['class folders: 2 classes']
    """
    lookup = Lookup(tree.images)
    found: list[Labels] = []
    with progress(f"reading the labels of {tree.source}", len(FORMATS), shown=shown) as advance:
        for name in FORMATS:
            labels = look_up("format", name, FORMATS)(tree, lookup)
            if labels is not None:
                found.append(labels)
            advance()
    read, silent = ([each for each in found if bool(each.samples) == some] for some in (True, False))
    if not read:
        folders = look_up("format", "class folders", {"class folders": "limbeck.datasets.class_folders:read"})
        labels = folders(tree, lookup)
        read += [labels] if labels is not None else []
    return read + silent
