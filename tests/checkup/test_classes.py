"""Class ids and class names."""

import shutil
from pathlib import Path

import pytest

from limbeck.checkup.findings import ERROR, NOTE, WARNING
from tests.checkup.conftest import Diagnose
from tests.checkup.sets import EACH, box_of, class_folders, coco, photo, voc, voc_xml, yolo, yolo_line
from tests.checkup.test_boxes import annotation
from tests.checkup.test_labels import changed


def test_an_id_that_no_category_has(tmp_path: Path, diagnose: Diagnose) -> None:
    found = diagnose(coco(tmp_path / "set", changed(annotation(category_id=7))))
    assert set(found) == {"unknown-class-ids", "few-examples"}
    assert found["unknown-class-ids"].severity == ERROR
    assert found["unknown-class-ids"].title == (
        "1 object of COCO has a class id that is not listed: 7, where the classes are 1 to 2"
    )


def test_ids_that_count_from_0_where_categories_count_from_1(tmp_path: Path, diagnose: Diagnose) -> None:
    content = changed(lambda c: [each.update(category_id=each["category_id"] - 1) for each in c["annotations"]])
    finding = diagnose(coco(tmp_path / "set", content))["unknown-class-ids"]
    assert "all of them seemingly off by one" in finding.title
    assert (finding.cure, finding.count) == ("add 1 to every id", EACH)


def test_ids_that_count_from_1_where_names_count_from_0(tmp_path: Path, diagnose: Diagnose) -> None:
    root = yolo(tmp_path / "set")
    for number in range(2 * EACH):
        line = yolo_line(number, box_of(number), 1 + number % 2)
        (root / "labels" / "train" / f"{number}.txt").write_text(line)
    finding = diagnose(root)["unknown-class-ids"]
    assert finding.cure == "take 1 from every id"


def test_category_ids_with_gaps_or_from_0(tmp_path: Path, diagnose: Diagnose) -> None:
    content = changed(lambda c: [each.update(category_id=5) for each in c["annotations"] if each["category_id"] == 2])
    content["categories"][1]["id"] = 5
    found = diagnose(coco(tmp_path / "a", content))
    assert list(found) == ["class-id-gaps"]
    assert "2, 3, 4 are left out" in found["class-id-gaps"].title
    content = changed(lambda c: [each.update(category_id=each["category_id"] - 1) for each in c["annotations"]])
    content["categories"] = [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}]
    assert "they begin at 0" in diagnose(coco(tmp_path / "b", content))["class-id-gaps"].title


def test_one_name_of_two_ids(tmp_path: Path, diagnose: Diagnose) -> None:
    content = changed(lambda c: c["categories"].append({"id": 3, "name": "dog"}))
    finding = diagnose(coco(tmp_path / "coco", content))["shared-class-names"]
    assert (finding.severity, finding.title) == (WARNING, "1 class name of more than one id: dog (ids 2, 3)")
    root = yolo(tmp_path / "yolo")
    (root / "data.yaml").write_text("train: images/train\nnc: 3\nnames: [cat, dog, cat]\n")
    assert "cat (ids 0, 2)" in diagnose(root)["shared-class-names"].title


def test_a_class_that_nothing_is_of(tmp_path: Path, diagnose: Diagnose) -> None:
    root = yolo(tmp_path / "set")
    (root / "data.yaml").write_text("train: images/train\nnc: 3\nnames: [cat, dog, cow]\n")
    found = diagnose(root)
    assert list(found) == ["unused-classes"]
    assert found["unused-classes"].title.endswith("has no object: cow")


def test_an_object_without_a_class(tmp_path: Path, diagnose: Diagnose) -> None:
    root = voc(tmp_path / "set")
    text = voc_xml(7, "dog", box_of(7)).replace("<name>dog</name>", "")
    (root / "Annotations" / "7.xml").write_text(text.replace("</annotation>", "</annotation>"))
    found = diagnose(root)
    assert set(found) == {"objects-without-class", "few-examples"}


@pytest.mark.parametrize("name", ["Dog", "dogs", "d og", "DOG_"])
def test_a_class_spelt_otherwise(name: str, tmp_path: Path, diagnose: Diagnose) -> None:
    root = class_folders(tmp_path / "set")
    photo(root / "train" / name / "1.jpg", 60)
    found = diagnose(root)
    assert set(found) == {"class-spelling", "few-examples"}
    assert f"'{name}' (1) and 'dog' (11)" in found["class-spelling"].title
    assert found["class-spelling"].severity == WARNING


def test_a_slip_in_a_long_name_is_noticed_and_other_words_are_not(tmp_path: Path, diagnose: Diagnose) -> None:
    root = tmp_path / "set"
    for number in range(12):
        for at, name in enumerate(("elephant", "class1", "class2", "bat", "cat")):
            photo(root / name / f"{number}.jpg", 20 * number + at)
    photo(root / "elefant" / "1.jpg", 999)
    found = diagnose(root)
    assert "'elefant' (1) and 'elephant' (12)" in found["class-spelling"].title
    assert found["class-spelling"].count == 1


def test_a_class_that_train_does_not_have_with_the_nearest(tmp_path: Path, diagnose: Diagnose) -> None:
    root = class_folders(tmp_path / "set")
    (root / "val" / "dog").rename(root / "val" / "doggy")
    found = diagnose(root)
    assert list(found) == ["classes-never-trained"]
    assert found["classes-never-trained"].title.endswith("'doggy' (nearest: 'dog')")


def test_a_class_of_the_other_set_that_the_data_does_not_have(tmp_path: Path, diagnose: Diagnose) -> None:
    root = class_folders(tmp_path / "set") / "train"
    shutil.move(root, tmp_path / "photos")
    photo(tmp_path / "held" / "cat" / "1.jpg", 80)
    photo(tmp_path / "held" / "cow" / "1.jpg", 81)
    found = diagnose(tmp_path / "photos", against=(tmp_path / "held",))
    assert list(found) == ["classes-never-trained"]


def test_folders_of_a_gallery_are_no_classes_of_the_set_that_it_is_held_against(
    tmp_path: Path, diagnose: Diagnose
) -> None:
    for number in range(12):
        for folder, first in (("gallery/batch 1", 0), ("gallery/new", 20), ("held/cat", 40), ("held/dog", 60)):
            photo(tmp_path / folder / f"{number}.jpg", first + number)
    shutil.copy(tmp_path / "held" / "cat" / "3.jpg", tmp_path / "gallery" / "new" / "leak.jpg")
    found = diagnose(tmp_path / "gallery", against=(tmp_path / "held",))
    assert set(found) == {"exact-leaks", "folders-are-no-classes"}
    assert found["folders-are-no-classes"].severity == NOTE
    (tmp_path / "gallery" / "new").rename(tmp_path / "gallery" / "Cats")
    assert "classes-never-trained" in diagnose(tmp_path / "gallery", against=(tmp_path / "held",))


def test_classes_with_few_examples(tmp_path: Path, diagnose: Diagnose) -> None:
    root = class_folders(tmp_path / "set")
    for number in range(3):
        photo(root / "train" / "wombat" / f"{number}.jpg", 60 + number)
    found = diagnose(root)
    assert list(found) == ["few-examples"]
    assert found["few-examples"].title.endswith("to learn from: wombat (3)")


def test_uneven_classes(tmp_path: Path, diagnose: Diagnose) -> None:
    root = voc(tmp_path / "set")
    box = voc_xml(7, "dog", box_of(7)).partition("<object>")[2].removesuffix("</annotation>")
    boxes = "".join(
        "<object>" + box.replace("<ymax>50", f"<ymax>{20 + n % 40}").replace("<xmin>12", f"<xmin>{n // 40}")
        for n in range(240)
    )
    (root / "Annotations" / "7.xml").write_text(
        voc_xml(7, "dog", box_of(7)).replace("</annotation>", boxes + "</annotation>")
    )
    found = diagnose(root)
    assert found["uneven-classes"].severity == NOTE
    assert found["uneven-classes"].title == "the classes are uneven: dog has 250 examples, cat 10"


def test_a_name_that_the_list_of_classes_does_not_have(tmp_path: Path, diagnose: Diagnose) -> None:
    root = voc(tmp_path / "set")
    (root / "classes.txt").write_text("cat\ndog\n")
    assert diagnose(root) == {}
    (root / "Annotations" / "7.xml").write_text(voc_xml(7, "doggy", box_of(7)))
    found = diagnose(root)
    assert set(found) == {"unknown-class-names", "few-examples"}
    assert found["unknown-class-names"].title.endswith("not in its list of classes: 'doggy' (nearest: 'dog')")
    (root / "classes.txt").write_text("a list\nof something else\n")
    assert set(diagnose(root)) == {"few-examples"}


def test_ids_that_are_far_apart_are_no_work(tmp_path: Path, diagnose: Diagnose) -> None:
    content = changed(annotation(category_id=10**12))
    content["categories"].append({"id": 10**12, "name": "cow"})
    assert "3, 4, 5, 6, 7, 8 and 6 more" in diagnose(coco(tmp_path / "set", content))["class-id-gaps"].title
