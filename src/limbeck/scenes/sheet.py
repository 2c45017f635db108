"""A page of scenes to look at."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from limbeck.scenes.scene import Scene


def contact_sheet(scenes: Sequence[Scene], columns: int, *, gap: int = 4) -> Image.Image:
    """The scenes side by side, row by row, on white.

    >>> from limbeck.scenes.scene import draw_scene
    >>> contact_sheet([draw_scene(seed) for seed in range(6)], columns=3).size
    (208, 140)
    """
    side = len(scenes[0].image) + gap
    rows = -(-len(scenes) // columns)
    page = np.full((rows * side + gap, columns * side + gap, 3), 255, np.uint8)
    for position, scene in enumerate(scenes):
        top, left = position // columns * side + gap, position % columns * side + gap
        page[top : top + side - gap, left : left + side - gap] = scene.image
    return Image.fromarray(page)
