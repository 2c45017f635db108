"""The hash: turning the photo permutes the hashes of its eight turns."""

import numpy as np
import pytest

from limbeck.alike.phash import distances, photo_hashes
from limbeck.alike.turns import MIRROR, TURNS, turned
from limbeck.scenes.scene import draw_scene

GREY = draw_scene(3, size=160).image[:120].mean(2).astype(np.uint8)


@pytest.mark.parametrize("turn", TURNS)
def test_turning_the_photo_turns_its_hashes(turn: int) -> None:
    upright = photo_hashes(GREY)
    other = photo_hashes(np.ascontiguousarray(turned(GREY, turn)))
    apart = distances(other[:1], upright)[0]
    assert apart[turn] <= 1
    assert (np.delete(apart, turn) > 10).all()
    assert sorted(distances(other, upright).argmin(1).tolist()) == list(TURNS)


def test_turns_are_a_group() -> None:
    small = np.arange(6).reshape(2, 3)
    forms = {turned(small, turn).tobytes() + bytes(turned(small, turn).shape) for turn in TURNS}
    assert len(forms) == 8
    assert (turned(turned(small, MIRROR), MIRROR) == small).all()


def test_a_smaller_darker_copy_has_nearly_the_same_hash() -> None:
    copy = (GREY[::2, ::2] * 0.6).astype(np.uint8)
    assert distances(photo_hashes(copy)[:1], photo_hashes(GREY)[:1])[0, 0] <= 4
