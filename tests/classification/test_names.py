"""Folders that are called after classes."""

import pytest

from limbeck.classification.names import find_classes, imagenet_names, match_folders, numbered, synsets
from limbeck.errors import ImagesError

IMAGENET = imagenet_names(1000) or ()


def test_every_edition_of_imagenet_is_known() -> None:
    for count in (1000, 11221, 11821, 21841, 21842, 21843):
        names = imagenet_names(count)
        assert names is not None
        assert len(names) == count
        assert len(synsets(names) or ()) == count
    assert imagenet_names(100) is None
    assert synsets(["cat", "dog"]) is None


@pytest.mark.parametrize(
    ("folder", "index"),
    [
        ("n01440764", 0),  # WordNet id
        ("n01440764_tench", 0),
        ("tench, Tinca tinca", 0),  # the whole name
        ("Tench", 0),  # its first word, loosely spelt
        ("great_white_shark", 2),
        ("n02012849", 134),  # two classes are called crane: the id tells them apart
    ],
)
def test_imagenet_folders(folder: str, index: int) -> None:
    assert match_folders([folder], IMAGENET) == {folder: index}


def test_an_ambiguous_name_matches_nothing() -> None:
    assert find_classes(["crane"], IMAGENET) == {}


def test_an_exact_name_comes_before_a_loose_one() -> None:
    assert match_folders(["Cat", "cat"], ["cat", "Cat"]) == {"Cat": 1, "cat": 0}


def test_numbers_count_only_where_classes_have_no_names_or_all_are_there() -> None:
    assert match_folders(["0003", "7"], numbered(10)) == {"0003": 3, "7": 7}
    assert match_folders(["0", "1"], ["cat", "dog"]) == {"0": 0, "1": 1}
    assert find_classes(["2023", "2024"], IMAGENET) == {}
    assert find_classes(["00000", "00001"], IMAGENET) == {}


def test_folders_without_a_class_are_listed_with_the_nearest_names() -> None:
    with pytest.raises(ImagesError) as error:
        match_folders(["cat", "dgo", "zebra-crossing"], ["cat", "dog"])
    assert "2 of 3 folders" in str(error.value)
    assert "dgo" in str(error.value)
    assert "dog" in str(error.value)


def test_all_classes_are_told_beside_the_nearest() -> None:
    with pytest.raises(ImagesError) as error:
        match_folders(["red", "dgo"], ["bird", "cat", "dog"])
    assert error.value.expected == "folders named as the 3 classes: dog, bird, cat"
