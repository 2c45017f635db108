"""Labels with something wrong in them, as the command tells of it: before training, and all at once."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from limbeck.cli import main
from limbeck.detection import DETECTORS
from limbeck.detection.dataset import DetectionSet
from limbeck.errors import LimbeckError
from limbeck.training.log import read_metrics
from tests.checkup.sets import WIDTH, coco, coco_content, photo, voc, yolo
from tests.commands.told import parts, told

Change = Callable[[dict[str, Any]], object]

FAULTS: dict[str, tuple[str, Change]] = {
    "no extent": ("box without extent", lambda c: c["annotations"][3].update(bbox=[10, 10, 0, 5])),
    "turned round": ("box without extent", lambda c: c["annotations"][3].update(bbox=[10, 10, -5, 5])),
    "nan": ("box that cannot be read", lambda c: c["annotations"][4].update(bbox=[10, float("nan"), 5, 5])),
    "outside": ("box outside of the image", lambda c: c["annotations"][5].update(bbox=[10 * WIDTH, 10, 5, 5])),
    "class id": ("object of a class that is not listed", lambda c: c["annotations"][6].update(category_id=77)),
    "missing": ("image listed, but not there", lambda c: c["images"][7].update(file_name="none.jpg")),
    "image id": ("id used more than once", lambda c: c["images"].append(c["images"][8])),
    "annotation id": ("id used more than once", lambda c: c["annotations"][9].update(id=10)),
    "no image": ("annotations of 1 image id belong to no image", lambda c: c["annotations"][11].update(image_id=99)),
    "size": ("image of another size than the labels say", lambda c: c["images"][12].update(width=9, height=9)),
}


def words(source: Path, out: Path, *more: str) -> list[str]:
    line = ["train", "ssdlite", "--data", str(source), "--split", "", "--val", "none", "--out", str(out)]
    line += ["--detector", "toy", "--backbone", "", "--steps", "1", "--batch", "4", "--workers", "0"]
    return [*line, "--device", "cpu", "--track", "none", *more]


def harmed(root: Path, *changes: Change) -> Path:
    content = coco_content()
    for change in changes:
        change(content)
    return coco(root, content)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told_before_training_and_can_be_skipped(
    fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    title, change = FAULTS[fault]
    source, out = harmed(tmp_path / "set", change), tmp_path / "run"
    found, _, hint = parts(told(words(source, out), capsys))
    assert "1 fault that training would stumble over" in found
    assert title in found
    assert "--skip-bad" in hint
    assert f"limbeck doctor {source}" in hint
    assert not out.exists()
    main(words(source, out, "--skip-bad"))
    assert "left out: " in capsys.readouterr().out
    assert (out / "student" / "card.json").exists()


LACKING: dict[str, tuple[str, Change]] = {
    "class": ("annotation 3 of 3.jpg: no class 8,6,48,50", lambda c: c["annotations"][3].pop("category_id")),
    "image of an annotation": ("annotation 4 has no image_id", lambda c: c["annotations"][4].pop("image_id")),
    "image": ("image 5.jpg has no id", lambda c: c["images"][5].pop("id")),
    "empty id": ("image 5.jpg has no id", lambda c: c["images"][5].update(id=None)),
    "file name": ("image 6 has no file_name", lambda c: c["images"][6].pop("file_name")),
    "class name": ("category 2 has no name", lambda c: c["categories"][1].pop("name")),
}


@pytest.mark.parametrize("part", LACKING)
def test_a_part_that_is_lacking_is_told_as_it_is(part: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    what, change = LACKING[part]
    source = harmed(tmp_path / "set", change)
    found = parts(told(words(source, tmp_path / "run"), capsys))[0]
    assert "1 fault that training would stumble over\n  1 " in found
    assert what in found
    main(words(source, tmp_path / "run", "--skip-bad"))
    boxes = 20 if part == "class name" else 19
    assert f"{boxes} photos with {boxes} boxes of 2 classes" in capsys.readouterr().out  # without photos of nothing


def test_a_category_without_an_id(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = parts(
        told(words(harmed(tmp_path / "a", lambda c: c["categories"][1].pop("id")), tmp_path / "run"), capsys)
    )[0]
    assert "category dog has no id" in found
    odd = harmed(tmp_path / "b", lambda c: c["categories"][1].update(id="two"))
    assert "category dog has 'two' as its id" in parts(told(words(odd, tmp_path / "run"), capsys))[0]


def test_two_categories_of_one_name_are_said_to_be_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = harmed(tmp_path / "set", lambda c: c["categories"].append({"id": 7, "name": "dog"}))
    main(words(source, tmp_path / "run"))
    said = capsys.readouterr().out
    assert "20 photos with 20 boxes of 2 classes" in said
    assert f"{source}: 2 classes are called dog (ids 2 and 7): taken as one\n" in said


def test_all_faults_are_told_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = harmed(tmp_path / "set", *(change for _, change in FAULTS.values())), tmp_path / "run"
    (source / "images" / "13.jpg").write_text("no photo")
    said = told(words(source, out), capsys)
    for noun in ("without extent", "cannot be read", "outside", "not listed", "not there", "more than once"):
        assert noun in said
    for noun in ("belong to no image", "another size", "damaged"):
        assert noun in said
    assert "9 kinds of faults" in said
    main(words(source, out, "--skip-bad"))
    told_once = capsys.readouterr().out
    assert told_once.count("left out: ") == 1


def test_faults_of_what_is_measured_on_are_told_with_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = harmed(tmp_path / "one", FAULTS["no extent"][1])
    other = harmed(tmp_path / "two", FAULTS["outside"][1])
    line = words(source, tmp_path / "run")
    line[line.index("--val") + 1] = str(other)
    found, _, hint = parts(told(line, capsys))
    assert "box without extent" in found
    assert "of the photos to measure on: " in found
    assert "box outside of the image" in found
    assert "--skip-bad" in hint


def test_a_split_without_objects_or_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = coco(tmp_path / "set")
    labels = source / "annotations" / "instances.json"
    splits: dict[str, dict[str, Any]] = {
        "train": {},
        "val": {"annotations": []},
        "test": {"images": [], "annotations": []},
    }
    for name, changed in splits.items():
        (source / "annotations" / f"instances_{name}2017.json").write_text(json.dumps(coco_content() | changed))
    labels.unlink()
    line = words(source, tmp_path / "run")
    line[line.index("--split") + 1] = "val"
    assert "no object is left to learn from, or to find" in parts(told(line, capsys))[0]
    line[line.index("--split") + 1] = "test"
    found, expected, _ = parts(told(line, capsys))
    assert "no image is in the split 'test'" in found
    assert "one of train, val" in expected
    line[line.index("--split") + 1] = "train"
    del line[line.index("--val") : line.index("--val") + 2]
    found, _, hint = parts(told(line, capsys))
    assert "no object is left" in found
    assert "--val none" in hint
    assert not (tmp_path / "run").exists()


NOT_COCO = {
    "empty": ("", "not JSON: the file is empty"),
    "cut short": ('{"images": [{"id": 1,\n', "not JSON: line 2, column 1: the file ends in the middle"),
    "a comma": ('{"images": [],\n "annotations": [1,, 2], "categories": []}', "not JSON: line 2, column 20: "),
    "nothing": ("{}", "no 'images' and no 'annotations' and no 'categories'"),
    "a list": ("[1, 2]", "a list, where an object with images, annotations and categories is expected"),
    "no labels": ('{"images": [], "categories": []}', "no 'annotations'"),
    "no names": ('{"images": [], "annotations": [{"category_id": 1, "bbox": [1, 2, 3, 4]}]}', "no 'categories'"),
    "empty names": (
        '{"images": [], "annotations": [{"category_id": 1, "bbox": [1, 2, 3, 4]}], "categories": []}',
        "nothing in 'categories'",
    ),
    "captions": (
        '{"images": [], "annotations": [{"caption": "a"}], "categories": []}',
        "its annotations have no boxes",
    ),
    "results": ('[{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}]', "a result file (boxes with"),
}


@pytest.mark.parametrize("kind", NOT_COCO)
@pytest.mark.parametrize("named", [False, True])
def test_a_json_that_is_not_coco(kind: str, named: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, said = NOT_COCO[kind]
    photo(tmp_path / "set" / "1.jpg", 1)
    labels = tmp_path / "set" / "labels.json"
    labels.write_text(text)
    found, _, hint = parts(told(words(labels if named else labels.parent, tmp_path / "run"), capsys))
    assert f"{labels}: {said}" in found
    assert f"limbeck doctor {labels if named else labels.parent}" in hint


def test_one_of_two_json_files_is_broken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = coco(tmp_path / "set")
    labels = source / "annotations" / "instances.json"
    broken = source / "annotations" / "instances_train.json"
    broken.write_text(labels.read_text()[:900])
    line = words(source, tmp_path / "run")
    assert f"{broken}: not JSON: " in parts(told(line, capsys))[0]
    line[line.index("--split") + 1] = "train"
    labels.rename(labels.with_name("instances_val.json"))
    found, expected, _ = parts(told(line, capsys))
    assert "no image is in the split 'train'" in found
    assert f"{broken}: not JSON: " in found
    assert "one of val" in expected
    del line[line.index("--val") : line.index("--val") + 2]
    assert parts(told(line, capsys))[0].count("not JSON") == 1


def test_a_broken_json_beside_labels_in_another_format_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = voc(tmp_path / "set")
    (source / "labels.json").write_text("{")
    main(words(source, tmp_path / "run"))
    assert f"left aside: {source / 'labels.json'}: not JSON: " in capsys.readouterr().out


def test_one_of_two_sources_has_only_a_broken_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = coco(tmp_path / "one"), coco(tmp_path / "two")
    (two / "annotations" / "instances.json").write_text("{")
    line = words(one, tmp_path / "run")
    line.insert(line.index("--split"), str(two))
    assert f"{two}/annotations/instances.json: not JSON: " in parts(told(line, capsys))[0]


@pytest.mark.parametrize(("name", "text"), [("classes.txt", "cat\ndog\n"), ("data.yaml", "names: [cat, dog]\n")])
def test_yolo_without_names_of_classes(
    name: str, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = yolo(tmp_path / "set")
    (source / "data.yaml").unlink()
    found, _, _ = parts(told(words(source, tmp_path / "run"), capsys))
    assert "1 set of labels without names of classes (write one of the two files into the folder)" in found
    assert f"{source}: class ids 0 to 1, and no data.yaml with names: [...] nor classes.txt" in found
    assert "not listed" not in found
    (source / name).write_text(text)
    main(words(source, tmp_path / "run"))
    assert "20 photos with 20 boxes of 2 classes" in capsys.readouterr().out


def test_results_in_the_place_of_a_split_s_labels(tmp_path: Path) -> None:
    """The labels of the other split are whole: the file that is none is named all the same."""
    box = {"image_id": 1, "category_id": 1, "bbox": [1, 2, 30, 40]}
    labels = {"images": [{"id": 1, "file_name": "a.png"}], "annotations": [{"id": 1, **box}]}
    (tmp_path / "val").mkdir()
    (tmp_path / "train").mkdir()
    for split in ("train", "val"):
        Image.new("RGB", (64, 64)).save(tmp_path / split / "a.png")
    (tmp_path / "annotations").mkdir()
    whole = json.dumps(labels | {"categories": [{"id": 1, "name": "cat"}]})
    (tmp_path / "annotations" / "instances_val.json").write_text(whole)
    (tmp_path / "annotations" / "instances_train.json").write_text(json.dumps([{**box, "score": 0.5}]))
    with pytest.raises(LimbeckError, match="no image is in the split 'train'") as error:
        DetectionSet.open(tmp_path, split="train", shown=False)
    assert "instances_train.json: a result file (boxes with scores)" in str(error.value)


@pytest.mark.parametrize(
    ("split", "found", "hint"),
    [("vla", "no image is in the split 'vla'", "val in its place"), ("mine.txt", "no file that lists images", "json")],
)
def test_a_split_that_is_not_there(
    split: str, found: str, hint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = words(coco(tmp_path / "set"), tmp_path / "run")
    line[line.index("--split") + 1] = split
    told_found, _, told_hint = parts(told(line, capsys))
    assert found in told_found
    assert hint in told_hint


@pytest.mark.parametrize(
    ("words_of_it", "found", "hint"),
    [
        (
            ["--backbone", "resnet50_dv"],
            "--backbone resnet50_dv: unknown model 'resnet50_dv'",
            "--backbone resnet50_vd",
        ),
        (["--backbone", ""], "ssdlite without a backbone", "--backbone mobilenet_v3_large"),
        (["--detector", "ssd300_vgg16", "--backbone", "resnet18"], "which has a backbone of its own", "--backbone"),
    ],
)
def test_a_backbone_that_cannot_be_is_told_before_the_photos_are_read(
    words_of_it: list[str], found: str, hint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = words(tmp_path / "nowhere", tmp_path / "run", "--detector", "ssdlite", *words_of_it)
    told_found, _, told_hint = parts(told(line, capsys))
    assert found in told_found
    assert hint in told_hint


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy that knows cats and dogs."""
    root = tmp_path_factory.mktemp("learned")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(DETECTORS, "toy", "tests.detection.toy_detector:TOY")
        patch.setenv("LIMBECK_CACHE", str(root / "cache"))
        main(words(coco(root / "set"), root / "run"))
    return root / "run"


def renamed(content: dict[str, Any]) -> None:
    content["categories"][0]["name"] = "Cats"


def test_classes_that_a_checkpoint_does_not_know(
    learned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = harmed(tmp_path / "set", renamed)
    line = ["evaluate", str(learned), "--data", str(source), "--device", "cpu", "--workers", "0"]
    found, _, hint = parts(told(line, capsys))
    assert "1 class that the model does not know" in found
    assert "Cats (10 objects, first in " in found
    assert "instances.json), the nearest that it knows is cat" in found
    assert "--skip-bad" in hint
    main([*line, "--skip-bad"])
    assert "left out: 1 class that the model does not know" in capsys.readouterr().out
    main(words(source, tmp_path / "run", "--weights", str(learned)))
    assert f"{learned} does not know Cats; the nearest that it knows is cat" in capsys.readouterr().out


def lists(source: Path, train: range, val: range) -> Path:
    for name, numbers in (("train", train), ("val", val)):
        (source / "ImageSets" / "Main" / f"{name}.txt").write_text("".join(f"{number}\n" for number in numbers))
    return source


def measured(source: Path, run: Path, *more: str) -> list[str]:
    """The words of a training that learns from train, and is measured on val."""
    line = words(source, run, *more)
    line[line.index("--split") + 1] = "train"
    del line[line.index("--val") : line.index("--val") + 2]
    return line


def test_a_class_that_is_misspelt_where_it_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = lists(voc(tmp_path / "set"), range(12), range(12, 20))
    wrong = source / "Annotations" / "15.xml"
    wrong.write_text(wrong.read_text().replace("dog", "dgo"))
    found, _, hint = parts(told(measured(source, tmp_path / "run"), capsys))
    assert "1 class that the model does not know" in found
    assert f"dgo (1 object, first in {wrong}), the nearest that it knows is dog" in found
    assert "--skip-bad" in hint
    assert not (tmp_path / "run").exists()
    main(measured(source, tmp_path / "run", "--skip-bad"))
    assert "to measure on: left out: 1 class that the model does not know" in capsys.readouterr().out
    assert json.loads((tmp_path / "run" / "student" / "card.json").read_text())["classes"] == ["cat", "dog"]


def test_a_class_that_only_val_has_is_told_beside_the_faults_of_train(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = lists(voc(tmp_path / "set"), range(12), range(12, 20))
    strange, flat = source / "Annotations" / "15.xml", source / "Annotations" / "3.xml"
    strange.write_text(strange.read_text().replace("dog", "dgo"))
    flat.write_text(re.sub(r"<xm(in|ax)>\d+</", r"<xm\1>9</", flat.read_text()))
    of_train, of_val = parts(told(measured(source, tmp_path / "run"), capsys))[0].split("of the photos to measure on: ")
    assert "1 box without extent" in of_train
    assert "1 class that the model does not know" in of_val
    assert "dgo (1 object, first in" in of_val


def test_what_is_left_out_of_each_split_is_said_and_the_photos_are_listed_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = coco(tmp_path / "set")
    labels = source / "annotations" / "instances.json"
    content = coco_content()
    for place in (2, 15):
        content["annotations"][place].update(bbox=[10 * WIDTH, 10, 5, 5])
    for name, numbers in (("train", range(12)), ("val", range(12, 20))):
        part = {"images": content["images"], "annotations": content["annotations"]}
        part = {key: [row for row in rows if row["id"] in numbers] for key, rows in part.items()}
        labels.with_name(f"instances_{name}.json").write_text(json.dumps(content | part))
    labels.unlink()
    main(measured(source, tmp_path / "run", "--skip-bad"))
    said = capsys.readouterr().out
    assert "\nleft out: 1 box outside of the image\n" in said
    assert "\nto measure on: left out: 1 box outside of the image\n" in said
    assert said.count(f"{source / 'images'}: 20 images") == 1
    assert said.count(f"{source}: COCO: 2 json files") == 1


def test_a_class_of_the_list_that_is_only_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = coco(tmp_path / "set")
    labels = source / "annotations" / "instances.json"
    for name, keeps in (("train", lambda each: each["category_id"] == 1), ("val", lambda each: each["id"] < 5)):
        content = coco_content()
        content["annotations"] = list(filter(keeps, content["annotations"]))
        labels.with_name(f"instances_{name}.json").write_text(json.dumps(content))
    labels.unlink()
    main(measured(source, tmp_path / "run"))
    assert "measured, and never learned from: dog (2 objects)\n" in capsys.readouterr().out


def test_classes_of_another_model_are_its_own_in_its_order(learned: Path, tmp_path: Path) -> None:
    def swapped(content: dict[str, Any]) -> None:
        content["categories"].reverse()
        for each in content["categories"]:
            each["id"] = 3 - each["id"]
        for each in content["annotations"]:
            each["category_id"] = 3 - each["category_id"]

    main(words(harmed(tmp_path / "set", swapped), tmp_path / "run", "--weights", str(learned)))
    cards = [json.loads((run / "student" / "card.json").read_text()) for run in (learned, tmp_path / "run")]
    assert cards[0]["classes"] == cards[1]["classes"]
    assert cards[1]["ids"] == cards[0]["ids"][::-1]


def test_batches_without_any_object(tmp_path: Path) -> None:
    """One photo of twenty has an object: of five batches four have none."""
    source = harmed(tmp_path / "set", lambda content: content.update(annotations=content["annotations"][:1]))
    line = words(source, tmp_path / "run", "--empty", "--log-every", "1")
    line[line.index("--steps") + 1] = "5"
    main(line)
    losses = [record["loss"] for record in read_metrics(tmp_path / "run") if "loss" in record]
    assert len(losses) == 5
    assert all(loss is not None and 0 <= loss < 1000 for loss in losses)


def test_the_users_own_lists(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = shutil.make_archive(str(tmp_path / "set"), "zip", voc(tmp_path / "voc"))
    for name, numbers in (("mine", range(12)), ("theirs", range(12, 20))):
        (tmp_path / f"{name}.txt").write_text("".join(f"{number}\n" for number in numbers))
    line = words(Path(source), tmp_path / "run", "--val-split", str(tmp_path / "theirs.txt"))
    line[line.index("--split") + 1] = str(tmp_path / "mine.txt")
    line[line.index("none")] = ""
    main(line)
    assert "12 photos with 12 boxes of 2 classes, 8 photos to measure on" in capsys.readouterr().out
    del line[line.index("--val-split") : line.index("--val-split") + 2]
    line[line.index("--out") + 1] = str(tmp_path / "other")
    found, _, hint = parts(told(line, capsys))
    assert "nothing that says what to measure on" in found
    assert "--val-split LIST" in hint
