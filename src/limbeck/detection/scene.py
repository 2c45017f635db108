"""A photo with its boxes on the way to a network: cut, enlarged, resized and mirrored together.

Boxes go through torchvision's transforms. Pixels are resized by OpenCV, as the references do: torchvision rounds one
grey level in four otherwise on bytes (by one), and takes three to twenty times as long.
"""

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F

from limbeck.detection.masks import Masks
from limbeck.records import Target

Pixels = NDArray[Any]  # uint8 or float32 [H, W, 3]
Colour = tuple[float, float, float]

_WHOLE = 640 * 640 * 4 * 4  # pixels: of COCO's largest photos on a canvas four times as high and wide


@dataclass(frozen=True)
class Scene:
    """A window on a photo, which may reach beyond it; boxes are in the window's pixels, `rows` the objects still there.

    Until `filled`, nothing is copied: what enlarging adds and cutting takes away again never exists.
    """

    photo: Pixels
    window: tuple[int, int, int, int]  # left, top, right, bottom on the photo
    boxes: tv_tensors.BoundingBoxes
    rows: NDArray[np.int64]
    masks: Masks | None = None

    @classmethod
    def of(cls, photo: Pixels, target: Target) -> "Scene":
        height, width = photo.shape[:2]
        boxes = tv_tensors.BoundingBoxes(target.boxes, format="XYXY", canvas_size=(height, width))
        return cls(photo, (0, 0, width, height), boxes, np.arange(len(target.boxes)), target.masks)

    @property
    def height(self) -> int:
        return self.window[3] - self.window[1]

    @property
    def width(self) -> int:
        return self.window[2] - self.window[0]

    def target(self, of: Target) -> Target:
        """What is left of a target."""
        rows = torch.from_numpy(self.rows)
        crowd = None if of.crowd is None else of.crowd[rows]
        return Target(self.boxes.as_subclass(Tensor), of.labels[rows], crowd, None, self.masks)


def enlarged(scene: Scene, left: int, top: int, height: int, width: int) -> Scene:
    """On a canvas of this size, the photo's corner at left, top."""
    x, y = scene.window[:2]
    beyond = [left, top, width - scene.width - left, height - scene.height - top]
    masks = None if scene.masks is None else scene.masks.cut(-left, -top, width - left, height - top)
    window = x - left, y - top, x - left + width, y - top + height
    return replace(scene, window=window, boxes=F.pad(scene.boxes, beyond), masks=masks)


def cut(scene: Scene, left: int, top: int, right: int, bottom: int, rows: NDArray[np.bool_]) -> Scene:
    """A window of it, with these of the objects; their boxes are cut to it."""
    x, y = scene.window[:2]
    kept = np.flatnonzero(rows)
    boxes = scene.boxes[torch.from_numpy(rows)].sub(torch.tensor([left, top, left, top]))
    boxes[:, 0::2].clamp_(0, right - left)
    boxes[:, 1::2].clamp_(0, bottom - top)
    masks = None if scene.masks is None else scene.masks.take(kept.tolist()).cut(left, top, right, bottom)
    return replace(
        scene,
        window=(x + left, y + top, x + right, y + bottom),
        boxes=tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=(bottom - top, right - left)),
        rows=scene.rows[kept],
        masks=masks,
    )


def seen(scene: Scene) -> tuple[Pixels, tuple[int, int, int, int]]:
    """The part of the photo that is in the window, and where on the window it lies."""
    height, width = scene.photo.shape[:2]
    left, top, right, bottom = scene.window
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    part = scene.photo[y0 : max(y1, y0), x0 : max(x1, x0)]
    return part, (x0 - left, y0 - top, x0 - left + part.shape[1], y0 - top + part.shape[0])


def filled(scene: Scene, part: Pixels, place: tuple[int, int, int, int], fill: Colour) -> Scene:
    """The window as a photo of its own: the part in its place, the fill around it (cut to whole numbers in bytes)."""
    left, top, right, bottom = place
    if (left, top, right, bottom) == (0, 0, scene.width, scene.height):
        return replace(scene, photo=part, window=place)
    colour = np.array(fill).astype(part.dtype)
    if part.size:
        beyond = top, scene.height - bottom, left, scene.width - right
        photo = np.asarray(cv2.copyMakeBorder(part, *beyond, cv2.BORDER_CONSTANT, value=colour.tolist()))
    else:
        photo = np.full((scene.height, scene.width, 3), colour)
    return replace(scene, photo=photo, window=(0, 0, scene.width, scene.height))


def resized(scene: Scene, height: int, width: int) -> Scene:
    """A filled scene in another size: bilinear, without antialiasing, as the references resize."""
    if (height, width) == (scene.height, scene.width):
        return scene
    photo = np.asarray(cv2.resize(scene.photo, (width, height), interpolation=cv2.INTER_LINEAR))
    return _shown(scene, photo)


def filled_at(
    scene: Scene, part: Pixels, place: tuple[int, int, int, int], fill: Colour, height: int, width: int
) -> Scene:
    """Filled, then resized. Up to 6.5 megapixels, and where nothing is to be filled, bit by bit what the two give.

    Beyond that a canvas would take gigabytes: only the pixels that are asked for are taken, and differ in rounding.
    """
    if scene.height * scene.width <= _WHOLE or place == (0, 0, scene.width, scene.height):
        return resized(filled(scene, part, place, fill), height, width)
    down, rows, low = _asked(scene.height, height, place[1], part.shape[0])
    across, columns, left = _asked(scene.width, width, place[0], part.shape[1])
    pixels = np.full((len(rows), len(columns), 3), np.array(fill).astype(part.dtype), np.float32)
    pixels[np.ix_(low, left)] = part[np.ix_(rows[low], columns[left])]
    upper, lower = pixels[0::2], pixels[1::2]
    pixels = upper + (lower - upper) * down[:, None, None]
    one, other = pixels[:, 0::2], pixels[:, 1::2]
    photo = one + (other - one) * across[:, None]
    return _shown(scene, photo if part.dtype == np.float32 else (photo + 0.5).astype(part.dtype))


def _asked(side: int, shown: int, begin: int, length: int) -> tuple[Pixels, NDArray[np.int64], NDArray[np.bool_]]:
    """Of each pixel along a side: the second one's share; the two of the part that it lies between; which exist."""
    middle = ((np.arange(shown) + 0.5) * (side / shown) - 0.5).clip(0, side - 1)
    first = np.floor(middle).astype(np.int64)
    both = np.stack([first, np.minimum(first + 1, side - 1)], 1).ravel() - begin
    return (middle - first).astype(np.float32), both, (both >= 0) & (both < length)


def _shown(scene: Scene, photo: Pixels) -> Scene:
    height, width = photo.shape[:2]
    masks = None if scene.masks is None else scene.masks.resized(height, width)
    boxes = F.resize(scene.boxes, [height, width])
    return replace(scene, photo=photo, window=(0, 0, width, height), boxes=boxes, masks=masks)


def mirrored(scene: Scene) -> Scene:
    """A filled scene, left for right."""
    masks = None if scene.masks is None else scene.masks.flipped()
    return replace(scene, photo=scene.photo[:, ::-1], boxes=F.horizontal_flip(scene.boxes), masks=masks)
