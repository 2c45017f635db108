"""A sound data set of any format gives no finding: every other test breaks one thing in these."""

from pathlib import Path

import pytest

from limbeck.checkup.case import open_case
from limbeck.images.cache import cache_root
from tests.checkup.conftest import Diagnose
from tests.checkup.sets import EACH, SETS, zipped


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
@pytest.mark.parametrize("kind", SETS)
def test_nothing_is_found_in_a_sound_set(kind: str, packed: bool, tmp_path: Path, diagnose: Diagnose) -> None:
    root = SETS[kind](tmp_path / "set")
    assert diagnose(zipped(root) if packed else root) == {}


@pytest.mark.parametrize("kind", SETS)
def test_the_format_is_recognised(kind: str, tmp_path: Path) -> None:
    case = open_case([str(SETS[kind](tmp_path / "set"))], cache=cache_root(), workers=0, shown=False)
    ((_, labels),) = case.labels
    assert labels.format == kind
    assert sum(sample.labelled and sample.found for sample in labels.samples) == (
        2 * EACH + 2 * (kind == "class folders")
    )


def test_near_duplicates_are_not_seen_where_there_are_none(tmp_path: Path, diagnose: Diagnose) -> None:
    assert diagnose(SETS["class folders"](tmp_path / "set"), near=True) == {}
