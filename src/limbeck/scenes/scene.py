"""One drawn scene: an object or several on a textured ground, half hidden by clutter, seen by a poor camera.

Colours, textures, grounds and clutter are drawn alike for every class: only shape tells one from another. What is known
about the objects is exact, since picture and masks come from one raster.

The difficulty was fixed on supervised training alone, before anything was distilled. Top-1 at 64 pixels on 1,200 test
scenes, one seed, SGD at .2 with a cosine, batches of 64 (teacher: timm's resnet10t with channels 24-48-96-192 and a
stem of 12; student: its test_resnet with channels 16-24-32-64 and a stem of 8):

    teacher  9,600 labels  1,200 steps  86.3 %
    student  9,600 labels  1,000 steps  80.3 %
    student    480 labels    700 steps  54.2 %
    student    240 labels    700 steps  27.5 %
    chance                               8.3 %

To change `DIFFICULTY` is to make another data set.
"""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from limbeck.scenes.shapes import BODY, CLASSES, CUT, Outline, clutter, outline
from limbeck.scenes.textures import sample

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Numbers = NDArray[np.float64]

_OVERSAMPLING = 2
_RAMP = np.linspace(-1, 1, 256)[:, None]
_LEAST_AREA = 24  # of the canvas's pixels
_FREE = 255  # in the raster of owners: neither object nor clutter


@dataclass(frozen=True)
class Difficulty:
    """How hard scenes are; pairs are ranges of a uniform draw, lengths are shares of the scene's side."""

    scale: tuple[float, float] = (0.55, 0.95)
    turn: float = 0.45  # radians to either side
    stretch: float = 0.25
    bend: float = 0.2
    wobble: float = 0.035
    clutter_behind: tuple[int, int] = (0, 2)
    clutter_before: tuple[int, int] = (0, 1)
    clutter_scale: tuple[float, float] = (0.12, 0.4)
    visible: float = 0.75  # the least share of an object that stays in sight
    contrast: float = 65.0  # the least distance between an object's mean colour and the ground's
    chroma: float = 40.0  # spread of colours around grey
    texture: float = 30.0  # the largest swing of a texture around its colour
    light: float = 0.4
    blur: tuple[float, float] = (0.0, 0.8)  # pixels of a 64 pixel scene
    noise: tuple[float, float] = (1.0, 10.0)
    quality: tuple[int, int] = (55, 95)


DIFFICULTY = Difficulty()


@dataclass(frozen=True)
class SceneObject:
    """One object of a scene: its class, its visible pixels, and their box (x0, y0, x1, y1; ends excluded)."""

    label: int
    box: tuple[float, float, float, float]
    mask: Mask


@dataclass(frozen=True)
class Scene:
    """A picture (uint8, height x width x 3), the class of its main object, all its objects, and its JPEG quality."""

    image: Pixels
    label: int
    objects: tuple[SceneObject, ...]
    quality: int


def draw_scene(seed: int, *, size: int = 64, label: int | None = None, objects: int = 1) -> Scene:
    """Draw one scene: a pure function of its arguments. A label that is not given is drawn too.

    >>> scene = draw_scene(7)
    >>> scene.image.shape, CLASSES[scene.label], len(scene.objects)
    ((64, 64, 3), 'umbrella', 1)
    """
    rng = np.random.default_rng(seed)
    drawn = int(rng.integers(len(CLASSES)))
    labels = [drawn if label is None else label, *(int(k) for k in rng.integers(len(CLASSES), size=objects - 1))]
    canvas = Canvas(rng, size)
    for _ in range(_between(rng, DIFFICULTY.clutter_behind)):
        canvas.place_clutter()
    for position, each in enumerate(labels):
        canvas.place_object(position, each, crowd=objects)
    for _ in range(_between(rng, DIFFICULTY.clutter_before)):
        canvas.place_clutter()
    image = _photograph(rng, canvas.pixels, size)
    return Scene(image, labels[0], canvas.objects(labels), _between(rng, DIFFICULTY.quality))


class Canvas:
    """Pixels at twice the resolution, and for each of them which object owns it."""

    def __init__(self, rng: Generator, size: int) -> None:
        self.rng, self.side = rng, size * _OVERSAMPLING
        self.ground = _colour(rng)
        self.pixels: Pixels = _palette(rng, self.ground).take(sample(rng, self.side, self.side, self.side), 0)
        self.owner: Pixels = np.full((self.side, self.side), _FREE, np.uint8)
        self.areas: dict[int, int] = {}

    def place_clutter(self) -> None:
        rng = self.rng
        scale, turn = rng.uniform(*DIFFICULTY.clutter_scale), rng.uniform(-np.pi, np.pi)
        self._place(_FREE, _deform(rng, clutter(rng), scale, turn, rng.uniform(0, 1, 2)), _colour(rng))

    def place_object(self, position: int, label: int, crowd: int) -> None:
        """Try places, ever smaller, until nothing drawn before is hidden too much; a crowd may have no room left."""
        rng, d = self.rng, DIFFICULTY
        shape = outline(CLASSES[label], rng)
        if rng.random() < 0.5:
            shape = [(tone, points * (-1, 1)) for tone, points in shape]
        for attempt in range(12):
            scale = rng.uniform(*d.scale) * crowd**-0.4 * 0.9**attempt
            margin = min(0.42 * scale, 0.4)
            centre = rng.uniform(margin, 1 - margin, 2)
            if self._place(
                position, _deform(rng, shape, scale, rng.uniform(-d.turn, d.turn), centre), self._contrasting()
            ):
                return

    def _contrasting(self) -> Numbers:
        colour = _colour(self.rng)
        while np.abs(colour - self.ground).mean() < DIFFICULTY.contrast:
            colour = _colour(self.rng)
        return colour

    def _place(self, owner: int, placed: Outline, colour: Numbers) -> bool:
        """Paint an outline over what is there, unless that would hide too much of an object."""
        rng = self.rng
        tones, left, top = _raster(placed, self.side)
        height, width = tones.shape
        window = np.s_[top : top + height, left : left + width]
        solid = tones != CUT
        area, owned = int(solid.sum()), self.owner[window]
        if area < _LEAST_AREA or not self._leaves_enough(owned, solid):
            return False
        palettes = [_palette(rng, tone) for tone in (colour, _neighbour(rng, colour), _neighbour(rng, colour))]
        shade = (np.maximum(tones, BODY) - BODY).astype(np.int32) * 256 + sample(rng, height, width, self.side)
        np.copyto(self.pixels[window], np.concatenate(palettes).take(shade, 0), where=solid[..., None])
        owned[solid] = owner
        if owner != _FREE:
            self.areas[owner] = area
        return True

    def _leaves_enough(self, owned: Pixels, solid: Mask) -> bool:
        for position, area in self.areas.items():
            kept = np.count_nonzero(self.owner == position) - np.count_nonzero(solid & (owned == position))
            if kept < DIFFICULTY.visible * area:
                return False
        return True

    def objects(self, labels: list[int]) -> tuple[SceneObject, ...]:
        """What is in sight: a pixel belongs to an object that owns half of it."""
        size = self.side // _OVERSAMPLING
        found = []
        for position in self.areas:
            share = (self.owner == position).reshape(size, _OVERSAMPLING, size, _OVERSAMPLING).sum((1, 3))
            mask = share * 2 >= _OVERSAMPLING**2
            if mask.any():
                found.append(SceneObject(labels[position], box_around(mask), mask))
        return tuple(found)


def box_around(mask: Mask) -> tuple[float, float, float, float]:
    """The smallest box with all the pixels of a mask in it.

    >>> box_around(np.eye(4, dtype=bool)[:, 1:])
    (0.0, 1.0, 3.0, 4.0)
    """
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def _between(rng: Generator, ends: tuple[int, int]) -> int:
    return int(rng.integers(ends[0], ends[1] + 1))


def _colour(rng: Generator) -> Numbers:
    return rng.uniform(30, 225) + rng.normal(0, DIFFICULTY.chroma, 3)


def _palette(rng: Generator, colour: Numbers) -> Pixels:
    """What the 256 greys of a texture become: shades around a colour."""
    swing = rng.normal(0, 0.4, 3) + rng.choice((-1, 1))
    shades = colour + _RAMP * (swing * rng.uniform(4, DIFFICULTY.texture))
    colours: Pixels = shades.clip(0, 255).astype(np.uint8)
    return colours


def _neighbour(rng: Generator, colour: Numbers) -> Numbers:
    """A second tone that goes with a colour and is told from it."""
    shift = rng.normal(0, 1, 3)
    return np.asarray(colour + shift * rng.uniform(35, 90) / (np.abs(shift).mean() + 0.1))


def _deform(rng: Generator, shape: Outline, scale: float, turn: float, centre: Numbers) -> Outline:
    """An outline in shares of the scene's side: bent, stretched, turned and put in its place."""
    d = DIFFICULTY
    bend, wave = rng.uniform(-d.bend, d.bend, 2), rng.uniform(0, d.wobble)
    pace, phase = rng.uniform(2, 5), rng.uniform(0, 2 * np.pi)
    wide, tall = np.exp(rng.uniform(-d.stretch, d.stretch, 2))
    c, s = np.cos(turn), np.sin(turn)
    matrix = np.array([[c * wide, s * wide], [-s * tall, c * tall]]) * (scale / 2)
    pieces = [points if len(points) > 12 else _with_middles(points) for _, points in shape]
    x, y = np.concatenate(pieces).T
    bent = np.stack([x + bend[0] * y * y + wave * np.sin(pace * y + phase), y + bend[1] * x * x], 1) @ matrix + centre
    ends = np.cumsum([len(points) for points in pieces]).tolist()
    return [(tone, bent[end - len(points) : end]) for (tone, _), points, end in zip(shape, pieces, ends)]


def _with_middles(points: Numbers) -> Numbers:
    """A straight edge needs points on the way to be bent."""
    following = np.concatenate([points[1:], points[:1]])
    return np.stack([points, (2 * points + following) / 3, (points + 2 * following) / 3], 1).reshape(-1, 2)


def _raster(shape: Outline, side: int) -> tuple[Pixels, int, int]:
    """The tone of each pixel in the window that an outline covers, and the window's left and top."""
    solid = np.concatenate([points for tone, points in shape if tone != CUT]) * side
    left, top = (int(edge) for edge in np.clip(np.floor(solid.min(0)), 0, side))
    right, bottom = (int(edge) for edge in np.clip(np.ceil(solid.max(0)) + 1, 0, side))
    tones = Image.new("L", (max(right - left, 0), max(bottom - top, 0)))
    if tones.width and tones.height:
        draw = ImageDraw.Draw(tones)
        for tone, points in shape:
            draw.polygon((points * side - (left, top)).ravel().tolist(), fill=int(tone))
    return np.asarray(tones), left, top


def _photograph(rng: Generator, pixels: Pixels, size: int) -> Pixels:
    """What a poor camera makes of the canvas: light from one side, a tint, blur and noise."""
    d = DIFFICULTY
    small = Image.fromarray(pixels).reduce(_OVERSAMPLING)
    blur = rng.uniform(*d.blur) * size / 64
    if blur > 0.2:
        small = small.filter(ImageFilter.GaussianBlur(blur))
    x = np.linspace(-1, 1, size, dtype=np.float32)
    across, down = rng.uniform(-d.light, d.light, 2)
    light = np.exp(across * x + down * x[:, None])[..., None] * rng.uniform(0.75, 1.2, 3).astype(np.float32)
    grain = rng.standard_normal((size, size, 3), np.float32) * np.float32(rng.uniform(*d.noise))
    seen: Pixels = np.clip(np.asarray(small) * light + grain, 0, 255).astype(np.uint8)
    return seen
