"""Small sound data sets of every format, drawn; the tests break them in one way each."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 80, 64
CLASSES = ("cat", "dog")
EACH = 10


def pixels(seed: int, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 255, (9, 9, 3), np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


def photo(path: Path, seed: int, size: tuple[int, int] = (WIDTH, HEIGHT), **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels(seed, size).save(path, **options)
    return path


def numbered() -> list[tuple[int, str]]:
    return [(number, CLASSES[number % 2]) for number in range(2 * EACH)]


def class_folders(root: Path) -> Path:
    for number, name in numbered():
        photo(root / "train" / name / f"{number}.jpg", number)
    for number, name in enumerate(CLASSES):
        photo(root / "val" / name / "1.jpg", 100 + number)
    return root


def csv(root: Path) -> Path:
    lines = ["file_name,class"]
    for number, name in numbered():
        photo(root / "photos" / f"{number}.jpg", number)
        lines.append(f"photos/{number}.jpg,{name}")
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    return root


def box_of(number: int) -> tuple[int, int, int, int]:
    return 5 + number, 6, 45 + number, 50


def coco_content() -> dict[str, Any]:
    return {
        "images": [{"id": n, "file_name": f"{n}.jpg", "width": WIDTH, "height": HEIGHT} for n, _ in numbered()],
        "annotations": [
            {
                "id": n,
                "image_id": n,
                "category_id": 1 + CLASSES.index(name),
                "bbox": [left, top, right - left, bottom - top],
            }
            for n, name in numbered()
            for left, top, right, bottom in [box_of(n)]
        ],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    }


def coco(root: Path, content: dict[str, Any] | None = None) -> Path:
    for number, _ in numbered():
        photo(root / "images" / f"{number}.jpg", number)
    (root / "annotations").mkdir()
    (root / "annotations" / "instances.json").write_text(json.dumps(content or coco_content()))
    return root


def voc_xml(number: int, name: str, corners: tuple[int, ...], size: tuple[int, int] = (WIDTH, HEIGHT)) -> str:
    tags = zip(("xmin", "ymin", "xmax", "ymax"), corners)
    box = "".join(f"<{tag}>{value}</{tag}>" for tag, value in tags)
    return (
        f"<annotation><filename>{number}.jpg</filename><size><width>{size[0]}</width><height>{size[1]}</height></size>"
        f"<object><name>{name}</name><bndbox>{box}</bndbox></object></annotation>"
    )


def voc(root: Path) -> Path:
    (root / "Annotations").mkdir(parents=True)
    for number, name in numbered():
        photo(root / "JPEGImages" / f"{number}.jpg", number)
        (root / "Annotations" / f"{number}.xml").write_text(voc_xml(number, name, box_of(number)))
    lists = root / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("".join(f"{n}\n" for n, _ in numbered()))
    return root


def yolo_line(number: int, box: tuple[int, int, int, int], identity: int) -> str:
    left, top, right, bottom = box
    centre = (left + right) / 2 / WIDTH, (top + bottom) / 2 / HEIGHT
    return f"{identity} {centre[0]:.6f} {centre[1]:.6f} {(right - left) / WIDTH:.6f} {(bottom - top) / HEIGHT:.6f}\n"


def yolo(root: Path) -> Path:
    (root / "labels" / "train").mkdir(parents=True)
    for number, name in numbered():
        photo(root / "images" / "train" / f"{number}.jpg", number)
        line = yolo_line(number, box_of(number), CLASSES.index(name))
        (root / "labels" / "train" / f"{number}.txt").write_text(line)
    (root / "data.yaml").write_text("path: .\ntrain: images/train\nnc: 2\nnames: [cat, dog]\n")
    return root


def mask(path: Path, values: tuple[int, ...] = (0, 1), size: tuple[int, int] = (WIDTH, HEIGHT)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = np.array(values, np.uint8)[np.arange(size[0]) * len(values) // size[0]]
    Image.fromarray(np.tile(table, (size[1], 1))).save(path)
    return path


def masks(root: Path) -> Path:
    for number, _ in numbered():
        photo(root / "images" / f"{number}.jpg", number)
        mask(root / "labels" / f"{number}.png")
    (root / "labels.txt").write_text("0 sky\n1 road\n")
    return root


def zipped(folder: Path) -> Path:
    archive = folder.with_suffix(".zip")
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                file.write(path, path.relative_to(folder))
    return archive


SETS = {
    "class folders": class_folders,
    "CSV": csv,
    "COCO": coco,
    "Pascal VOC": voc,
    "YOLO": yolo,
    "masks": masks,
}
