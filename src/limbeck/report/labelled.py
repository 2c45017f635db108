"""How a model does on labelled photos: class by class, what it takes for what, and its worst mistakes."""

from collections.abc import Sequence
from dataclasses import dataclass, field

MATRIX = 100  # classes whose matrix can be read
TABLE = 200
PAIRS = 12
MISTAKES = 24
_DRAWN = 760.0  # the matrix's width, as far as its cells allow
_CELLS = 11.0, 44.0
_COUNTED = 20.0  # from this size a cell shows its number
_LABEL = 22


@dataclass(frozen=True)
class Mistake:
    """A photo that was taken for another class, as a small JPEG, with the model's first answers."""

    path: str
    thumbnail: bytes
    truth: str
    answers: Sequence[tuple[str, float]]
    of_truth: float | None = None  # the probability of the truth, where it is among the first answers


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """The answers to labelled photos. `confusion[i][j]` photos of class i were taken for class j.

    `best` is (step, top-1) of the model that is shipped, `last` of the one that training ended with.
    """

    classes: Sequence[str]
    learned: Sequence[int]  # photos of each class that were learned from
    confusion: Sequence[Sequence[int]]
    mistakes: Sequence[Mistake] = ()
    held_out: bool = True  # of the same photos; else those of --eval
    best: tuple[int, float] | None = None
    last: tuple[int, float] | None = None

    @property
    def measured(self) -> int:
        return sum(map(sum, self.confusion))

    @property
    def wrong(self) -> int:
        return self.measured - sum(row[place] for place, row in enumerate(self.confusion))

    @property
    def majority(self) -> float:
        """The share that is right for who always says the most frequent class."""
        return max(map(sum, self.confusion)) / max(1, self.measured)


@dataclass(frozen=True)
class ClassRow:
    """A class: photos learned from and measured on, how many of them are right, and of its answers how many."""

    name: str
    learned: int
    measured: int
    right: int
    called: int
    taken_for: str

    @property
    def recall(self) -> float | None:
        return self.right / self.measured if self.measured else None

    @property
    def precision(self) -> float | None:
        return self.right / self.called if self.called else None


@dataclass(frozen=True)
class Pair:
    truth: str
    answer: str
    count: int
    share: float  # of the class


@dataclass(frozen=True)
class Cell:
    """A square of the matrix: where it is, how dark, and its words."""

    x: float
    y: float
    right: bool
    share: float
    count: int
    words: str


@dataclass(frozen=True)
class Label:
    text: str
    whole: str
    at: float


@dataclass(frozen=True)
class Matrix:
    """The confusion matrix as it is drawn."""

    cell: float
    margin: float
    side: float
    labels: Sequence[Label]
    cells: Sequence[Cell] = field(repr=False)

    @property
    def font(self) -> float:
        return max(7.0, min(13.0, self.cell * 0.8))

    @property
    def counted(self) -> bool:
        return self.cell >= _COUNTED


def class_rows(told: Labelled) -> list[ClassRow]:
    """Every class, that with the smallest recall first.

    >>> told = Labelled(classes=["cat", "dog"], learned=[9, 9], confusion=[[4, 0], [3, 1]])
    >>> [(row.name, row.recall, row.taken_for) for row in class_rows(told)]
    [('dog', 0.25, 'cat 3'), ('cat', 1.0, '')]
    """
    rows = []
    for place, (name, learned, counts) in enumerate(zip(told.classes, told.learned, told.confusion, strict=True)):
        wrong = [(count, -other) for other, count in enumerate(counts) if other != place and count]
        worst = max(wrong, default=None)
        taken = f"{told.classes[-worst[1]]} {worst[0]:,}" if worst else ""
        called = sum(row[place] for row in told.confusion)
        rows.append(ClassRow(name, learned, sum(counts), counts[place], called, taken))
    return sorted(rows, key=lambda row: (row.recall is None, row.recall, -row.measured))


def pairs(told: Labelled) -> list[Pair]:
    """What is most often taken for what.

    >>> [(pair.truth, pair.answer, pair.count) for pair in pairs(Labelled(classes="ab", learned=[1, 1],
    ...     confusion=[[4, 0], [3, 1]]))]
    [('b', 'a', 3)]
    """
    found = [
        Pair(told.classes[truth], told.classes[answer], count, count / sum(row))
        for truth, row in enumerate(told.confusion)
        for answer, count in enumerate(row)
        if answer != truth and count
    ]
    return sorted(found, key=lambda pair: (-pair.count, -pair.share, pair.truth, pair.answer))[:PAIRS]


def matrix(told: Labelled) -> Matrix | None:
    """The matrix in as many pixels as it needs to be read; None where it cannot be.

    >>> drawn = matrix(Labelled(classes="ab", learned=[1, 1], confusion=[[4, 0], [3, 1]]))
    >>> [(cell.right, cell.share) for cell in drawn.cells]
    [(True, 1.0), (False, 0.75), (True, 0.25)]
    """
    count = len(told.classes)
    if not 2 <= count <= MATRIX:
        return None
    cell = min(max(_DRAWN / count, _CELLS[0]), _CELLS[1])
    font = max(7.0, min(13.0, cell * 0.8))
    labels = [Label(_short(name), name, (place + 0.5) * cell) for place, name in enumerate(told.classes)]
    margin = 12 + 0.62 * font * max(len(label.text) for label in labels)
    cells = []
    for truth, row in enumerate(told.confusion):
        total = sum(row)
        for answer, number in enumerate(row):
            if number:
                words = f"{told.classes[truth]} taken for {told.classes[answer]}: {number:,} of {total:,}"
                share = number / total
                cells.append(Cell(answer * cell, truth * cell, truth == answer, share, number, words))
    return Matrix(cell, margin, cell * count, labels, cells)


def _short(name: str) -> str:
    first = name.split(",")[0].strip() or name
    return first if len(first) <= _LABEL else first[: _LABEL - 1] + "…"
