"""The page of a model that learned from labels: the matrix, the classes, the mistakes, in words and in order."""

import dataclasses
import random
from pathlib import Path

import pytest

from limbeck.report.labelled import MATRIX, Labelled, Mistake, class_rows, matrix, pairs
from limbeck.report.page import ModelFacts, Page, render
from limbeck.report.verdict import labelled_verdict
from tests.report.browser import CHROMIUM, Tab, visit
from tests.report.samples import HOSTILE, photo
from tests.report.test_report_page import Outline

HISTORY = [
    {"step": 100, "accuracy": 0.6, "loss": 1.0, "top1": 0.85},
    {"step": 200, "accuracy": 0.9, "loss": 0.3, "top1": 0.8},
]


def told(classes: int = 3, each: int = 20, name: str = "class") -> Labelled:
    """Every class is right on four of five photos, and else taken for the next one."""
    confusion = [[0] * classes for _ in range(classes)]
    for number in range(classes):
        confusion[number][number] = each * 4 // 5
        confusion[number][(number + 1) % classes] += each - each * 4 // 5
    names = [f"{name} {number}" for number in range(classes)]
    mistake = Mistake("/photos/wrong.jpg", photo(0), names[0], [(names[1], 0.9), (names[0], 0.06)], 0.06)
    return Labelled(
        classes=names,
        learned=[50 + number for number in range(classes)],
        confusion=confusion,
        mistakes=[mistake],
        best=(100, 0.8),
        last=(200, 0.75),
    )


def page(labelled: Labelled) -> Page:
    student = ModelFacts(name="resnet50d", parameters=1000, megabytes=1.0)
    return Page(
        title="run",
        classes=len(labelled.classes),
        student=student,
        history=HISTORY,
        labelled=labelled,
        kind="fine-tuning",
    )


def test_everything_is_said() -> None:
    texts = Outline(render(page(told()))).texts
    assert {"fine-tuning report", "What it takes for what", "Class by class", "The worst mistakes"} <= set(texts)
    assert {"80.0\u00a0%", "of step 100, the best; the last 75.0\u00a0%", "of 50 to 52 photos"} <= set(
        text.replace(" %", "\u00a0%") for text in texts
    )
    assert "12 of 60 held-out photos are taken for another class. Most often:" in texts
    assert "wrong.jpg" in texts
    assert "Held-out photos" not in texts
    assert "Student" not in texts


def test_names_are_escaped_wherever_they_stand() -> None:
    text = render(page(told(name=HOSTILE)))
    assert "<script>document" not in text
    assert "onerror=alert(1)>" not in text
    assert "49" not in Outline(text).texts


@pytest.mark.parametrize("classes", [2, 37, MATRIX, MATRIX + 1])
def test_the_matrix_is_drawn_where_it_can_be_read(classes: int) -> None:
    drawn = matrix(told(classes))
    text = render(page(told(classes)))
    if classes > MATRIX:
        assert drawn is None
        assert "could not be read; the table has" in text
        return
    assert drawn is not None
    assert len(drawn.cells) == 2 * classes
    assert drawn.side == pytest.approx(classes * drawn.cell)
    assert all(cell.x >= 0 and cell.x + drawn.cell <= drawn.side + 1e-6 for cell in drawn.cells)
    assert text.count("<title>class ") == 4 * classes  # of a cell each, of a row and of a column


def test_classes_and_pairs_come_worst_first() -> None:
    labelled = Labelled(
        classes=["cat", "dog", "emu", "fox"],
        learned=[9, 9, 9, 9],
        confusion=[[8, 2, 0, 0], [0, 5, 5, 0], [0, 0, 10, 0], [0, 0, 0, 0]],
    )
    assert [(row.name, row.recall, row.precision) for row in class_rows(labelled)] == [
        ("dog", 0.5, 5 / 7),
        ("cat", 0.8, 1.0),
        ("emu", 1.0, 10 / 15),
        ("fox", None, None),
    ]
    assert [(pair.truth, pair.answer, pair.count, pair.share) for pair in pairs(labelled)] == [
        ("dog", "emu", 5, 0.5),
        ("cat", "dog", 2, 0.2),
    ]
    assert (labelled.measured, labelled.wrong, labelled.majority) == (30, 7, 10 / 30)


def test_a_model_without_a_mistake() -> None:
    right = Labelled(classes=["a", "b"], learned=[30, 30], confusion=[[30, 0], [0, 30]])
    texts = Outline(render(page(right))).texts
    assert "Nothing: all 60 photos are right." in texts
    assert "It makes none on these photos." in texts


@pytest.mark.parametrize(
    ("confusion", "accuracy", "mood"),
    [
        ([[50, 0], [10, 40]], 0.92, "good"),
        ([[40, 10], [20, 30]], 0.99, "fair"),
        ([[50, 0], [50, 0]], 0.5, "bad"),
        ([[5, 0], [1, 4]], 0.9, "unknown"),
    ],
)
def test_the_verdict(confusion: list[list[int]], accuracy: float, mood: str) -> None:
    labelled = Labelled(classes=["a", "b"], learned=[50, 50], confusion=confusion)
    found = labelled_verdict([{"step": 1, "accuracy": accuracy, "loss": 0.5}], labelled)
    assert found.mood == mood
    broken = labelled_verdict([{"step": 7, "loss": float("nan")}], labelled)
    assert (broken.mood, "step 7" in broken.text) == ("bad", True)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
@pytest.mark.parametrize("classes", [2, 10, 100])
@pytest.mark.parametrize("width", [390, 1200])
def test_nothing_leaves_the_page(classes: int, width: int, tmp_path: Path) -> None:
    names = [f"{random.Random(n).choice(['great', 'small'])} long-billed curlew {n}" for n in range(classes)]
    file = tmp_path / "report.html"
    file.write_text(render(page(dataclasses.replace(told(classes), classes=names))), encoding="utf-8")
    found = {}

    async def act(tab: Tab) -> None:
        await tab.look(width, "light")
        found["wide"] = await tab.evaluate("document.documentElement.scrollWidth > innerWidth")
        found["cut"] = await tab.evaluate(
            "(() => { const s = document.querySelector('.matrix svg'), b = s.getBoundingClientRect();"
            "return [...s.querySelectorAll('text')].filter(t => { const r = t.getBoundingClientRect();"
            "return r.left < b.left - 1 || r.top < b.top - 1 || r.right > b.right + 1 || r.bottom > b.bottom + 1;"
            "}).length })()"
        )

    visit(file, tmp_path / "profile", act)
    assert found == {"wide": False, "cut": 0}
