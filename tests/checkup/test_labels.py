"""Labels and images held against each other."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from limbeck.checkup.findings import ERROR, NOTE, WARNING
from limbeck.errors import ImagesError
from tests.checkup.conftest import Diagnose
from tests.checkup.sets import (
    SETS,
    box_of,
    class_folders,
    coco,
    coco_content,
    csv,
    masks,
    photo,
    pixels,
    voc,
    voc_xml,
    yolo,
)


@pytest.mark.parametrize("kind", ["CSV", "COCO", "Pascal VOC", "YOLO"])
def test_a_missing_image(kind: str, tmp_path: Path, diagnose: Diagnose) -> None:
    root = SETS[kind](tmp_path / "set")
    next(root.rglob("7.jpg")).unlink()
    finding = diagnose(root)["missing-images"]
    assert (finding.severity, finding.count) == (ERROR, 1)
    assert "7.jpg is not there" in finding.places[0].what


@pytest.mark.parametrize("kind", ["CSV", "COCO", "Pascal VOC", "YOLO", "masks"])
def test_an_image_without_a_label(kind: str, tmp_path: Path, diagnose: Diagnose) -> None:
    root = SETS[kind](tmp_path / "set")
    photo(next(root.rglob("7.jpg")).parent / "more.jpg", 60)
    found = diagnose(root)
    assert list(found) == ["images-without-labels"]
    assert (found["images-without-labels"].severity, found["images-without-labels"].count) == (WARNING, 1)
    assert found["images-without-labels"].places[0].where.endswith("/more.jpg")


def test_an_image_beside_class_folders(tmp_path: Path, diagnose: Diagnose) -> None:
    root = SETS["class folders"](tmp_path / "set")
    photo(root / "train" / "more.jpg", 60)
    assert list(diagnose(root)) == ["images-without-labels"]


def test_an_empty_label_is_a_note(tmp_path: Path, diagnose: Diagnose) -> None:
    root = yolo(tmp_path / "set")
    (root / "labels" / "train" / "7.txt").write_text("")
    (root / "labels" / "train" / "8.txt").write_text("\n")
    found = diagnose(root)
    assert found["images-without-objects"].severity == NOTE
    assert found["images-without-objects"].count == 2


@pytest.mark.parametrize(
    ("kind", "name", "text"),
    [("COCO", "instances.json", "{"), ("Pascal VOC", "7.xml", "<annotation>"), ("YOLO", "data.yaml", "names: [")],
)
def test_a_label_file_that_cannot_be_read(kind: str, name: str, text: str, tmp_path: Path, diagnose: Diagnose) -> None:
    root = SETS[kind](tmp_path / "set")
    path = next(root.rglob(name))
    path.write_text(text) if kind != "COCO" else (path.parent / "other.json").write_text(text)
    finding = diagnose(root)["unreadable-labels"]
    assert (finding.severity, finding.count) == (ERROR, 1)


@pytest.mark.parametrize(
    ("text", "check", "severity", "what"),
    [
        ('{"images": [', "unreadable-labels", ERROR, "not JSON: line 1, column 13: the file ends in the middle"),
        ('{"images": []}', "not-coco", ERROR, "no 'annotations' and no 'categories'"),
        ('[{"image_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}]', "not-coco", ERROR, "a result file"),
        ('{"made": "by hand"}', "other-json", NOTE, "no 'images' and no 'annotations'"),
    ],
)
def test_a_json_beside_photos_without_labels(
    text: str, check: str, severity: str, what: str, tmp_path: Path, diagnose: Diagnose
) -> None:
    photo(tmp_path / "set" / "1.jpg", 1)
    (tmp_path / "set" / "labels.json").write_text(text)
    finding = diagnose(tmp_path / "set")[check]
    assert (finding.severity, finding.count) == (severity, 1)
    assert finding.places[0].where.endswith("set/labels.json")
    assert finding.places[0].what.startswith(what)


def test_a_json_of_something_else_beside_labels(tmp_path: Path, diagnose: Diagnose) -> None:
    """Nothing is wrong with captions or lists of images beside boxes, nor a list of names beside class folders."""
    root = coco(tmp_path / "coco")
    (root / "annotations" / "captions.json").write_text(
        '{"images": [], "annotations": [{"caption": "a"}], "categories": []}'
    )
    (root / "annotations" / "image_info.json").write_text('{"images": [], "categories": []}')
    assert not diagnose(root)
    root = class_folders(tmp_path / "folders")
    (root / "names.json").write_text('{"0": "cat"}')
    assert "other-json" not in diagnose(root)
    root = voc(tmp_path / "voc")
    (root / "results.json").write_text('[{"image_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}]')
    assert diagnose(root)["not-coco"].severity == WARNING


def test_boxes_of_one_file_that_lacks_its_images(tmp_path: Path, diagnose: Diagnose) -> None:
    root = coco(tmp_path / "set")
    lacking = {name: part for name, part in coco_content().items() if name != "images"}
    (root / "annotations" / "instances_val.json").write_text(json.dumps(lacking))
    finding = diagnose(root)["not-coco"]
    assert (finding.severity, finding.places[0].what) == (ERROR, "no 'images'")


def test_entities_of_an_xml_are_not_expanded(tmp_path: Path, diagnose: Diagnose) -> None:
    root = voc(tmp_path / "set")
    (root / "Annotations" / "7.xml").write_text('<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>')
    assert "entities" in diagnose(root)["unreadable-labels"].places[0].what


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(json.dumps(coco_content()))
    change(content)
    return content


@pytest.mark.parametrize(
    ("check", "change"),
    [
        ("lost-annotations", lambda content: content["annotations"][3].update(image_id=99)),
        ("repeated-ids", lambda content: content["annotations"][3].update(id=4)),
        ("repeated-ids", lambda content: content["categories"].append({"id": 2, "name": "cow"})),
        ("other-sizes", lambda content: content["images"][3].update(width=800)),
        ("spelt-otherwise", lambda content: content["images"][3].update(file_name="3.JPG")),
        ("spelt-otherwise", lambda content: content["images"][3].update(file_name="3.png")),
    ],
)
def test_a_json_that_is_wrong(
    check: str, change: Callable[[dict[str, Any]], object], tmp_path: Path, diagnose: Diagnose
) -> None:
    found = diagnose(coco(tmp_path / "set", changed(change)))
    assert found[check].count == 1
    assert set(found) <= {check, "images-without-objects", "few-examples"}


@pytest.mark.parametrize(
    ("check", "severity", "what", "change"),
    [
        ("lacking-parts", ERROR, "image 3.jpg has no id", lambda c: c["images"][3].pop("id")),
        ("lacking-parts", ERROR, "image 3 has no file_name", lambda c: c["images"][3].pop("file_name")),
        ("lacking-parts", ERROR, "annotation 3 has no image_id", lambda c: c["annotations"][3].pop("image_id")),
        ("lacking-parts", ERROR, "category 2 has no name", lambda c: c["categories"][1].pop("name")),
        (
            "objects-without-class",
            ERROR,
            "annotation 3 of 3.jpg has no class",
            lambda c: c["annotations"][3].pop("category_id"),
        ),
        ("unnumbered-annotations", WARNING, "annotation 3, counted from 0", lambda c: c["annotations"][3].pop("id")),
    ],
)
def test_a_json_that_lacks_something(
    check: str,
    severity: str,
    what: str,
    change: Callable[[dict[str, Any]], object],
    tmp_path: Path,
    diagnose: Diagnose,
) -> None:
    found = diagnose(coco(tmp_path / "set", changed(change)))
    assert (found[check].severity, found[check].count, found[check].places[0].what) == (severity, 1, what)
    assert set(found) <= {check, "images-without-labels", "images-without-objects", "few-examples"}


def test_two_json_files_with_other_classes(tmp_path: Path, diagnose: Diagnose) -> None:
    root = coco(tmp_path / "set")
    other = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}]}
    (root / "annotations" / "val.json").write_text(json.dumps(other))
    assert diagnose(root)["class-lists-differ"].count == 2


def test_an_xml_of_another_image(tmp_path: Path, diagnose: Diagnose) -> None:
    root = voc(tmp_path / "set")
    (root / "Annotations" / "7.xml").write_text(voc_xml(8, "dog", box_of(7)))
    found = diagnose(root)
    assert list(found) == ["other-name-inside"]
    assert found["other-name-inside"].places[0].what == "it says 8.jpg"


def test_lists_that_lead_nowhere(tmp_path: Path, diagnose: Diagnose) -> None:
    root = voc(tmp_path / "voc")
    (root / "ImageSets" / "Main" / "val.txt").write_text("99\n")
    assert list(diagnose(root)) == ["lost-list-entries"]
    root = yolo(tmp_path / "yolo")
    with open(root / "data.yaml", "a") as file:
        file.write("val: images/val\n")
    assert diagnose(root)["lost-list-entries"].places[0].what == "val: images/val is not there"


def test_a_count_that_is_not_that_of_the_names(tmp_path: Path, diagnose: Diagnose) -> None:
    root = yolo(tmp_path / "set")
    (root / "data.yaml").write_text("train: images/train\nnc: 3\nnames: [cat, dog]\n")
    assert list(diagnose(root)) == ["class-count-differs"]


def test_ids_of_which_nothing_says_what_they_mean(tmp_path: Path, diagnose: Diagnose) -> None:
    root = yolo(tmp_path / "set")
    (root / "data.yaml").unlink()
    finding = diagnose(root)["no-class-list"]
    assert (finding.severity, finding.count) == (ERROR, 1)
    assert finding.places[0].what.startswith("class ids 0 to 1, and no data.yaml")


@pytest.mark.parametrize(
    ("check", "line"),
    [
        ("several-labels", "photos/3.jpg,cat"),
        ("repeated-rows", "photos/3.jpg,dog"),
        ("short-rows", "photos/30.jpg"),
    ],
)
def test_rows_of_a_csv(check: str, line: str, tmp_path: Path, diagnose: Diagnose) -> None:
    root = csv(tmp_path / "set")
    photo(root / "photos" / "30.jpg", 60) if "30" in line else None
    with open(root / "labels.csv", "a") as file:
        file.write(f"{line}\n")
    found = diagnose(root)
    assert found[check].count == 1
    assert set(found) <= {check, "images-without-labels"}


def test_two_formats_that_disagree(tmp_path: Path, diagnose: Diagnose) -> None:
    root = voc(tmp_path / "set")
    content = changed(lambda content: content["annotations"].pop())
    (root / "instances.json").write_text(json.dumps(content))
    finding = diagnose(root)["formats-disagree"]
    assert finding.title == "COCO counts 19 objects, Pascal VOC 20 on the same images"
    assert finding.places[0].what == "0 objects in COCO, 1 in Pascal VOC"


def test_a_mask_without_a_photo(tmp_path: Path, diagnose: Diagnose) -> None:
    root = masks(tmp_path / "set")
    (root / "images" / "7.jpg").unlink()
    found = diagnose(root)
    assert list(found) == ["missing-images"]
    assert found["missing-images"].places[0].where.endswith("labels/7.png")


def test_a_label_of_an_image_that_cannot_be_read_is_not_missing(tmp_path: Path, diagnose: Diagnose) -> None:
    root = coco(tmp_path / "set")
    (root / "images" / "7.jpg").write_bytes(b"")
    assert list(diagnose(root)) == ["empty-files"]


def test_photos_of_other_sizes_are_measured_by_their_own(tmp_path: Path, diagnose: Diagnose) -> None:
    root = voc(tmp_path / "set")
    pixels(7, (100, 90)).save(root / "JPEGImages" / "7.jpg")
    assert diagnose(root)["other-sizes"].severity == ERROR


def test_labels_of_the_stored_pixels_of_a_turned_photo(tmp_path: Path, diagnose: Diagnose) -> None:
    root = voc(tmp_path / "set")
    exif = Image.Exif()
    exif[274] = 6
    pixels(7).save(root / "JPEGImages" / "7.jpg", exif=exif)
    assert diagnose(root)["other-sizes"].places[0].what.endswith("80x64, the file is 64x80 (turned by EXIF)")


def test_of_a_label_file_that_was_named_the_other_images_are_a_note(tmp_path: Path, diagnose: Diagnose) -> None:
    root = csv(tmp_path / "set")
    photo(root / "photos" / "more.jpg", 60)
    found = diagnose(root / "labels.csv")
    assert found["images-without-labels"].severity == NOTE


def test_the_folder_of_labels_alone_is_told(tmp_path: Path, diagnose: Diagnose) -> None:
    root = voc(tmp_path / "set")
    with pytest.raises(ImagesError) as told:
        diagnose(root / "Annotations")
    assert told.value.hint == f"limbeck doctor {root}"
