"""Data sets of scenes are ordinary folders, drawn once, and never anything but limbeck's own."""

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from limbeck.datasets.rle import mask_of
from limbeck.errors import ImagesError
from limbeck.scenes.dataset import draw_boxes_dataset, draw_dataset, to_jpeg
from limbeck.scenes.scene import draw_scene
from limbeck.scenes.shapes import CLASSES
from limbeck.scenes.sheet import contact_sheet


def contents(folder: Path) -> dict[str, str]:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def draw(folder: Path, count: int, *, seed: int = 1, size: int = 32, labelled: bool = True, workers: int = 1) -> None:
    draw_dataset(folder, count, seed=seed, size=size, labelled=labelled, workers=workers, shown=False)


def test_class_folders_are_balanced_and_hold_jpeg_files(tmp_path: Path) -> None:
    draw(tmp_path / "train", 30)
    files = sorted((tmp_path / "train").rglob("*.jpg"))
    assert Counter(file.parent.name for file in files) == {name: 3 if k < 6 else 2 for k, name in enumerate(CLASSES)}
    for file in files:
        with Image.open(file) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (32, 32))


def test_without_labels_the_folder_is_flat(tmp_path: Path) -> None:
    draw(tmp_path / "photos", 5, labelled=False)
    assert sorted(path.name for path in (tmp_path / "photos").glob("[!.]*")) == [f"{k:06d}.jpg" for k in range(5)]


def test_any_number_of_processes_draws_the_same_files(tmp_path: Path) -> None:
    draw(tmp_path / "one", 130)
    draw(tmp_path / "two", 130, workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_stopped_call_goes_on_and_keeps_what_is_there(tmp_path: Path) -> None:
    draw(tmp_path, 20)
    whole = contents(tmp_path)
    kept, lost, cut = (sorted(tmp_path.rglob("*.jpg"))[k] for k in (0, 5, 9))
    before = kept.stat().st_mtime_ns
    lost.unlink()
    cut.write_bytes(b"")
    lost.with_name(f".{lost.name}.part").write_bytes(b"half a file")
    draw(tmp_path, 20)
    assert contents(tmp_path) == whole
    assert kept.stat().st_mtime_ns == before


def test_a_data_set_can_grow(tmp_path: Path) -> None:
    draw(tmp_path / "grown", 7)
    draw(tmp_path / "grown", 15)
    draw(tmp_path / "whole", 15)
    assert contents(tmp_path / "grown") == contents(tmp_path / "whole")


def test_a_folder_of_the_user_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "000000.jpg").write_bytes(b"a photo of the user")
    with pytest.raises(ImagesError, match="did not draw"):
        draw(tmp_path, 3, labelled=False)
    assert [path.name for path in tmp_path.iterdir()] == ["000000.jpg"]
    assert (tmp_path / "000000.jpg").read_bytes() == b"a photo of the user"


@pytest.mark.parametrize("other", [{"seed": 2}, {"size": 48}, {"labelled": False}])
def test_scenes_drawn_with_other_settings_are_refused(tmp_path: Path, other: dict[str, Any]) -> None:
    draw(tmp_path, 3)
    before = contents(tmp_path)
    with pytest.raises(ImagesError, match="other settings"):
        draw(tmp_path, 3, **other)
    assert contents(tmp_path) == before


def test_data_sets_of_different_seeds_share_no_picture(tmp_path: Path) -> None:
    for seed in (1, 2):
        draw(tmp_path / str(seed), 60, seed=seed)
    pictures = [digest for seed in "12" for name, digest in contents(tmp_path / seed).items() if name.endswith("jpg")]
    assert len(set(pictures)) == 120


def test_the_file_shows_the_scene(tmp_path: Path) -> None:
    draw(tmp_path, 1)
    scene = draw_scene(1 << 32, size=32, label=0)
    assert (tmp_path / "bicycle" / "000000.jpg").read_bytes() == to_jpeg(scene)
    with Image.open(tmp_path / "bicycle" / "000000.jpg") as image:
        assert np.abs(np.asarray(image).astype(int) - scene.image).mean() < 16


def test_a_contact_sheet_shows_every_scene_once() -> None:
    scenes = [draw_scene(seed, size=16) for seed in range(5)]
    sheet = np.asarray(contact_sheet(scenes, columns=3, gap=2))
    assert sheet.shape == (38, 56, 3)
    for position, scene in enumerate(scenes):
        top, left = 2 + position // 3 * 18, 2 + position % 3 * 18
        assert np.array_equal(sheet[top : top + 16, left : left + 16], scene.image)


def boxes(folder: Path, count: int, **options: int) -> dict[str, Any]:
    draw_boxes_dataset(folder, count, seed=1, size=48, shown=False, **{"workers": 1, **options})
    content: dict[str, Any] = json.loads((folder / "annotations.json").read_text())
    return content


def test_boxes_and_masks_are_those_of_the_scenes(tmp_path: Path) -> None:
    content = boxes(tmp_path, 30)
    assert [each["name"] for each in content["categories"]] == list(CLASSES)
    counts = Counter(each["image_id"] for each in content["annotations"])
    assert set(counts) == set(range(1, 31))
    assert 1 < max(counts.values()) <= 4
    scene = draw_scene((1 << 32) + 14, size=48, label=2, objects=2)
    found = [each for each in content["annotations"] if each["image_id"] == 15]
    assert [each["category_id"] - 1 for each in found] == [each.label for each in scene.objects]
    for told, drawn in zip(found, scene.objects, strict=True):
        left, top, width, height = told["bbox"]
        assert (left, top, left + width, top + height) == drawn.box
        assert np.array_equal(mask_of(told["segmentation"]), drawn.mask)
        assert told["area"] == drawn.mask.sum()
    assert (tmp_path / "images" / "000014.jpg").read_bytes() == to_jpeg(scene)


def test_a_set_with_boxes_goes_on_and_grows_and_any_number_of_processes_draws_it(tmp_path: Path) -> None:
    whole = boxes(tmp_path / "whole", 70)
    boxes(tmp_path / "grown", 7)
    (tmp_path / "grown" / "images" / "000003.jpg").unlink()
    assert boxes(tmp_path / "grown", 70, workers=2) == whole
    assert contents(tmp_path / "grown") == contents(tmp_path / "whole")
    with pytest.raises(ImagesError, match="other settings"):
        boxes(tmp_path / "whole", 70, objects=2)
