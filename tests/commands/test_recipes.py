"""limbeck recipes: the same length of a schedule in the list and by itself, and all that a recipe says."""

import pytest

from limbeck.cli import main
from limbeck.recipes import TRAIN
from tests.commands.told import told


def test_of_detectors(capsys: pytest.CaptureFixture[str]) -> None:
    main(["recipes", "ssd"])
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert next(row for row in rows if row[:1] == ["ssd300_coco"])[1:4] == ["24", "x", "5"]
    assert next(row for row in rows if row[:1] == ["ssdlite"])[1] == "100"
    main(["recipes", "ssd300_coco"])
    said = capsys.readouterr().out
    rows = [line.split() for line in said.splitlines()]
    assert ["--epochs", "24"] in rows
    assert ["--repeats", "5"] in rows
    assert "--milestones    0.666667 0.916667: a tenth after 16 epochs, and after 22" in said
    main(["recipes", "ssdlite"])
    assert "milestones" not in capsys.readouterr().out, "a cosine has none"


def test_no_number_is_cut_short_where_lines_are_short(capsys: pytest.CaptureFixture[str]) -> None:
    main(["recipes"])
    said = capsys.readouterr().out
    assert "…" not in said
    assert all(name in said for name in TRAIN)
    main(["recipes", "gfl_r18_fpn"])
    assert "24 x 5" not in capsys.readouterr().out, "only where there is such a recipe"


def test_a_detector_s_name_spelt_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert "try:      limbeck recipes ssd300_coco" in told(["recipes", "sdd300_coco"], capsys)
