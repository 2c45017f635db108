"""select.html: everything is said, nothing is fetched, no name can break out."""

import re
from dataclasses import replace

import pytest

from limbeck.report.select_page import (
    CLASSES,
    ClassCount,
    Gate,
    Histogram,
    SelectPage,
    Sheet,
    Shot,
    Twins,
    bars,
    cut_band,
    render,
    ticks,
)

EVIL = "<script>alert('x')</script>\"&.jpg"
SHOT = Shot(f"/photos/{EVIL}", b"\xff\xd8", 0.9876)
PAGE = SelectPage(
    title="set",
    teacher="resnet50d",
    files=1200,
    gates=[Gate("unreadable", 3, 1197), Gate("below the cut", 197, 1000), Gate("kept", 0, 1000)],
    classes=[ClassCount("cat", 700, 500), ClassCount("dog", 500, 500), ClassCount("emu", 0, 0)],
    histogram=Histogram([0, 7, 1190], [0, 0, 1000], (0.5, 0.6, 0.7)),
    sheets=[Sheet("cat", [SHOT], [SHOT], [])],
    twins=[Twins(EVIL, "val/b.jpg", "a near-duplicate of the excluded", b"\xff\xd8")],
    twins_in_all=5,
    commands=[("Distil on it", "limbeck distill --images set")],
    settings=[("--per-class", "500")],
)


def test_everything_is_said() -> None:
    html = render(PAGE)
    for words in (
        "1,000 of 1,200 files", "resnet50d", "below the cut <i>−197</i>", "500 of 700", "1 class has no photo",
        "between 50.00 % and 70.00 %, the middle one at 60.00 %", "0.9876", "5 photos were left out",
        "1 of them", "limbeck distill --images set", "--per-class",
    ):  # fmt: skip
        assert words in html, words


def test_names_are_escaped_and_nothing_is_fetched() -> None:
    evil = replace(PAGE, title=EVIL, teacher=EVIL, classes=[ClassCount(EVIL, 2, 1)], settings=[(EVIL, EVIL)])
    html = render(evil)
    assert "<script" not in html
    assert not re.findall(r"(?:src|href|url\()=?[\"']?(?!data:)\w+:", html)
    assert "http" not in re.sub(r'http-equiv="[^"]*"', "", html)


def test_of_many_classes_the_largest_and_the_smallest_are_shown() -> None:
    classes = [ClassCount(f"class{number}", 1000 - number, 5) for number in range(1000)]
    html = render(replace(PAGE, classes=classes))
    shown = re.findall(r'title="(class\d+)"', html)
    assert len(shown) == CLASSES
    assert (shown[0], shown[-1]) == ("class0", "class999")
    assert "960 between them are left out here" in html


def test_bars_grow_with_their_counts_and_the_kept_part_is_inside() -> None:
    drawn = bars(PAGE.histogram)
    assert [bar.height for bar in drawn] == sorted(bar.height for bar in drawn)
    assert drawn[0].height == 0
    assert all(bar.kept_height <= bar.height for bar in drawn)
    assert [label for _, label in ticks(PAGE.histogram)] == ["1", "10", "100", "1,000"]


@pytest.mark.parametrize("histogram", [Histogram([0, 0], [0, 0], None), Histogram([1], [1], None)])
def test_nothing_cut_and_nothing_there(histogram: Histogram) -> None:
    html = render(replace(PAGE, histogram=histogram, sheets=[], twins=[], twins_in_all=0, classes=[]))
    assert "No class was cut" in html
    assert "Nearly the same" not in html
    assert cut_band(histogram) is None
