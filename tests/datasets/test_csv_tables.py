"""The rows of a csv file, and which of its columns hold an image and its class."""

import pytest

from limbeck.datasets.csv_files import image_and_label, table_of


@pytest.mark.parametrize(
    ("names", "places"),
    [
        (["file", "class"], (0, 1)),
        (["label", "filename", "split"], (1, 0)),
        (["Image Path", "Species"], (0, 1)),
        (["id", "breed"], (0, 1)),
        (["file", "colour"], (0, -1)),
        (["colour", "category"], (-1, 1)),
        (["a", "b"], (-1, -1)),
    ],
)
def test_columns_are_told_by_their_names(names: list[str], places: tuple[int, int]) -> None:
    assert image_and_label(names) == places


def test_a_table_without_names_gets_some() -> None:
    assert table_of("cats/1.jpg\tcat\n\ndogs/2.jpg\tdog\n", "labels.tsv") == [
        ["path", "label"],
        ["cats/1.jpg", "cat"],
        ["dogs/2.jpg", "dog"],
    ]
    assert table_of("", "labels.csv") == []
