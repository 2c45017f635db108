"""Every check by name, and the whole examination."""

from collections.abc import Sequence
from dataclasses import dataclass

from limbeck.checkup.case import Case
from limbeck.checkup.findings import ERROR, Finding, ranked
from limbeck.console import progress
from limbeck.tables import look_up

CHECKS = {
    "unreadable": "limbeck.checkup.files:unreadable",
    "wrong extensions": "limbeck.checkup.files:wrong_extensions",
    "unseen images": "limbeck.checkup.files:unseen_images",
    "tiny": "limbeck.checkup.pixels:tiny",
    "huge": "limbeck.checkup.pixels:huge",
    "long shapes": "limbeck.checkup.pixels:long_shapes",
    "blank": "limbeck.checkup.pixels:blank",
    "alpha": "limbeck.checkup.pixels:alpha",
    "modes": "limbeck.checkup.pixels:modes",
    "turned": "limbeck.checkup.pixels:turned",
    "exact duplicates": "limbeck.checkup.twins:exact_within",
    "exact leaks": "limbeck.checkup.twins:exact_across",
    "listed twice": "limbeck.checkup.twins:listed_twice",
    "near duplicates": "limbeck.checkup.twins:near_within",
    "near leaks": "limbeck.checkup.twins:near_across",
    "conflicts": "limbeck.checkup.twins:conflicts",
}


@dataclass(frozen=True)
class Diagnosis:
    """A case and what was found in it, the worst first."""

    case: Case
    findings: Sequence[Finding]

    @property
    def breaks(self) -> bool:
        """Whether something would break training."""
        return any(finding.severity == ERROR for finding in self.findings)


def examine(case: Case, *, shown: bool = True) -> Diagnosis:
    """Every check on one case."""
    findings: list[Finding] = []
    with progress("checking", len(CHECKS), shown=shown) as advance:
        for name in CHECKS:
            findings += look_up("check", name, CHECKS)(case)
            advance()
    return Diagnosis(case, ranked(findings))
