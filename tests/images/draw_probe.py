"""Draws the probe photo of the view fingerprint: `python tests/images/draw_probe.py OUT`.

The package carries its bytes. Another encoder writes other bytes, so it is never drawn again: a new probe would change
the fingerprint of every view policy.
"""

import sys

import numpy as np
from PIL import Image, ImageDraw


def draw() -> Image.Image:
    rng = np.random.default_rng(20)
    height, width = 360, 480
    down, across = np.mgrid[0:height, 0:width]
    waves = np.stack([np.sin(down / (9 + 4 * c)) + np.sin((across + down) / (5 + 3 * c)) for c in range(3)], axis=2)
    grain = rng.normal(size=(height, width, 3)) * (across[:, :, None] > width // 2)
    image = Image.fromarray(np.clip(128 + 45 * waves + 30 * grain, 0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(image)
    for _ in range(25):
        left, top, size = rng.integers(0, width), rng.integers(0, height), rng.integers(8, 90)
        pen.ellipse((left, top, left + size, top + size * 0.7), fill=tuple(rng.integers(0, 256, 3)))
    return image


if __name__ == "__main__":
    turned = Image.Exif()
    turned[0x0112] = 6
    draw().save(sys.argv[1], "JPEG", quality=85, subsampling="4:2:0", exif=turned)
