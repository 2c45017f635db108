"""SSD's distortion of colours, on floats from 0 to 255 that are not cut to that range again.

torchvision's RandomPhotometricDistort multiplies the brightness, contrasts around the mean and cuts to the range; the
references add to the brightness, contrast around black, count hue in degrees and cut nothing but the saturation.
"""

from dataclasses import dataclass
from random import Random

import cv2
import numpy as np
from numpy.typing import NDArray

from limbeck.detection.scene import Pixels

_BRIGHTNESS, _HUE = 32.0, 18.0
_CONTRAST = _SATURATION = (0.5, 1.5)
_HALF = 0.5


@dataclass(frozen=True)
class Colours:
    """One drawn distortion; what is None is left alone."""

    brightness: float | None
    contrast: float | None
    contrast_first: bool  # before saturation and hue
    saturation: float | None
    hue: float | None  # degrees
    channels: tuple[int, int, int] | None


def drawn_colours(drawn: Random) -> Colours:
    """Each of the five with one chance in two."""

    def maybe(low: float, high: float) -> float | None:
        value, there = low + (high - low) * drawn.random(), drawn.random() < _HALF
        return value if there else None

    order = sorted((drawn.random(), channel) for channel in range(3))
    swapped = drawn.random() < _HALF
    return Colours(
        maybe(-_BRIGHTNESS, _BRIGHTNESS),
        maybe(*_CONTRAST),
        drawn.random() < _HALF,
        maybe(*_SATURATION),
        maybe(-_HUE, _HUE),
        (order[0][1], order[1][1], order[2][1]) if swapped else None,
    )


def distorted(photo: Pixels, colours: Colours) -> Pixels:
    """The photo as float32 with these colours.

    >>> grey = np.full((1, 1, 3), 100, np.uint8)
    >>> distorted(grey, Colours(-10.0, 2.0, True, None, None, None)).tolist()
    [[[180.0, 180.0, 180.0]]]
    """
    pixels = photo.astype(np.float32)
    if not pixels.size:
        return pixels
    if colours.brightness is not None:
        pixels += colours.brightness
    if colours.contrast is not None and colours.contrast_first:
        pixels *= colours.contrast
    # there and back even where neither is changed: what is below zero does not come back as it was
    pixels = _turned(pixels, colours.saturation, colours.hue)
    if colours.contrast is not None and not colours.contrast_first:
        pixels *= colours.contrast
    return pixels if colours.channels is None else pixels[..., colours.channels]


def _turned(pixels: Pixels, saturation: float | None, hue: float | None) -> Pixels:
    hsv: NDArray[np.float32] = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV), np.float32)
    if saturation is not None:
        hsv[..., 1] *= saturation
        if saturation > 1:
            np.clip(hsv[..., 1], 0, 1, out=hsv[..., 1])
    if hue is not None:
        degrees = hsv[..., 0]
        degrees += hue
        degrees[degrees > 360] -= 360
        degrees[degrees < 0] += 360
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB))
