"""The words of the `local` signature, made from drawn scenes alone: python bench/make_codebook.py

Writes src/limbeck/alike/codebook.safetensors: the mean of RootSIFT descriptors, the basis of their strongest
directions (half whitened), k-means words in that basis, and the mean of the scenes' signatures. No photo is in it.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from limbeck.alike.features import common_copy, extract
from limbeck.alike.local import aggregate
from limbeck.scenes.scene import draw_scene

TARGET = Path(__file__).parents[1] / "src" / "limbeck" / "alike" / "codebook.safetensors"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--scenes", type=int, default=400)
    parser.add_argument("--words", type=int, default=64)
    parser.add_argument("--length", type=int, default=32)
    chosen = parser.parse_args()
    scenes = [drawn(seed) for seed in range(chosen.scenes)]
    descriptors = np.concatenate(scenes).astype(np.float64)
    mean = descriptors.mean(0)
    values, vectors = np.linalg.eigh(np.cov((descriptors - mean).T))
    basis = vectors[:, ::-1][:, : chosen.length] / values[::-1][: chosen.length] ** 0.25
    words = k_means((descriptors - mean) @ basis, chosen.words)
    book = {"mean": mean, "basis": np.ascontiguousarray(basis), "words": words}
    book["usual"] = np.mean([aggregate(scene, book) for scene in scenes], 0)
    TARGET.write_bytes(save({name: array.astype(np.float32) for name, array in book.items()}))
    print(f"{len(descriptors):,} descriptors, {values[::-1][: chosen.length].sum() / values.sum():.1%} of their spread")
    print(f"{TARGET}: {TARGET.stat().st_size / 1000:.0f} kB")


def drawn(seed: int) -> NDArray[np.uint8]:
    """The descriptors of a drawn scene that is larger than the common size of photos."""
    scene = draw_scene(seed, size=320)
    return extract(common_copy(np.asarray(cv2.cvtColor(scene.image, cv2.COLOR_RGB2GRAY), np.uint8))).descriptors


def k_means(points: NDArray[np.float64], count: int, rounds: int = 30) -> NDArray[np.float64]:
    words = points[np.random.default_rng(0).choice(len(points), count, replace=False)]
    for _ in range(rounds):
        nearest = (points @ words.T - 0.5 * (words**2).sum(1)).argmax(1)
        words = np.stack([points[nearest == word].mean(0) for word in range(count)])
    return words


if __name__ == "__main__":
    main()
