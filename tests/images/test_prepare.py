import io
from pathlib import Path

import numpy as np
import pytest
import timm.data
import torch
from photos import jpeg
from PIL import Image

from limbeck.errors import UnknownName
from limbeck.images.decode import decode
from limbeck.images.prepare import centre_view, evaluation_view, to_input
from limbeck.records import Preprocess

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize(("side", "crop"), [(224, 0.875), (64, 1.0), (192, 0.95)])
@pytest.mark.parametrize(("height", "width"), [(375, 500), (533, 401), (150, 150)])
def test_evaluation_is_that_of_timm(height: int, width: int, side: int, crop: float, interpolation: str) -> None:
    data = jpeg(height, width)
    theirs = timm.data.create_transform(
        (3, side, side), interpolation=interpolation, crop_pct=crop, mean=(0, 0, 0), std=(1, 1, 1)
    )
    expected = theirs(Image.open(io.BytesIO(data)).convert("RGB"))
    view = evaluation_view(Preprocess((side, side), interpolation=interpolation, crop=crop), data)
    assert view.shape == expected.shape
    assert (view / 255 - expected).abs().mean() < 0.6 / 255


@pytest.mark.shared
def test_evaluation_of_real_photos_is_that_of_timm(shared: Path) -> None:
    from zipfile import ZipFile

    theirs = timm.data.create_transform((3, 224, 224), interpolation="bicubic", mean=(0, 0, 0), std=(1, 1, 1))
    with ZipFile(shared / "data/imagenet_samples.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith(".JPEG")][:20]
        for data in map(archive.read, names):
            expected = theirs(Image.open(io.BytesIO(data)).convert("RGB"))
            assert (evaluation_view(Preprocess((224, 224)), data) / 255 - expected).abs().mean() < 0.6 / 255


def test_an_oblong_evaluation_is_filled_with_photo() -> None:
    photo = decode(jpeg(375, 500)).clamp(min=1)
    view = centre_view(Preprocess((224, 448), interpolation="bilinear"), photo)
    assert view.shape == (3, 224, 448)
    assert view.min() > 0


def test_an_unknown_interpolation_is_named() -> None:
    with pytest.raises(UnknownName, match=r"unknown interpolation 'bicubik'\n  expected: bicubic\n  try: "):
        evaluation_view(Preprocess((8, 8), interpolation="bicubik"), jpeg())


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_input_is_normalised_and_channels_last(layout: torch.memory_format) -> None:
    images = torch.randint(0, 256, (3, 3, 40, 56), dtype=torch.uint8).contiguous(memory_format=layout)
    before = images.clone()
    inputs = to_input(images, (40, 56), MEAN, STD)
    expected = (images / 255 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    torch.testing.assert_close(inputs, expected, atol=1e-6, rtol=1e-6)
    assert inputs.dtype == torch.float32
    assert inputs.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(images, before)


def test_larger_images_are_reduced_with_antialiasing() -> None:
    photo = decode(jpeg(128, 128))
    inputs = to_input(photo[None], (48, 48), (0, 0, 0), (1, 1, 1))
    pillow = Image.fromarray(photo.permute(1, 2, 0).numpy()).resize((48, 48), Image.Resampling.BILINEAR)
    expected = torch.from_numpy(np.array(pillow)).permute(2, 0, 1) / 255
    assert (inputs[0] - expected).abs().max() < 1.1 / 255
    assert inputs.is_contiguous(memory_format=torch.channels_last)
    # every second column black: without antialiasing half of the picture would be lost
    stripes = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    stripes[..., ::2] = 255
    grey = to_input(stripes, (32, 32), (0, 0, 0), (1, 1, 1))
    assert (grey[..., 1:-1] - 0.5).abs().max() < 0.01


def test_two_sizes_of_one_batch() -> None:
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    assert to_input(images, (64, 64), MEAN, STD).shape == (2, 3, 64, 64)
    assert to_input(images, (32, 48), MEAN, STD).shape == (2, 3, 32, 48)
    assert to_input(images[:, :, :1, :1], (1, 1), MEAN, STD).shape == (2, 3, 1, 1)


def test_the_input_can_be_trained_on_after_evaluation() -> None:
    images = torch.zeros(1, 3, 17, 17, dtype=torch.uint8)
    with torch.inference_mode():
        to_input(images, (17, 17), MEAN, STD)
    layer = torch.nn.Conv2d(3, 1, 1)
    layer(to_input(images, (17, 17), MEAN, STD)).sum().backward()
    assert layer.weight.grad is not None
