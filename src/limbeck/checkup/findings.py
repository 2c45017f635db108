"""What a check reports: how bad, how often, where, why it matters and what to do."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from limbeck.datasets.records import Box

ERROR, WARNING, NOTE = SEVERITIES = ("error", "warning", "note")
_FIRST = (  # they make every score doubtful
    "exact-leaks",
    "near-duplicate-leaks",
    "same-scene-leaks",
    "neighbouring-crop-leaks",
    "conflicting-labels",
)
# error: training breaks or learns what is false; warning: it suffers, or its numbers flatter; note: good to know


class Marked(NamedTuple):
    """A box to draw on the picture of a place, in pixels of the photo as it is shown."""

    box: Box
    label: str


class Place(NamedTuple):
    """One occurrence: where, what is there, the photos that show it."""

    where: str
    what: str = ""
    rows: tuple[int, ...] = ()
    marked: tuple[Marked, ...] = ()


@dataclass(frozen=True)
class Finding:
    """What one check found; `drop` are the photos that a clean manifest leaves out for it."""

    check: str
    severity: str
    title: str
    places: Sequence[Place]
    why: str
    cure: str
    of: int = 0  # how many there are to be wrong
    drop: Sequence[int] = ()
    total: int = 0  # occurrences, where they are more than the places

    @property
    def count(self) -> int:
        return self.total or len(self.places)


def ranked(findings: Sequence[Finding]) -> list[Finding]:
    """The worst first; among equally bad ones leaks, then those that concern the larger share.

    >>> note, error = (Finding(word, word, "", [], "", "") for word in (NOTE, ERROR))
    >>> [finding.check for finding in ranked([note, error])]
    ['error', 'note']
    """

    def badness(finding: Finding) -> tuple[int, bool, float]:
        share = finding.count / max(finding.of, finding.count, 1)
        return SEVERITIES.index(finding.severity), finding.check not in _FIRST, -share

    return sorted(findings, key=badness)


def are(number: int) -> str:
    """The verb after a counted noun."""
    return "is" if number == 1 else "are"


def have(number: int) -> str:
    return "has" if number == 1 else "have"
