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
    "unopened archives": "limbeck.checkup.files:unopened_archives",
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
    "neighbouring crops": "limbeck.checkup.twins:neighbouring",
    "conflicts": "limbeck.checkup.twins:conflicts",
    "label files": "limbeck.checkup.labels:troubles",
    "missing images": "limbeck.checkup.labels:missing_images",
    "unlabelled": "limbeck.checkup.labels:unlabelled",
    "empty labels": "limbeck.checkup.labels:empty",
    "other sizes": "limbeck.checkup.labels:other_sizes",
    "disagreement": "limbeck.checkup.labels:disagreement",
    "unreadable boxes": "limbeck.checkup.boxes:unreadable_boxes",
    "no extent": "limbeck.checkup.boxes:no_extent",
    "outside": "limbeck.checkup.boxes:outside",
    "wrong scale": "limbeck.checkup.boxes:wrong_scale",
    "doubles": "limbeck.checkup.boxes:doubles",
    "outlines": "limbeck.checkup.boxes:outlines",
    "overlaps": "limbeck.checkup.boxes:overlaps",
    "unknown ids": "limbeck.checkup.classes:unknown_ids",
    "unknown names": "limbeck.checkup.classes:unknown_names",
    "gaps": "limbeck.checkup.classes:gaps",
    "shared names": "limbeck.checkup.classes:shared_names",
    "unnamed": "limbeck.checkup.classes:unnamed",
    "spelling": "limbeck.checkup.classes:spelling",
    "other splits": "limbeck.checkup.classes:other_splits",
    "mere folders": "limbeck.checkup.classes:mere_folders",
    "few": "limbeck.checkup.classes:few",
    "uneven": "limbeck.checkup.classes:uneven",
    "mask sizes": "limbeck.checkup.masks:other_size",
    "mask values": "limbeck.checkup.masks:unknown_values",
    "black and white": "limbeck.checkup.masks:binary",
    "lossy masks": "limbeck.checkup.masks:lossy",
    "one value": "limbeck.checkup.masks:one_value",
    "class shares": "limbeck.checkup.masks:shares",
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
