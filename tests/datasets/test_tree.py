"""Names and bytes of what lies in a source."""

import tarfile
from pathlib import Path

import pytest

from limbeck.datasets.tree import open_tree
from limbeck.errors import ImagesError
from limbeck.images.cache import cache_root
from limbeck.images.imageset import ImageSet
from tests.checkup.sets import coco, csv, yolo, zipped


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return csv(tmp_path / "set")


def test_a_folder_by_the_name_that_was_typed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root.parent)
    tree = open_tree("set/")
    assert tree.files == ["set/labels.csv"]
    assert "set/photos/7.jpg" in tree.images
    assert tree.read("set/labels.csv") == (root / "labels.csv").read_bytes()


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_an_archive(kind: str, root: Path, tmp_path: Path) -> None:
    archive = tmp_path / f"set.{kind}"
    if kind == "zip":
        zipped(root)
    else:
        with tarfile.open(archive, "w:gz" if kind == "tar.gz" else "w") as file:
            file.add(root, ".")
    tree = open_tree(str(archive), shown=False)
    assert list(tree.files) == [f"{archive}/labels.csv"]
    assert tree.text(f"{archive}/labels.csv").startswith("file_name,class")
    images = ImageSet.open(tree.place, workers=0, shown=False)
    assert sorted(tree.name(images.path(row)) for row in range(len(images))) == sorted(tree.images)


def test_hidden_files_and_linked_folders(root: Path, tmp_path: Path) -> None:
    (root / ".cache").mkdir()
    (root / ".cache" / "old.csv").write_text("")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "more.csv").write_text("")
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "circle").symlink_to(root)
    assert sorted(Path(name).name for name in open_tree(str(root)).files) == ["labels.csv", "more.csv"]


def test_a_label_file_stands_for_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    root = coco(tmp_path / "coco")
    (root / "annotations" / "other.json").write_text("{}")
    tree = open_tree("coco/annotations/instances.json")
    assert (len(tree.images), tree.files) == (20, ("coco/annotations/instances.json",))
    assert open_tree(str(csv(tmp_path / "csv") / "labels.csv")).source == str(tmp_path / "csv")


def test_a_yaml_brings_its_txt_files(tmp_path: Path) -> None:
    root = yolo(tmp_path / "yolo")
    assert len(open_tree(str(root / "data.yaml")).files) == 21


def test_what_is_not_there_and_what_is_broken(tmp_path: Path) -> None:
    with pytest.raises(ImagesError, match="nowhere does not exist"):
        open_tree(str(tmp_path / "nowhere"))
    (tmp_path / "bad.tar.gz").write_bytes(b"no archive")
    with pytest.raises(ImagesError, match="cannot be read: not a whole gzip file"):
        open_tree(str(tmp_path / "bad.tar.gz"), cache=cache_root(), shown=False)


def test_a_list_has_no_tree(root: Path) -> None:
    (root / "list.txt").write_text("photos/1.jpg\n")
    tree = open_tree(str(root / "list.txt"))
    assert (tree.images, tree.name(str(root / "photos" / "1.jpg"))) == ((), "")
