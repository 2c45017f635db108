"""What people do to photos, for bench/near_duplicates.py: each kind is a function of a photo and of random draws."""

import io
from collections.abc import Callable
from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

Photo = Image.Image


def crop(photo: Photo, share: float, drawn: Random) -> Photo:
    """A part of this share of the area, its shape changed by up to a fifth."""
    stretch = np.exp(drawn.uniform(-0.1, 0.1))
    width = min(photo.width, round(photo.width * np.sqrt(share) * stretch))
    height = min(photo.height, round(photo.height * np.sqrt(share) / stretch))
    left, top = drawn.randint(0, photo.width - width), drawn.randint(0, photo.height - height)
    return photo.crop((left, top, left + width, top + height))


def resize(photo: Photo, factor: float) -> Photo:
    size = max(8, round(photo.width * factor)), max(8, round(photo.height * factor))
    return photo.resize(size, Image.Resampling.BICUBIC)


def jpeg(photo: Photo, quality: int) -> Photo:
    data = io.BytesIO()
    photo.save(data, "JPEG", quality=quality)
    return Image.open(data).convert("RGB")


def colour(photo: Photo, drawn: Random) -> Photo:
    hue, saturation, value = photo.convert("HSV").split()
    shift = drawn.choice((-1, 1)) * drawn.randint(15, 60)
    turned = hue.point(lambda level: (level + shift) % 256)
    return ImageEnhance.Color(Image.merge("HSV", (turned, saturation, value)).convert("RGB")).enhance(
        drawn.choice((0, 0.5, 1.8))
    )


def noise(photo: Photo, drawn: Random) -> Photo:
    grain = np.random.default_rng(drawn.getrandbits(32)).normal(
        0, drawn.uniform(10, 25), (photo.height, photo.width, 3)
    )
    return Image.fromarray(np.clip(np.asarray(photo) + grain, 0, 255).astype(np.uint8))


def border(photo: Photo, drawn: Random) -> Photo:
    return ImageOps.expand(
        photo, round(drawn.uniform(0.05, 0.15) * min(photo.size)), drawn.choice(("white", "black", "gray"))
    )


def text(photo: Photo, drawn: Random) -> Photo:
    marked = photo.copy()
    pen = ImageDraw.Draw(marked)
    size = max(10, round(photo.height * drawn.uniform(0.1, 0.18)))
    font = ImageFont.load_default(size)
    for _ in range(2):
        place = drawn.uniform(0, 0.3) * photo.width, drawn.uniform(0, 0.85) * photo.height
        pen.text(
            place,
            drawn.choice(("SAMPLE PHOTO", "for sale", "www.example.com")),
            drawn.choice(("white", "yellow", "black")),
            font,
        )
    return marked


KINDS: dict[str, Callable[[Photo, Random], Photo]] = {
    "crop to 80 %": lambda photo, drawn: crop(photo, 0.8, drawn),
    "crop to 50 %": lambda photo, drawn: crop(photo, 0.5, drawn),
    "resize x0.25": lambda photo, drawn: resize(photo, 0.25),
    "resize x0.5": lambda photo, drawn: resize(photo, 0.5),
    "resize x3": lambda photo, drawn: resize(photo, 3),
    "JPEG quality 30": lambda photo, drawn: jpeg(photo, 30),
    "colour": colour,
    "brightness": lambda photo, drawn: ImageEnhance.Brightness(photo).enhance(drawn.choice((0.5, 0.7, 1.4, 1.7))),
    "contrast": lambda photo, drawn: ImageEnhance.Contrast(photo).enhance(drawn.choice((0.5, 0.7, 1.5, 2.0))),
    "blur": lambda photo, drawn: photo.filter(ImageFilter.GaussianBlur(drawn.uniform(1.0, 3.0))),
    "noise": noise,
    "border": border,
    "text overlay": text,
    "mirror": lambda photo, drawn: ImageOps.mirror(photo),
    "rotate 10": lambda photo, drawn: photo.rotate(drawn.choice((-10, 10)), Image.Resampling.BILINEAR),
    "rotate 90": lambda photo, drawn: photo.rotate(drawn.choice((90, 270)), expand=True),
}


def edited(photo: Photo, kind: str, seed: str) -> Photo:
    """An edited copy, kept as people keep it: a JPEG of quality 90.

    >>> edited(Image.new("RGB", (80, 60)), "resize x0.5", "0").size
    (40, 30)
    """
    return jpeg(KINDS[kind](photo, Random(f"{kind} {seed}")), 90 if kind != "JPEG quality 30" else 95)
