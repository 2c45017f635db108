"""What each reader makes of its format, of odd spellings too."""

import json
from pathlib import Path

import numpy as np
import pytest

from limbeck.datasets import lookup
from limbeck.datasets.lookup import Lookup
from limbeck.datasets.recognise import recognise
from limbeck.datasets.records import Labels
from limbeck.datasets.rle import mask_of, runs_of
from limbeck.datasets.splits import folder_splits, split_of
from limbeck.datasets.tree import Tree, open_tree
from tests.checkup.sets import EACH, HEIGHT, WIDTH, box_of, coco, coco_content, csv, masks, photo, voc, yolo


def read(root: Path) -> Labels:
    (labels,) = recognise(open_tree(str(root)), shown=False)
    return labels


@pytest.mark.parametrize("kind", [coco, voc, yolo])
def test_the_same_boxes_from_every_format(kind: object, tmp_path: Path) -> None:
    labels = read(kind(tmp_path / "set"))  # type: ignore[operator]
    boxes = {Path(sample.image).stem: sample.things for sample in labels.samples}
    assert len(boxes) == 2 * EACH
    for number in range(2 * EACH):
        (thing,) = boxes[str(number)]
        box = np.array(thing.box) * ((WIDTH, HEIGHT) * 2 if labels.shares else 1)
        expected = np.array(box_of(number)) - ([1, 1, 0, 0] if labels.format == "Pascal VOC" else 0)
        assert np.allclose(box, expected, atol=1e-3)
        assert thing.label == ("cat", "dog")[number % 2]


def test_splits_by_lists_names_and_folders(tmp_path: Path) -> None:
    assert {sample.splits for sample in read(voc(tmp_path / "voc")).samples} == {("train",)}
    assert {sample.splits for sample in read(yolo(tmp_path / "yolo")).samples} == {("train",)}
    root = coco(tmp_path / "coco")
    (root / "annotations" / "instances.json").rename(root / "annotations" / "instances_val2017.json")
    assert {sample.splits for sample in read(root).samples} == {("val",)}


def test_a_yolo_list_as_split_and_polygons_as_boxes(tmp_path: Path) -> None:
    root = yolo(tmp_path / "set")
    (root / "held.txt").write_text("./images/train/3.jpg\n")
    (root / "data.yaml").write_text("train: images/train\nval: held.txt\nnames: {0: cat, 1: dog}\n")
    (root / "labels" / "train" / "3.txt").write_text("1 0.25 0.5 0.75 0.5 0.75 1\n")
    (sample,) = (sample for sample in read(root).samples if sample.image.endswith("/3.jpg"))
    assert (sample.splits, sample.things[0].box) == (("val",), (0.25, 0.5, 0.75, 1.0))


def test_yolo_side_by_side_without_a_yaml(tmp_path: Path) -> None:
    for number in range(3):
        photo(tmp_path / f"{number}.jpg", number)
        (tmp_path / f"{number}.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (tmp_path / "classes.txt").write_text("bird\n")
    labels = read(tmp_path)
    assert (labels.format, labels.classes) == ("YOLO", {0: "bird"})


def test_notes_beside_photos_are_no_yolo(tmp_path: Path) -> None:
    for number in range(3):
        photo(tmp_path / f"{number}.jpg", number)
        (tmp_path / f"{number}.txt").write_text("a bird on a fence, seen in 2019\n")
    assert recognise(open_tree(str(tmp_path)), shown=False) == []


@pytest.mark.parametrize(
    ("header", "row", "box"),
    [
        ("image,xmin,ymin,xmax,ymax,label", "a.jpg,1,2,11,22,cat", (1, 2, 11, 22)),
        ("filename,width,height,class,xmin,ymin,xmax,ymax", "a.jpg,80,64,cat,1,2,11,22", (1, 2, 11, 22)),
        ("image_id;x;y;w;h;label", "a;1;2;10;20;cat", (1, 2, 11, 22)),
        ("path,bbox,label", 'a.jpg,"[1, 2, 10, 20]",cat', (1, 2, 11, 22)),
        ("", "a.jpg,1,2,11,22,cat", (1, 2, 11, 22)),
    ],
)
def test_boxes_of_a_csv(header: str, row: str, box: tuple[float, ...], tmp_path: Path) -> None:
    photo(tmp_path / "a.jpg", 0)
    (tmp_path / "boxes.csv").write_text(f"{header}\n{row}\n".lstrip())
    labels = read(tmp_path)
    ((thing,),) = (sample.things for sample in labels.samples)
    assert (labels.task, thing.box, thing.label) == ("detection", box, "cat")


def test_a_csv_without_a_header_with_a_split_or_of_something_else(tmp_path: Path) -> None:
    root = csv(tmp_path / "a")
    text = (root / "labels.csv").read_text().partition("\n")[2]
    (root / "labels.csv").write_text(text)
    assert [sample.label for sample in read(root).samples][:2] == ["cat", "dog"]
    rows = "".join(f"{n}.jpg,cat,{'valid' if n else 'train'}\n" for n in range(3))
    (root / "labels.csv").write_text("id,label,split\n" + rows)
    assert [sample.splits for sample in read(root).samples][:3] == [("train",), ("val",), ("val",)]
    (root / "labels.csv").write_text("id,amount\n1,300\n2,400\n")
    (root / "more.csv").write_text("a,b\n1,2\n")
    assert [sample.label for sample in read(root).samples if sample.label] == []


def test_masks_beside_photos_in_several_ways(tmp_path: Path) -> None:
    names = {
        "a": ("images/x.jpg", "masks/x.png"),
        "b": ("train/x.jpg", "trainannot/x.png"),
        "c": ("photos/x.jpg", "photos/x_mask.png"),
        "d": ("leftImg8bit/val/x_leftImg8bit.png", "gtFine/val/x_gtFine_labelIds.png"),
        "e": ("JPEGImages/x.jpg", "SegmentationClass/x.png"),
        "f": ("val/images/x.jpg", "val/labels/x.png"),
    }
    for folder, (one, two) in names.items():
        image, mask = f"{folder}/{one}", f"{folder}/{two}"
        (labels,) = recognise(Tree(folder, folder, images=[image, mask]), shown=False)
        (sample,) = labels.samples
        assert (labels.task, sample.image, sample.mask) == ("segmentation", image, mask), folder


@pytest.mark.parametrize(
    ("text", "classes", "colours"),
    [
        ("sky\nroad\n", {0: "sky", 1: "road"}, {}),
        ("# index name\n1 sky\n2 road\n", {1: "sky", 2: "road"}, {}),
        ("name,r,g,b\nsky,0,0,9\nroad,9,0,0\n", {0: "sky", 1: "road"}, {(0, 0, 9): 0, (9, 0, 0): 1}),
        ("0 sky 0 0 9\n7 road 9 0 0\n", {0: "sky", 7: "road"}, {(0, 0, 9): 0, (9, 0, 0): 7}),
        ("0 0 9 sky\n9 0 0 road\n", {0: "sky", 1: "road"}, {(0, 0, 9): 0, (9, 0, 0): 1}),
    ],
)
def test_lists_of_classes(text: str, classes: object, colours: object, tmp_path: Path) -> None:
    root = masks(tmp_path / "set")
    (root / "labels.txt").write_text(text)
    labels = read(root)
    assert (labels.classes, labels.colours) == (classes, colours)


def test_class_folders_below_splits_and_images(tmp_path: Path) -> None:
    for split in "train", "test":
        for name in "cat", "dog":
            photo(tmp_path / split / "images" / name / "1.jpg", len(split + name))
    samples = read(tmp_path).samples
    assert {(sample.splits, sample.label) for sample in samples} == {
        (("train",), "cat"), (("train",), "dog"), (("test",), "cat"), (("test",), "dog")
    }  # fmt: skip


def test_a_folder_of_photos_has_no_labels(tmp_path: Path) -> None:
    photo(tmp_path / "summer" / "1.jpg", 0)
    photo(tmp_path / "2.jpg", 1)
    assert recognise(open_tree(str(tmp_path)), shown=False) == []


def test_names_of_splits() -> None:
    said = [split_of(name) for name in ("Training", "valid", "test2017", "instances_train", "latest", "training_set")]
    assert said == ["train", "val", "test", "train", "", "train"]
    assert folder_splits(["a/train/images/1.jpg", "a/train/labels/1.jpg"]) == {
        "a/train/images": "train",
        "a/train/labels": "train",
    }


def test_json_that_is_no_coco_is_left_aside(tmp_path: Path) -> None:
    root = csv(tmp_path / "set")
    (root / "package.json").write_text('{"images": 3}')
    (root / "results.json").write_text("[]")
    labels, silent = recognise(open_tree(str(root)), shown=False)
    assert labels.format == "CSV"
    assert not silent.samples
    assert {trouble.kind for trouble in silent.troubles} == {"other-json"}


def test_the_other_files_of_coco_speak_of_no_other_objects(tmp_path: Path) -> None:
    content = coco_content()
    root = coco(tmp_path / "set", content)
    for annotation in content["annotations"]:
        annotation["keypoints"] = [1, 1, 2]
    content["annotations"] = content["annotations"][:7]
    (root / "annotations" / "person_keypoints.json").write_text(json.dumps(content))
    content["annotations"] = [{"id": 1, "image_id": 1, "caption": "a cat"}]
    (root / "annotations" / "captions.json").write_text(json.dumps(content))
    labels = read(root)
    assert "instances.json, 20 images, 20 boxes" in labels.told
    assert [len(sample.things) for sample in labels.samples] == [1] * 2 * EACH


def test_splits_in_files_of_their_own_beside_one_of_all(tmp_path: Path) -> None:
    content = coco_content()
    root = coco(tmp_path / "set", content)
    content["annotations"], content["images"] = content["annotations"][:4], content["images"][:4]
    (root / "annotations" / "val.json").write_text(json.dumps(content))
    assert [sample.splits for sample in read(root).samples].count(("val",)) == 4


def test_one_folder_for_train_and_val_of_yolo(tmp_path: Path) -> None:
    root = yolo(tmp_path / "set")
    (root / "data.yaml").write_text("train: images/train\nval: images/train\nnames: [cat, dog]\n")
    assert {sample.splits for sample in read(root).samples} == {("train", "val")}


@pytest.mark.parametrize("shape", [(17, 3), (17, 2)])
def test_keypoints_of_yolo_follow_their_boxes(shape: tuple[int, int], tmp_path: Path) -> None:
    root = yolo(tmp_path / "set")
    (root / "data.yaml").write_text(f"train: images/train\nnames: [cat, dog]\nkpt_shape: {list(shape)}\n")
    for file in (root / "labels" / "train").iterdir():
        file.write_text(f"{file.read_text().strip()}{' 0.9' * shape[0] * shape[1]}\n")
    things = [thing for sample in read(root).samples for thing in sample.things]
    assert not any(thing.flaw or thing.outline for thing in things)
    assert max(max(thing.box) for thing in things if thing.box) < 0.9


def test_an_unknown_encoding_is_told(tmp_path: Path) -> None:
    root = voc(tmp_path / "set")
    (root / "Annotations" / "0.xml").write_text('<?xml version="1.0" encoding="klingon"?><annotation/>')
    assert [trouble.kind for trouble in read(root).troubles] == ["unreadable-labels"]


def test_an_image_in_rows_of_two_splits(tmp_path: Path) -> None:
    root = csv(tmp_path / "set")
    rows = ("0.jpg,cat,test", "0.jpg,cat,train", "1.jpg,dog,val")
    (root / "labels.csv").write_text("\n".join(("file,class,split", *rows)))
    assert [sample.splits for sample in read(root).samples][:2] == [("train", "test"), ("val",)]


def test_a_name_is_looked_up_among_those_of_its_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"set/v{folder}/1.jpg" for folder in range(50)]
    found, compared = Lookup(names), []
    closeness = lookup._closeness
    monkeypatch.setattr(lookup, "_closeness", lambda *given: compared.append(given) or closeness(*given))
    assert [found.find(f"/away/v{folder}/1.jpg")[0] for folder in range(50)] == names
    assert len(compared) == 50
    assert found.find("/away/v50/1.jpg") == ("", "")
    assert Lookup(["set/a.jpg"]).find("/away/a.jpg") == ("set/a.jpg", "")


def packed(runs: list[int]) -> str:
    """As COCO packs run lengths: differences from the third on, five bits a character, the lowest first."""
    text = ""
    for at, run in enumerate(runs):
        value, more = run - (runs[at - 2] if at > 2 else 0), True
        while more:
            bits, value = value & 31, value >> 5
            more = value != (-1 if bits & 16 else 0)
            text += chr((bits | (32 if more else 0)) + 48)
    return text


def test_packed_run_lengths() -> None:
    runs = [20, 5, 4, 5, 400, 3000, 1, 2, 0, 63]
    size = [25, 140]
    assert runs_of({"size": size, "counts": packed(runs)}) == runs
    mask = mask_of({"size": size, "counts": packed(runs)})
    assert (mask == mask_of({"size": size, "counts": runs})).all()
    assert (mask.shape, mask.sum()) == ((25, 140), sum(runs[1::2]))


@pytest.mark.parametrize("counts", [10**12, [float("inf")], [1.5, 2.5], None, "é"])
def test_run_lengths_that_are_none(counts: object) -> None:
    with pytest.raises(ValueError, match=r"run lengths|whole numbers"):
        mask_of({"size": [2, 2], "counts": counts})


@pytest.mark.shared
def test_packed_run_lengths_of_real_masks(shared: Path) -> None:
    tree = open_tree(str(shared / "data" / "nuclei.zip"), shown=False)
    (name,) = (name for name in tree.files if name.endswith("instances_val.json"))
    for annotation in json.loads(tree.read(name))["annotations"]:
        mask = mask_of(annotation["segmentation"])
        left, top, width, height = map(int, annotation["bbox"])
        assert mask.sum() == mask[top : top + height, left : left + width].sum() == annotation["area"]


def test_content_of_a_json_may_lack_anything(tmp_path: Path) -> None:
    content = coco_content()
    del content["categories"]
    for each in content["annotations"]:
        del each["category_id"]
    content["annotations"] += [{}, 3, {"image_id": [1]}]
    content["images"] += [{"id": 99}]
    labels = read(coco(tmp_path / "set", content))
    kinds = {trouble.kind for trouble in labels.troubles}
    assert kinds == {"lost-annotations", "lacking-parts", "unnumbered-annotations"}
    assert json.dumps(labels.told)
