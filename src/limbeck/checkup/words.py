"""A diagnosis as JSON, and as lines for the terminal."""

from typing import Any

from limbeck.checkup.case import Case
from limbeck.checkup.examine import Diagnosis
from limbeck.checkup.findings import Finding
from limbeck.datasets.splits import ordered

VERSION = 1
MOST_PLACES = 10_000
EXAMPLES = 2


def as_json(diagnosis: Diagnosis) -> dict[str, Any]:
    """Everything that was found, for programs."""
    case = diagnosis.case
    return {
        "version": VERSION,
        "breaks_training": diagnosis.breaks,
        "sources": [tree.source for tree in case.trees],
        "images": len(case.photos),
        "masks": int(case.is_mask.sum()),
        "unreadable": len(case.skipped),
        "splits": splits(case),
        "formats": [
            {"source": tree.source, "format": found.format, "told": found.told}
            for tree, found in case.labels
            if found.told
        ],
        "near_duplicates_looked_for": case.pairs is not None,
        "findings": [_finding(finding, case) for finding in diagnosis.findings],
    }


def splits(case: Case) -> dict[str, int]:
    """Photos in each split; a photo in two counts in both."""
    counts: dict[str, int] = {}
    for row in case.photos:
        for split in case.splits[row] or ("",):
            counts[split] = counts.get(split, 0) + 1
    return {split: counts[split] for split in ordered(counts)} if set(counts) != {""} else {}


def _finding(finding: Finding, case: Case) -> dict[str, Any]:
    return {
        "check": finding.check,
        "severity": finding.severity,
        "title": finding.title,
        "count": finding.count,
        "of": finding.of,
        "why": finding.why,
        "cure": finding.cure,
        "places": [
            {"where": place.where, "what": place.what, "images": [case.names[row] for row in place.rows]}
            for place in finding.places[:MOST_PLACES]
        ],
        "left_out_of_a_clean_manifest": [case.names[row] for row in finding.drop],
    }


def guesses(case: Case) -> list[str]:
    """What the sources were taken for."""
    lines = []
    for tree in case.trees:
        told = [found.told for owner, found in case.labels if owner is tree and found.told]
        lines.append(f"{tree.source}: {'; '.join(told) if told else 'images without labels'}")
    several = splits(case)
    parts = [f"{number:,} {split or 'in no split'}" for split, number in several.items()]
    summary = f"{len(case.photos):,} images" + (f": {', '.join(parts)}" if parts else "")
    return [*lines, summary]
