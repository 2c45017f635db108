"""Grey patterns, periodic in both directions, made once in each process and the same in all of them."""

from functools import cache

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

SIDE = 256
_SEED = 20240
_CLOUDS, _PATTERNS = 10, 24


@cache
def textures() -> NDArray[np.uint8]:
    """The patterns: clouds of every coarseness, and stripes, checks, dots and ripples that clouds have warped.

    >>> textures().shape
    (34, 256, 256)
    """
    rng = np.random.default_rng(_SEED)
    clouds = [_cloud(rng, falloff) for falloff in np.linspace(0.6, 2.2, _CLOUDS)]
    patterns = [_pattern(rng, clouds[rng.integers(_CLOUDS // 2, _CLOUDS)]) for _ in range(_PATTERNS)]
    return np.stack([_to_bytes(grey) for grey in (*clouds, *patterns)])


def sample(rng: Generator, height: int, width: int, unit: float) -> NDArray[np.uint8]:
    """A window of a random pattern, turned and scaled at random; `unit` is the length in pixels of a scene's side."""
    pattern = textures()[rng.integers(_CLOUDS + _PATTERNS)]
    angle, pace = rng.uniform(0, 2 * np.pi), SIDE / unit * rng.uniform(0.35, 1.3)
    c, s = pace * np.cos(angle), pace * np.sin(angle)
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    top, left = rng.integers(SIDE, 2 * SIDE, 2) + 4 * SIDE
    rows, columns = (top + s * x + c * y).astype(np.int32), (left + c * x - s * y).astype(np.int32)
    window: NDArray[np.uint8] = pattern.reshape(-1)[(rows & SIDE - 1) * SIDE + (columns & SIDE - 1)]
    return window


def _cloud(rng: Generator, falloff: float) -> NDArray[np.float64]:
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(SIDE, 1 / SIDE), np.fft.rfftfreq(SIDE, 1 / SIDE), indexing="ij"))
    spectrum = np.fft.rfft2(rng.standard_normal((SIDE, SIDE))) / np.maximum(frequency, 1) ** falloff
    spectrum[0, 0] = 0
    grey = np.fft.irfft2(spectrum, (SIDE, SIDE))
    return np.asarray(grey / grey.std())


def _pattern(rng: Generator, cloud: NDArray[np.float64]) -> NDArray[np.float64]:
    # whole numbers of waves keep the pattern periodic
    x, y = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    warp = cloud * rng.choice([0, 0.4, 1.2])
    across, down = rng.integers(5, 20, 2)
    one = np.sin(2 * np.pi * x * across / SIDE + warp)
    two = np.sin(2 * np.pi * y * down / SIDE + warp)
    hardness = rng.choice([1.0, 6.0])
    wave = [one, one * two, np.maximum(one, two), one * two - 0.6, np.sin(4 * cloud)][rng.integers(5)]
    grey: NDArray[np.float64] = np.tanh(hardness * wave) + 0.15 * cloud
    return grey


def _to_bytes(grey: NDArray[np.float64]) -> NDArray[np.uint8]:
    low, high = np.percentile(grey, (1, 99))
    spread: NDArray[np.uint8] = (255 * np.clip((grey - low) / (high - low), 0, 1)).astype(np.uint8)
    return spread
