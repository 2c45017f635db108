"""What is wrong with a set, gathered before training and told together."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from limbeck.datasets.records import Trouble
from limbeck.datasets.troubles import TROUBLES, is_error, told
from limbeck.errors import LimbeckError, as_typed, counted

_EXAMPLES = 3

# kind -> (noun, several, title, cure)
KINDS = {
    "no-labels": ("source", "", "{} without boxes that can be read", "a COCO json, Pascal VOC xml or YOLO txt files"),
    "missing-images": ("image", "", "{} listed, but not there", "add them, or take them off the list"),
    "unreadable-images": ("image", "", "{} damaged, or in no format that is read", "replace them"),
    "repeated-images": ("image", "", "{} listed more than once", "list each once"),
    "other-sizes": (
        "image", "", "{} of another size than the labels say", "use the images that were labelled, or scale them"),
    "box-units": ("set", "", "{} whose boxes are in other units", "convert them"),
    "unreadable-boxes": ("box", "boxes", "{} that cannot be read", "correct the lines"),
    "boxes-without-extent": ("box", "boxes", "{} without extent", "draw them anew, or take them out"),
    "boxes-outside": ("box", "boxes", "{} outside of the image", "see whether the labels belong to this image"),
    "unknown-class-ids": ("object", "", "{} of a class that is not listed", "name the classes, or correct the ids"),
    "objects-without-class": ("object", "", "{} without a class", "name it; in COCO by category_id"),
    "other-class-names": (
        "class", "classes", "{} that the model does not know", "rename them, or train with photos of them"),
    "broken-outlines": ("mask", "", "{} not of this image", "make them again from the image as it is"),
}  # fmt: skip


@dataclass
class Problems:
    """How often each kind of fault was met, and the first places of it."""

    sources: Sequence[str]
    counts: dict[str, int] = field(default_factory=dict)
    places: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, place: str, number: int = 1) -> None:
        self.counts[kind] = self.counts.get(kind, 0) + number
        known = self.places.setdefault(kind, [])
        if len(known) < _EXAMPLES:
            known.append(place)

    def add_troubles(self, troubles: Iterable[Trouble]) -> None:
        """What the readers stumbled over, as far as training would too."""
        for each in troubles:
            if is_error(each.kind):
                self.add(each.kind, f"{each.where}: {each.what}")

    def __bool__(self) -> bool:
        return bool(self.counts)

    def lines(self) -> list[str]:
        """Each kind with its count, its cure and its first places.

        >>> problems = Problems(["set"])
        >>> problems.add("boxes-outside", "1.xml, object 2")
        >>> print("\\n".join(problems.lines()))
          1 box outside of the image (see whether the labels belong to this image)
            1.xml, object 2
        """
        lines = []
        for kind, number in self.counts.items():
            lines.append(f"  {_title(kind, number)} ({_cure(kind)})")
            lines += [f"    {place}" for place in self.places[kind]]
            if number > len(self.places[kind]) and number > 1:
                lines[-1] += f", and {number - len(self.places[kind]):,} more"
        return lines

    def summary(self) -> str:
        """The counts alone, in one line."""
        return ", ".join(_title(kind, number) for kind, number in self.counts.items())

    def error(self, first: str = "", *, skippable: bool = True) -> LimbeckError:
        """All of it as one error."""
        typed = " ".join(map(as_typed, self.sources))
        kinds = counted(len(self.counts), "fault", "kinds of faults")
        head = first or f"{typed}: {kinds} that training would stumble over"
        page = f"limbeck doctor {typed} (a page with all of them)"
        hint = f"{page}; or the same command with --skip-bad, to go on without them" if skippable else page
        return LimbeckError("\n".join([head, *self.lines()]), expected="labels that fit their images", hint=hint)


def _title(kind: str, number: int) -> str:
    if kind in TROUBLES:
        return told(kind, number)
    noun, several, title, _ = KINDS[kind]
    return title.format(counted(number, noun, several))


def _cure(kind: str) -> str:
    return TROUBLES[kind][4] if kind in TROUBLES else KINDS[kind][3]
