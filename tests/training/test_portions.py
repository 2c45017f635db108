"""Forward passes that run out of memory: fewer images at once, from then on."""

import pytest
import torch
from torch import Tensor

from limbeck.errors import LimbeckError
from limbeck.training.portions import Portions


class Small:
    """A device with room for `most` images."""

    def __init__(self, most: int) -> None:
        self.most, self.asked = most, list[int]()

    def __call__(self, parts: list[Tensor]) -> Tensor:
        self.asked.append(len(parts[0]))
        if len(parts[0]) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return parts[0] + 10 * parts[1]


def test_the_answers_are_whole_and_what_fits_is_remembered(capsys: pytest.CaptureFixture[str]) -> None:
    portions, device = Portions("the student"), Small(3)
    rows = torch.arange(10)
    assert torch.equal(portions(device, [rows, rows]), 11 * rows)
    assert device.asked == [10, 5, 3, 3, 3, 1]
    device.asked.clear()
    assert torch.equal(portions(device, [rows[:4], rows[:4]]), 11 * rows[:4])
    assert device.asked == [3, 1]
    said = capsys.readouterr().out.splitlines()
    assert said == [
        f"out of memory: from here on the student is asked about {n} images at once, not {m}"
        for m, n in ((10, 5), (5, 3))
    ]


def test_no_rows_at_all_are_asked_about_once() -> None:
    device = Small(3)
    assert Portions("the student")(device, [torch.zeros(0, 2), torch.zeros(0, 2)]).shape == (0, 2)
    assert device.asked == [0]


def test_not_even_one_image_is_told() -> None:
    with pytest.raises(LimbeckError, match=r"the teacher cannot be asked about even one image\n.*\n.*--device cpu"):
        Portions("the teacher")(Small(0), [torch.zeros(4), torch.zeros(4)])


def test_other_errors_are_not_taken_for_it() -> None:
    def broken(parts: list[Tensor]) -> Tensor:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        Portions("the student")(broken, [torch.zeros(4)])
