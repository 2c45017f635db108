"""A diagnosis in one call."""

from collections.abc import Callable
from pathlib import Path

import pytest

from limbeck.checkup.case import open_case, with_pairs
from limbeck.checkup.examine import Diagnosis, examine
from limbeck.checkup.findings import Finding
from limbeck.images.cache import cache_root

Findings = dict[str, Finding]
Diagnose = Callable[..., Findings]


def diagnosis_of(*data: Path, against: tuple[Path, ...] = (), near: bool = False) -> Diagnosis:
    cache = cache_root()
    case = open_case(list(map(str, data)), list(map(str, against)), cache=cache, workers=0, shown=False)
    case = with_pairs(case, cache=cache, workers=0, shown=False) if near else case
    return examine(case, shown=False)


@pytest.fixture
def diagnose() -> Diagnose:
    """The findings by the name of their check; a check that reports twice would be noticed."""

    def run(*data: Path, against: tuple[Path, ...] = (), near: bool = False) -> Findings:
        findings = diagnosis_of(*data, against=against, near=near).findings
        assert len({finding.check for finding in findings}) == len(findings)
        return {finding.check: finding for finding in findings}

    return run
