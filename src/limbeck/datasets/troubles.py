"""What the readers of labels stumble over: how bad each kind is, its words, and what to do."""

from limbeck.errors import counted

_ERROR, _WARNING, _NOTE = "error", "warning", "note"

# kind -> (severity, title, why, cure); {} is the counted noun
TROUBLES: dict[str, tuple[str, str, str, str, str]] = {
    "unreadable-labels": (
        _ERROR, "label file", "{} cannot be read",
        "Loaders fail on them, or skip what they say.", "copy them again or repair them; the place is named"),
    "not-coco": (
        _ERROR, "json file", "{} not in COCO's form",
        "Nothing of what they say is read.", "a COCO json has images, annotations and categories"),
    "other-json": (
        _NOTE, "json file", "{} without labels that are read",
        "They are left aside.", "nothing, if they hold no labels; else write them as COCO json"),
    "lacking-parts": (
        _ERROR, "entry", "{} without an id or a name that loaders go by",
        "What belongs to them cannot be found.", "write the part that is named, or take the entries out"),
    "unnumbered-annotations": (
        _WARNING, "annotation", "{} without an id",
        "Loaders that go by ids (pycocotools) fail on them; here they are read.", "number the annotations"),
    "lost-annotations": (
        _ERROR, "image id", "annotations of {} belong to no image",
        "COCO loaders fail, or drop them in silence.", "add the images to the json, or take the annotations out"),
    "repeated-ids": (
        _ERROR, "id", "{} used more than once",
        "Of two entries with one id a loader keeps the last: the other is lost.", "number them anew"),
    "no-class-list": (
        _ERROR, "set", "{} of labels without names of classes",
        "Nothing says what the ids mean.", "write one of the two files into the folder"),
    "class-lists-differ": (
        _ERROR, "class", "{} called otherwise in another file of the same set",
        "The splits do not speak of the same classes.", "use one list of classes in all files"),
    "class-count-differs": (
        _ERROR, "class list", "{} of another length than it says",
        "Trainers make a network for nc classes, and stop or ignore the others.", "make nc the number of names"),
    "spelt-otherwise": (
        _WARNING, "image", "{} called otherwise on disk than in the labels",
        "Found here by looser spelling; other tools, and other systems, do not find them.",
        "write the names as they are on disk, capitals and extension too"),
    "other-name-inside": (
        _WARNING, "xml file", "{} naming another image inside",
        "Loaders that go by the tag take the wrong image, others the right one.",
        "make <filename> the image's name"),
    "lost-list-entries": (
        _WARNING, "entry", "{} of the lists of splits leading nowhere",
        "Loaders fail on them, or train on less than you think.", "take the lines out, or add the images"),
    "several-labels": (
        _WARNING, "image", "{} with rows of different classes",
        "A loader keeps one of them, or shows the image under each.", "keep one row an image"),
    "repeated-rows": (
        _WARNING, "image", "{} in several equal rows",
        "They count more often than the others.", "keep one row an image"),
    "short-rows": (
        _WARNING, "row", "{} with fewer cells than the header",
        "The cells may have moved into other columns.", "fill them up"),
}  # fmt: skip


def told(kind: str, number: int) -> str:
    """So many troubles of a kind, in words.

    >>> told("repeated-ids", 2)
    '2 ids used more than once'
    """
    _, noun, title, _, _ = TROUBLES[kind]
    several = "classes" if noun == "class" else "entries" if noun == "entry" else ""
    return title.format(counted(number, noun, several))


def is_error(kind: str) -> bool:
    """Whether training breaks on it, or learns what is false."""
    return TROUBLES[kind][0] == _ERROR
