"""Photos with boxes from every format; what is wrong with them is told in one error, before training."""

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from limbeck.detection.batch import Targets
from limbeck.detection.dataset import DetectionSet
from limbeck.detection.stored import read_set, write_set
from limbeck.detection.voc_metric import VocMetric
from limbeck.errors import LimbeckError, UnknownName
from limbeck.records import Detections
from tests.checkup.sets import HEIGHT, SETS, WIDTH, box_of, coco, coco_content, photo, voc, voc_xml, yolo, zipped

Change = Callable[[dict[str, Any]], object]


def opened(source: Path | list[Path], **options: Any) -> DetectionSet:
    return DetectionSet.open(source, workers=0, shown=False, **options)


def changed(root: Path, *changes: Change) -> Path:
    content = coco_content()
    for change in changes:
        change(content)
    return coco(root, content)


def told(source: Path | list[Path], **options: Any) -> str:
    with pytest.raises(LimbeckError) as error:
        opened(source, **options)
    return str(error.value)


def annotation(place: int, **fields: Any) -> Change:
    return lambda content: content["annotations"][place].update(fields)


@pytest.mark.parametrize("format", ["CSV", "COCO", "Pascal VOC", "YOLO"])
@pytest.mark.parametrize("packed", [False, True])
def test_the_same_boxes_from_every_format(format: str, packed: bool, tmp_path: Path) -> None:
    root = SETS[format](tmp_path / "set")
    if format == "CSV":
        rows = [f"photos/{n}.jpg,{('cat', 'dog')[n % 2]},{','.join(map(str, box_of(n)))}" for n in range(20)]
        (root / "labels.csv").write_text("file_name,class,xmin,ymin,xmax,ymax\n" + "\n".join(rows) + "\n")
    photos = opened(zipped(root) if packed else root)
    assert len(photos) == 20
    assert photos.classes == ("cat", "dog")
    assert photos.ids == {"COCO": (1, 2)}.get(format, (0, 1))
    for index in range(20):
        number = int(Path(photos.images.path(index)).stem)
        target = photos.target(index)
        left, top, right, bottom = box_of(number)
        corner = 1 if format == "Pascal VOC" else 0  # its corners count from 1
        expected = torch.tensor([[left - corner, top - corner, right, bottom]], dtype=torch.float32)
        torch.testing.assert_close(target.boxes, expected, atol=1e-4, rtol=0)
        assert target.boxes.dtype == torch.float32
        assert target.labels.tolist() == [number % 2]
        assert target.crowd is not None
        assert not target.crowd.any()


@pytest.mark.shared
def test_real_photos_straight_from_the_archive(shared: Path) -> None:
    archive = shared / "data" / "bccd.zip"
    counts = {}
    for split in ("train", "val", "test"):
        photos = opened(archive, split=split)
        counts[split] = len(photos), len(photos.columns.boxes)
        assert photos.classes == ("RBC", "WBC", "Platelets")
        assert photos.ids == (1, 2, 3)
    assert counts == {"train": (205, 2804), "val": (87, 1137), "test": (72, 945)}
    everything = opened(archive)
    assert (len(everything), everything.columns.boxes.shape) == (364, (4886, 4))
    assert f"{archive}: its Pascal VOC labels are left aside; --format voc reads them" in everything.notes


@pytest.mark.shared
def test_the_two_odd_boxes_of_the_real_photos(shared: Path) -> None:
    archive = shared / "data" / "bccd.zip"
    message = told(archive, format="Pascal VOC")
    assert "2 boxes without extent" in message
    assert "BloodImage_00338.xml" in message
    assert "BloodImage_00343.xml" in message
    assert "--skip-bad" in message
    assert f"limbeck doctor {archive}" in message
    assert "1 box without extent" in told(archive, format="Pascal VOC", split="val")
    assert len(opened(archive, format="Pascal VOC", split="test")) == 72
    photos = opened(archive, format="Pascal VOC", skip_bad=True)
    assert (len(photos), len(photos.columns.boxes)) == (364, 4886)
    assert "left out: 2 boxes without extent" in photos.notes
    sides = photos.columns.boxes[:, 2:] - photos.columns.boxes[:, :2]
    assert sides.min() > 0


def test_ids_with_gaps_become_labels_without(tmp_path: Path) -> None:
    def gaps(content: dict[str, Any]) -> None:
        content["categories"] = [{"id": 90, "name": "dog"}, {"id": 3, "name": "cat"}, {"id": 40, "name": "cow"}]
        for each in content["annotations"]:
            each["category_id"] = {1: 3, 2: 90}[each["category_id"]]

    photos = opened(changed(tmp_path / "set", gaps))
    assert photos.classes == ("cat", "cow", "dog")
    assert photos.ids == (3, 40, 90)
    numbers = [int(Path(photos.images.path(index)).stem) for index in range(20)]
    assert [photos.target(index).labels.tolist() for index in range(20)] == [[n % 2 * 2] for n in numbers]
    assert photos.numbers == tuple(numbers)


def test_crowds_areas_and_an_image_without_objects(tmp_path: Path) -> None:
    root = changed(tmp_path / "set", annotation(3, iscrowd=1, area=77.5), lambda content: content["annotations"].pop(5))
    photos = opened(root)
    index = photos.numbers.index(3)
    target = photos.target(index)
    assert target.crowd is not None
    assert target.area is not None
    assert (target.crowd.tolist(), target.area.tolist()) == ([True], [77.5])
    empty = photos.target(photos.numbers.index(5))
    assert (empty.boxes.shape, empty.labels.shape) == ((0, 4), (0,))
    assert len(photos.filled()) == 19
    assert 5 not in photos.filled().numbers
    with pytest.raises(IndexError):
        photos.filled(least=HEIGHT + 1).target(0)


def test_an_image_without_a_label_file(tmp_path: Path) -> None:
    root = yolo(tmp_path / "yolo")
    (root / "labels" / "train" / "4.txt").unlink()
    photos = opened(root)
    assert len(photos) == 20
    assert len(photos.columns.boxes) == 19
    assert any("1 image without a label file: taken to show nothing" in note for note in photos.notes)
    root = voc(tmp_path / "voc")
    (root / "Annotations" / "4.xml").unlink()
    photos = opened(root)
    assert len(photos) == 19
    assert "1 image without labels: not used" in photos.notes


def test_a_split_by_list_by_folder_and_by_the_name_of_the_json(tmp_path: Path) -> None:
    root = voc(tmp_path / "voc")
    lists = root / "ImageSets" / "Main"
    (lists / "train.txt").write_text("".join(f"{n}\n" for n in range(15)))
    (lists / "val.txt").write_text("".join(f"{n}\n" for n in range(15, 20)))
    assert (len(opened(root, split="train")), len(opened(root, split="val")), len(opened(root))) == (15, 5, 20)
    assert len(opened(root, split="train+val")) == 20
    message = told(root, split="test")
    assert "no image is in the split 'test'" in message
    assert "one of train, val" in message
    assert len(opened(yolo(tmp_path / "yolo"), split="train")) == 20
    root = coco(tmp_path / "coco")
    (root / "annotations" / "instances.json").rename(root / "annotations" / "instances_val2017.json")
    assert len(opened(root, split="val")) == 20


def listed(photos: DetectionSet) -> set[int]:
    return {int(Path(photos.images.path(index)).stem) for index in range(len(photos))}


@pytest.mark.parametrize(
    ("name", "text", "numbers"),
    [
        ("few.txt", "3\n5\n\n", {3, 5}),
        ("few.txt", "3.jpg\nelsewhere/7.jpg\n", {3, 7}),
        ("cat_train.txt", "3  1\n4 -1\n5  0\n", {3, 5}),
        ("few.json", '["3.jpg", "5"]', {3, 5}),
        ("few.json", '{"images": [{"id": 1, "file_name": "9.jpg"}]}', {9}),
    ],
)
@pytest.mark.parametrize("format", ["COCO", "Pascal VOC", "YOLO"])
def test_a_split_by_a_list_of_the_users(format: str, name: str, text: str, numbers: set[int], tmp_path: Path) -> None:
    root = SETS[format](tmp_path / "set")
    file = tmp_path / name
    file.write_text(text)
    assert listed(opened(zipped(root), split=str(file))) == numbers


def test_lists_that_do_not_fit(tmp_path: Path) -> None:
    root = coco(tmp_path / "set")
    file = tmp_path / "few.txt"
    file.write_text("3.jpg\nnone.jpg\n")
    message = told(root, split=str(file))
    assert "1 entry of the lists of splits leading nowhere" in message
    assert f"{file}, none.jpg" in message
    assert listed(opened(root, split=str(file), skip_bad=True)) == {3}
    file.write_text("none.jpg\n")
    assert "lists none of the images" in told(root, split=str(file), skip_bad=True)
    (tmp_path / "few.json").write_text("{")
    assert "few.json cannot be read" in told(root, split=str(tmp_path / "few.json"))


def test_what_voc_calls_difficult_is_not_learned_from(tmp_path: Path) -> None:
    root = voc(tmp_path / "set")
    file = root / "Annotations" / "3.xml"
    file.write_text(file.read_text().replace("<bndbox>", "<difficult>1</difficult><bndbox>"))
    photos = opened(root)
    target = photos.target([int(Path(photos.images.path(index)).stem) for index in range(20)].index(3))
    assert target.crowd is not None
    assert target.crowd.tolist() == [True]
    assert Targets.of([target]).there.shape == (1, 0)
    metric = VocMetric(photos.classes)
    metric.add(3, Detections(target.boxes, torch.ones(1), target.labels), target)
    assert metric.per_class()[1].truth == 0
    assert int(photos.columns.crowd.sum()) == 1


@pytest.mark.parametrize("format", ["COCO", "Pascal VOC", "YOLO"])
def test_straight_from_a_tar(format: str, tmp_path: Path) -> None:
    root = SETS[format](tmp_path / "set")
    for kind, suffix in (("w", ".tar"), ("w:gz", ".tar.gz")):
        with tarfile.open(tmp_path / f"set{suffix}", kind) as packed:  # type: ignore[call-overload]
            packed.add(root, "set")
        assert opened(tmp_path / f"set{suffix}").fingerprint() == opened(root).fingerprint()


def test_a_split_that_nothing_tells_is_drawn_by_the_images(tmp_path: Path) -> None:
    root = tmp_path / "set"
    content = coco_content()
    content["images"] = [{"id": n, "file_name": f"{n}.jpg"} for n in range(80)]
    content["annotations"] = [{**content["annotations"][n % 20], "id": n, "image_id": n} for n in range(80)]
    coco(root, content)
    for number in range(20, 80):
        photo(root / "images" / f"{number}.jpg", number)
    parts = {split: opened(root, split=split) for split in ("train", "val", "test")}
    names = {split: {part.images.path(index) for index in range(len(part))} for split, part in parts.items()}
    assert sum(map(len, names.values())) == len(set().union(*names.values())) == 80
    assert len(names["train"]) > 50
    assert any("80 % train" in note for note in parts["val"].notes)
    again = opened(zipped(root), split="val")
    assert {path.rpartition("/")[2] for path in names["val"]} == {
        again.images.path(index).rpartition("/")[2] for index in range(len(again))
    }


@pytest.mark.parametrize(
    ("words", "change"),
    [
        ("1 box without extent", annotation(3, bbox=[10, 10, 0, 5])),
        ("1 box without extent", annotation(3, bbox=[10, 10, 5, -5])),
        ("1 box that cannot be read", annotation(3, bbox=[10, 10, float("nan"), 5])),
        ("1 box that cannot be read", annotation(3, bbox=[10, 10, "wide", 5])),
        ("1 box that cannot be read", annotation(3, bbox=[10, 10, 5])),
        ("1 box outside of the image", annotation(3, bbox=[200, 10, 5, 5])),
        ("1 box outside of the image", annotation(3, bbox=[WIDTH - 1e-9, 10, 5, 5])),
        ("1 object of a class that is not listed", annotation(3, category_id=9)),
        ("1 image listed, but not there", lambda content: content["images"][3].update(file_name="none.jpg")),
        ("1 image listed more than once", lambda content: content["images"][3].update(file_name="4.jpg")),
        ("1 id used more than once", lambda content: content["images"].append(content["images"][3])),
        ("1 id used more than once", annotation(3, id=4)),
        ("annotations of 1 image id belong to no image", annotation(3, image_id=99)),
        ("1 image of another size than the labels say", lambda content: content["images"][3].update(width=90)),
    ],
)
def test_what_is_wrong_with_a_json(words: str, change: Change, tmp_path: Path) -> None:
    root = changed(tmp_path / "set", change)
    message = told(root)
    assert words in message
    assert "1 fault that training would stumble over" in message
    photos = opened(root, skip_bad=True)
    assert len(photos) >= 19
    assert any(f"left out: {words}" in note for note in photos.notes)
    boxes = photos.columns.boxes
    assert np.isfinite(boxes).all()
    assert (boxes[:, :2] < boxes[:, 2:]).all()


def test_everything_that_is_wrong_is_told_together(tmp_path: Path) -> None:
    def much(content: dict[str, Any]) -> None:
        for place in range(5):
            content["annotations"][place]["bbox"] = [10, 10, 0, 5]
        content["annotations"][6]["category_id"] = 9
        content["images"][8]["file_name"] = "none.jpg"

    message = told(changed(tmp_path / "set", much))
    assert "3 kinds of faults" in message
    assert "5 boxes without extent" in message
    assert message.count("instances.json, annotation") == 4
    assert "and 2 more" in message
    assert "none.jpg" in message
    assert "class 9" in message
    assert len(opened(tmp_path / "set", skip_bad=True)) == 19


def test_an_unreadable_image_is_one_of_the_faults(tmp_path: Path) -> None:
    root = voc(tmp_path / "set")
    (root / "JPEGImages" / "3.jpg").write_bytes(b"no photo any more")
    message = told(root)
    assert "1 image damaged" in message
    assert "JPEGImages/3.jpg: not an image" in message
    assert len(opened(root, skip_bad=True)) == 19


def test_a_photo_turned_by_exif(tmp_path: Path) -> None:
    root = voc(tmp_path / "set")
    path = root / "JPEGImages" / "3.jpg"
    with Image.open(path) as image:
        exif = image.getexif()
        exif[0x0112] = 6
        image.save(path, exif=exif)
    assert f"{WIDTH}x{HEIGHT} in the labels, the file is {HEIGHT}x{WIDTH}" in told(root)


def test_a_folder_without_labels(tmp_path: Path) -> None:
    photo(tmp_path / "1.jpg", 1)
    assert "1 image, no labels with boxes" in told(tmp_path)
    (tmp_path / "about.json").write_text("{}")
    message = told(tmp_path)
    assert "1 image, no labels with boxes" in message
    assert f"{tmp_path}/about.json: no 'images' and no 'annotations'" in message


def test_a_folder_of_classes_has_no_boxes(tmp_path: Path) -> None:
    assert "no labels with boxes" in told(SETS["class folders"](tmp_path / "set"))


def test_boxes_in_other_units(tmp_path: Path) -> None:
    def shares(content: dict[str, Any]) -> None:
        for each in content["annotations"]:
            each["bbox"] = [0.1, 0.1, 0.5, 0.5]

    message = told(changed(tmp_path / "set", shares))
    assert "boxes in shares of the image, where pixels are expected" in message


def test_names_that_the_checkpoint_does_not_know(tmp_path: Path) -> None:
    root = coco(tmp_path / "set")
    message = told(root, classes=["Cat", "dog", "cow"])
    assert "1 class that the model does not know" in message
    assert "cat (10 objects, first in " in message
    assert "instances.json), the nearest that it knows is Cat" in message
    photos = opened(root, classes=["Cat", "dog", "cow"], skip_bad=True)
    assert (photos.classes, photos.ids) == (("Cat", "dog", "cow"), (-1, 2, -1))
    assert set(photos.columns.labels.tolist()) == {1}
    assert opened(root, classes=["dog", "cat"]).target(0).labels.tolist() == [1]


def test_nothing_left_is_an_error_with_or_without_skipping(tmp_path: Path) -> None:
    root = changed(tmp_path / "set", *(annotation(place, bbox=[0, 0, 0, 0]) for place in range(20)))
    for skip_bad in (False, True):
        message = told(root, skip_bad=skip_bad)
        assert "no object is left" in message
        assert "20 boxes without extent" in message


def test_boxes_over_the_edge_are_cut(tmp_path: Path) -> None:
    photos = opened(changed(tmp_path / "set", annotation(3, bbox=[-5, 10, 200, 20])))
    assert photos.target(photos.numbers.index(3)).boxes.tolist() == [[0, 10, WIDTH, 30]]
    assert "1 box cut at the edge of the image" in photos.notes


def test_two_sources_and_labels_apart_from_their_images(tmp_path: Path) -> None:
    one, two = coco(tmp_path / "one"), voc(tmp_path / "two")
    for number in range(20):
        path = photo(two / "JPEGImages" / f"{number}.jpg", 50 + number)
        path.rename(path.with_name(f"b{number}.jpg"))
        (two / "Annotations" / f"{number}.xml").unlink()
        (two / "Annotations" / f"b{number}.xml").write_text(voc_xml(number, "hen", box_of(number)))
    (two / "ImageSets" / "Main" / "train.txt").unlink()
    for number in range(20):
        (two / "Annotations" / f"b{number}.xml").write_text(
            voc_xml(number, "hen", box_of(number)).replace(f"{number}.jpg", f"b{number}.jpg")
        )
    both = opened([one, two])
    assert (len(both), both.classes) == (40, ("cat", "dog", "hen"))
    with_pattern = opened([one, Path(f"{two}/JPEGImages/*.jpg")], skip_bad=True)
    assert (len(with_pattern), with_pattern.fingerprint()) == (20, opened(one).fingerprint())
    labels = tmp_path / "labels"
    labels.mkdir()
    (one / "annotations" / "instances.json").rename(labels / "all.json")
    assert len(opened([labels / "all.json", one])) == 20


def test_an_unknown_format(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="coco, csv, voc, yolo"):
        opened(coco(tmp_path / "set"), format="xml")
    assert len(opened(tmp_path / "set", format="coco")) == 20
    assert "no labels as YOLO" in told(coco(tmp_path / "two"), format="YOLO")


def test_a_set_is_held_in_columns_and_known_by_its_content(tmp_path: Path) -> None:
    photos = opened(coco(tmp_path / "set"))
    held = [each for each in vars(photos.columns).values() if each is not None]
    assert all(isinstance(each, np.ndarray) for each in held)
    other = opened(changed(tmp_path / "other", annotation(3, bbox=[1, 1, 9, 9])))
    assert photos.fingerprint() == opened(zipped(tmp_path / "set")).fingerprint() != other.fingerprint()
    part = photos.take([4, 2])
    assert part.numbers == (photos.numbers[4], photos.numbers[2])
    assert torch.equal(part.target(1).boxes, photos.target(2).boxes)


def test_images_that_several_files_number_alike(tmp_path: Path) -> None:
    root = coco(tmp_path / "set")
    content = coco_content()
    for each in content["images"]:
        each["file_name"] = f"more/{each['file_name']}"
        photo(root / "images" / each["file_name"], 100 + each["id"])
    for each in content["annotations"]:
        each["bbox"] = [1, 2, 10, 10]
    (root / "annotations" / "more.json").write_text(json.dumps(content))
    photos = opened(root)
    assert photos.numbers == tuple(range(40))


def test_a_set_as_files_of_a_run(tmp_path: Path) -> None:
    root = changed(tmp_path / "set", annotation(3, iscrowd=1, area=77.5))
    photos = opened(root).take([4, 3, 19])
    write_set(photos, tmp_path, "kept")
    (root / "annotations" / "instances.json").unlink()
    (root / "images" / "4.jpg").unlink()
    again = read_set(tmp_path, "kept")
    assert again is not None
    assert again.fingerprint() == photos.fingerprint()
    assert (again.classes, again.ids, again.numbers) == (photos.classes, photos.ids, photos.numbers)
    for index in range(3):
        ours, theirs = again.target(index), photos.target(index)
        assert torch.equal(ours.boxes, theirs.boxes)
        assert ours.crowd is not None
        assert theirs.crowd is not None
        assert torch.equal(ours.crowd, theirs.crowd)
        assert ours.masks is None
    assert read_set(tmp_path, "other") is None
