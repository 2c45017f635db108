"""Random truths and answers in COCO's form, with all that is awkward in one set."""

from typing import Any

import numpy as np
import pycocotools.mask as coder
import torch
from numpy.random import Generator
from numpy.typing import NDArray

from limbeck.detection.rle import packed_outline
from limbeck.records import Detections, Target

WIDTH, HEIGHT = 160, 120
TYPED_AREAS = (0.0, 400.0, 1024.0, 5000.0, 9216.0, 20000.0)  # on the borders of sizes too


def boxes(rng: Generator, count: int) -> NDArray[np.float64]:
    """x, y, width, height on a grid of an eighth of a pixel, which float32 holds; some have no extent."""
    side = np.round(np.exp(rng.uniform(0.5, 4.7, (count, 2))) * 8) / 8
    corner = np.round(rng.uniform(0, 1, (count, 2)) * (np.array([WIDTH, HEIGHT]) - side) * 8) / 8
    side[rng.random(count) < 0.02, 0] = 0
    return np.column_stack([corner, side])


def near(rng: Generator, box: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.round((box + rng.normal(0, 0.08, box.shape) * box[:, [2, 3, 2, 3]]).clip(0) * 8) / 8


def coco_set(seed: int, *, images: int = 25, classes: int = 5) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A COCO json and its results.

    Ids have gaps, the first class has no object, the last is never found; there are crowds, images of nothing,
    images without truth or detections, one of 300 detections of two classes, equal scores and repeated boxes.
    """
    rng = np.random.default_rng(seed)
    names = sorted(rng.choice(10**6, images, replace=False).tolist())
    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for place, image in enumerate(names):
        objects = 0 if place % 7 == 3 else int(rng.integers(1, 8))
        true = boxes(rng, objects)
        labels = rng.integers(1, classes, objects)
        for box, label in zip(true, labels):
            area = rng.choice(TYPED_AREAS) if rng.random() < 0.3 else box[2] * box[3] * rng.choice([0.5, 1.0])
            crowd = int(rng.random() < 0.15)
            number = 10 + 3 * len(annotations)
            told = {"id": number, "image_id": image, "category_id": int(label), "bbox": box.tolist()}
            annotations.append(told | {"area": float(area), "iscrowd": crowd})
        wide = 300 if place == 5 else int(rng.integers(0, 40))
        if place % 5 == 2 or (place % 7 == 3 and place % 2):
            continue
        hits = rng.integers(objects, size=min(wide, 3 * objects)) if objects else np.zeros(0, int)
        found = np.concatenate([near(rng, true[hits]), boxes(rng, wide - len(hits))])
        found[rng.random(len(found)) < 0.1] = found[0] if len(found) else 0
        guesses = np.concatenate([labels[hits], rng.integers(0, classes, wide - len(hits))])
        guesses = np.where(place == 5, guesses % 2 + 1, guesses)
        guesses[guesses == classes - 1] = 0
        scores = np.sort(np.float32(rng.integers(1, 21, len(found)) / 20))[::-1]
        rows = zip(found.tolist(), guesses.tolist(), scores.tolist())
        results += [{"image_id": image, "category_id": c, "bbox": box, "score": s} for box, c, s in rows]
    listed = [{"id": image, "width": WIDTH, "height": HEIGHT} for image in names]
    categories = [{"id": number, "name": f"class {number}"} for number in range(classes)]
    return {"info": {}, "images": listed, "annotations": annotations, "categories": categories}, results


def drawn(box: list[float], rng: Generator) -> Any:
    """A mask for a box: a disc, or a part of the rectangle, as compressed run lengths."""
    x, y, width, height = box
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH] + 0.5
    inside = (columns >= x) & (columns <= x + width) & (rows >= y) & (rows <= y + height)
    if rng.random() < 0.5:
        inside &= ((columns - x) / max(width, 1) - 0.5) ** 2 + ((rows - y) / max(height, 1) - 0.5) ** 2 <= 0.25
    return coder.encode(np.asfortranarray(inside, dtype=np.uint8))


def runs(mask: NDArray[np.uint8]) -> list[int]:
    """Uncompressed run lengths, counted pixel by pixel."""
    lengths, inside = [0], 0
    for pixel in mask.T.flatten().tolist():
        if pixel != inside:
            lengths.append(0)
            inside = pixel
        lengths[-1] += 1
    return lengths


def with_masks(seed: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Truths are polygons and run lengths in all three forms."""
    rng = np.random.default_rng(seed)
    content, results = coco_set(seed, images=14)
    for number, each in enumerate(content["annotations"]):
        pack = drawn(each["bbox"], rng)
        x, y, width, height = each["bbox"]
        corners = [x, y, x + width, y, x + width, y + height, x, y + height]
        forms: list[Any] = [
            pack,
            {"size": pack["size"], "counts": pack["counts"].decode()},
            {"size": [HEIGHT, WIDTH], "counts": runs(coder.decode(pack))} if number % 12 == 2 else pack,
            [corners, [value / 2 for value in corners]],
        ]
        each["segmentation"] = forms[3 if each["iscrowd"] == 0 and number % 4 == 3 else number % 3]
    for each in results:
        each["segmentation"] = drawn(each["bbox"], rng)
    return content, results


def outlines(told: list[Any]) -> list[Any]:
    """Run lengths as they are; polygons, which say nothing of the image's size, as run lengths."""
    return [packed_outline(each, (HEIGHT, WIDTH)) if isinstance(each, list) else each for each in told]


def corners_of(rows: list[dict[str, Any]]) -> torch.Tensor:
    box = np.array([row["bbox"] for row in rows]).reshape(-1, 4)
    return torch.from_numpy(np.column_stack([box[:, :2], box[:, :2] + box[:, 2:]])).float()


def records(content: dict[str, Any], results: list[dict[str, Any]]) -> dict[int, tuple[Detections, Target]]:
    """The same as this project's records, by image id."""
    by_image: dict[int, tuple[Detections, Target]] = {}
    for image in (each["id"] for each in content["images"]):
        true = [each for each in content["annotations"] if each["image_id"] == image]
        found = [each for each in results if each["image_id"] == image]
        masked = "segmentation" in (content["annotations"][0])
        by_image[image] = (
            Detections(
                corners_of(found),
                torch.tensor([each["score"] for each in found], dtype=torch.float32),
                torch.tensor([each["category_id"] for each in found], dtype=torch.int64),
                [each["segmentation"] for each in found] if masked else None,
            ),
            Target(
                corners_of(true),
                torch.tensor([each["category_id"] for each in true], dtype=torch.int64),
                torch.tensor([each["iscrowd"] for each in true], dtype=torch.bool),
                torch.tensor([each["area"] for each in true], dtype=torch.float64),
                outlines([each["segmentation"] for each in true]) if masked else None,
            ),
        )
    return by_image
