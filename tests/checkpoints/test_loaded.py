"""A checkpoint answers to whatever shows a picture."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from limbeck.checkpoints.card import Card, save
from limbeck.checkpoints.loaded import Loaded, load
from limbeck.classification.models import build
from limbeck.errors import ImagesError, OptionError
from limbeck.images.prepare import evaluation_view
from limbeck.records import Preprocess, Skipped


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    folder = tmp_path_factory.mktemp("checkpoint")
    torch.manual_seed(0)
    architecture = {"builder": "timm", "name": "test_vit", "args": {"img_size": 64}}
    classes = [f"class {number}" for number in range(7)]
    card = Card(architecture=architecture, classes=classes, preprocess=Preprocess((64, 64)))
    save(folder, build("test_vit", classes=7, args={"img_size": 64}), card)
    return load(folder)


@pytest.fixture
def picture() -> Image.Image:
    rows = np.random.default_rng(0).integers(0, 255, (12, 16, 3), np.uint8)
    return Image.fromarray(rows).resize((160, 120), Image.Resampling.BICUBIC)


def test_all_kinds_of_one_picture_get_one_answer(loaded: Loaded, picture: Image.Image, tmp_path: Path) -> None:
    picture.save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    kinds = [tmp_path / "a.png", str(tmp_path / "a.png"), picture, np.asarray(picture), data]
    predictions = loaded.predict(kinds)
    assert {prediction.classes for prediction in predictions} == {predictions[0].classes}
    assert [prediction.name for prediction in predictions[:3]] == [str(tmp_path / "a.png")] * 2 + ["image 2"]
    with torch.no_grad():
        view = evaluation_view(loaded.preprocess, data)[None]
        expected = loaded.log_probabilities(view).exp().sort(descending=True).values[0, :5]
    for prediction in predictions:
        assert prediction.probabilities == pytest.approx(expected.tolist(), abs=1e-6)


def test_one_image_gives_a_list_of_one(loaded: Loaded, picture: Image.Image) -> None:
    (prediction,) = loaded.predict(picture, top=50)
    assert sorted(prediction.classes) == sorted(loaded.classes)
    assert sum(prediction.probabilities) == pytest.approx(1, abs=1e-5)
    assert list(prediction.probabilities) == sorted(prediction.probabilities, reverse=True)
    assert loaded.predict([]) == []


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"])
def test_pictures_of_every_mode(loaded: Loaded, picture: Image.Image, mode: str) -> None:
    turned = picture.convert("L").convert("I;16") if mode == "I;16" else picture.convert(mode)
    assert len(loaded.predict([turned])) == 1


def test_a_turned_photo_is_turned_back(loaded: Loaded, picture: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    picture.transpose(Image.Transpose.ROTATE_90).save(stream, "PNG", exif=exif)
    straight = loaded.predict(picture)[0].probabilities
    assert loaded.predict(stream.getvalue())[0].probabilities == pytest.approx(straight, abs=1e-6)
    assert loaded.predict(Image.open(stream))[0].probabilities == pytest.approx(straight, abs=1e-6)


def test_grey_and_alpha_arrays(loaded: Loaded, picture: Image.Image) -> None:
    grey = np.asarray(picture.convert("L"))
    answers = loaded.predict([grey, grey[:, :, None], np.repeat(grey[:, :, None], 4, 2)])
    assert len({answer.classes for answer in answers}) == 1


def test_batches_do_not_change_answers(loaded: Loaded, picture: Image.Image) -> None:
    many = [picture.rotate(angle) for angle in range(0, 50, 10)]
    one, two = loaded.predict(many, batch=1), loaded.predict(many, batch=2)
    assert [each.name for each in two] == [f"image {number}" for number in range(5)]
    for a, b in zip(one, two, strict=True):
        assert a.probabilities == pytest.approx(b.probabilities, abs=1e-6)


def test_unreadable_images_stop_or_are_told(loaded: Loaded, picture: Image.Image, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no photo")
    for bad in (tmp_path / "text.jpg", tmp_path / "none.jpg", b"", np.zeros((4, 4, 3), np.float32), 7):
        with pytest.raises(ImagesError):
            loaded.predict([bad])
    skipped: list[Skipped] = []
    answers = loaded.predict([tmp_path / "text.jpg", picture, tmp_path / "none.jpg"], skipped=skipped)
    assert [answer.name for answer in answers] == ["image 1"]
    assert [each.path for each in skipped] == [str(tmp_path / "text.jpg"), str(tmp_path / "none.jpg")]
    assert "No such file" in skipped[1].reason


def test_the_model_is_in_eval_mode_and_plain(loaded: Loaded) -> None:
    assert isinstance(loaded.model, torch.nn.Module)
    assert not loaded.model.training
    assert loaded.device.type == "cpu"


@pytest.mark.parametrize("device", ["gpu", "cuda:99x" if not torch.cuda.is_available() else "tpu"])
def test_a_device_that_is_not_there(device: str, loaded: Loaded, tmp_path: Path) -> None:
    save(tmp_path, loaded.model, loaded.card)
    with pytest.raises(OptionError, match="there is none on this machine") as error:
        load(tmp_path, device=device)
    assert "cpu" in str(error.value)
    assert "--device auto" in str(error.value)
