"""limbeck distill where the memory is too small for an evaluation, or for the questions to the teacher."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch

import limbeck
from limbeck.errors import LimbeckError
from tests.commands.tiny import records, run, weights


def blank(images: torch.Tensor) -> bool:
    return len(images) == 1 and bool((images == images[:, :, :1, :1]).all())


def short_of_memory(monkeypatch: pytest.MonkeyPatch, most: int) -> list[int]:
    """Networks in evaluation mode fail with more than `most` images, but for the black one that counts classes."""
    kind = type(timm.create_model("test_resnet"))
    forward, tries = kind.forward, list[int]()

    def small(self: Any, images: torch.Tensor) -> torch.Tensor:
        if not self.training and len(images) > most and not blank(images):
            tries.append(len(images))
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        answer: torch.Tensor = forward(self, images)
        return answer

    monkeypatch.setattr(kind, "forward", small)
    return tries


def test_evaluation_goes_on_with_fewer_images_at_once(
    photos: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shared: dict[str, Any] = {"probe": 0.5, "epochs": 2, "batch": 8}
    run(photos, teacher, tmp_path / "whole", **shared)
    capsys.readouterr()
    tries = short_of_memory(monkeypatch, 8)
    run(photos, teacher, tmp_path / "small", **shared)
    # the teacher is asked about 32 photos to check it, then about the 48 held-out ones; the student about those
    assert tries == [32, 16, 48, 24, 12]
    said = capsys.readouterr().out
    assert "out of memory: from here on the teacher is asked about 8 images at once, not 16" in said
    assert "out of memory: from here on the student is asked about 6 images at once, not 12" in said
    assert [each["loss"] for each in records(tmp_path / "small")] == [
        each["loss"] for each in records(tmp_path / "whole")
    ]
    assert weights(tmp_path / "small") == weights(tmp_path / "whole")


def test_a_device_too_small_for_one_image_is_told(
    photos: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short_of_memory(monkeypatch, 0)
    with pytest.raises(LimbeckError, match=r"the teacher cannot be asked about even one image\n.*\n.*--device cpu"):
        run(photos, teacher, tmp_path / "none", probe=0.1, steps=1)
    assert not (tmp_path / "none").exists()


def test_the_command_that_evaluates_does_so_too(
    photos: Path, teacher: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = limbeck.evaluate(teacher, photos, teacher=str(teacher), workers=0)
    tries = short_of_memory(monkeypatch, 20)
    assert limbeck.evaluate(teacher, photos, teacher=str(teacher), workers=0) == pytest.approx(whole, abs=1e-6)
    assert tries == [64, 32, 64, 32]
    assert "the teacher is asked about 16 images at once, not 32" in capsys.readouterr().out
