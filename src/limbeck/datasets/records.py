"""What any data set says, whatever its format: plain records, read leniently. What is wrong in them stays in them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Box = tuple[float, float, float, float]


class Thing(NamedTuple):
    """One labelled object; `flaw` says what its reader could not make sense of.

    A box is left, top, right, bottom in pixels, counted from 0, as the file says it: not clipped, not put in order.
    """

    label: str  # the class's name, or what stands in its place
    number: int | None = None  # the class's id where the format has ids
    box: Box | None = None
    outline: Any = None  # COCO: polygons, or run lengths
    crowd: bool = False  # not learned from, and left aside in measuring
    flaw: str = ""
    place: str = ""  # the line, or the annotation's id
    area: float | None = None  # in pixels, where the file says it: of the object itself, not of its box


@dataclass(frozen=True, slots=True)
class Sample:
    """An image and what is said of it; `image` is its name in the tree, or what was written where there is none."""

    image: str
    found: bool = True
    splits: tuple[str, ...] = ()
    label: str = ""  # the class of the whole image
    things: tuple[Thing, ...] = ()
    mask: str = ""
    size: tuple[int, int] | None = None  # height, width, where the labels say them
    source: str = ""  # the file that says all this
    labelled: bool = True  # False: there is the image, and nothing said of it
    number: int | str | None = None  # the image's id where the format has ids


class Trouble(NamedTuple):
    """Something in a label file that no record can hold; `kind` is a name of `limbeck.datasets.troubles.TROUBLES`."""

    kind: str
    where: str
    what: str
    image: str = ""


@dataclass(frozen=True)
class Labels:
    """All that one format says in one tree."""

    format: str
    told: str  # the guess, in words
    task: str  # classification | detection | segmentation
    samples: Sequence[Sample]
    classes: Mapping[int, str] = field(default_factory=dict)  # id -> name, as declared; empty where nothing declares
    names: Sequence[str] = ()  # declared names, where there are no ids
    colours: Mapping[tuple[int, int, int], int] = field(default_factory=dict)  # of coloured masks -> id
    troubles: Sequence[Trouble] = ()
    aside: Sequence[str] = ()  # images that are no photos: masks of another kind
    first: int | None = None  # the id that classes should count from, where the format says so
    shares: bool = False  # boxes are in shares of the image, 0 to 1
