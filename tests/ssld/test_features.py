"""What a teacher sees: the features that timm itself gives, and nothing where there are none."""

from pathlib import Path

import pytest
import torch
from torch import nn

from limbeck.classification.models import build
from limbeck.images.prepare import to_input
from limbeck.ssld.features import Sight
from limbeck.ssld.teacher import Teacher, TeacherSpec


def teacher(*names: str | nn.Module) -> Teacher:
    torch.manual_seed(0)
    return TeacherSpec.parse(list(names), pretrained=False, size=64).load()


def views(one: Teacher, count: int = 3) -> list[torch.Tensor]:
    drawn = torch.Generator().manual_seed(1)
    return [
        torch.randint(0, 256, (count, 3, *look.size), dtype=torch.uint8, generator=drawn) for look in one.preprocesses
    ]


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_efficientnet", "mobilenetv3_small_050"])
def test_as_timm_gives_them(name: str) -> None:
    one = teacher(name)
    sight = Sight(one)
    (pixels,) = views(one)
    answers, features = sight.evaluate([pixels])
    assert torch.equal(answers, one.evaluate([pixels]))
    model, look = one.members[0].model, one.preprocess  # type: ignore[attr-defined]
    with torch.inference_mode():
        maps = model.forward_features(to_input(pixels, look.size, look.mean, look.std))
        expected = model.forward_head(maps, pre_logits=True)
    assert features is not None
    torch.testing.assert_close(features, expected)


def test_of_an_ensemble_side_by_side() -> None:
    one = teacher("test_resnet", "test_vit")
    _, features = Sight(one).evaluate(views(one))
    alone = [Sight(teacher(name)) for name in ("test_resnet", "test_vit")]
    widths = [sight.evaluate(views(sight.teacher))[1].shape[1] for sight in alone]  # type: ignore[union-attr]
    assert features is not None
    assert features.shape == (3, sum(widths))


def test_a_teacher_that_does_not_end_with_a_linear_layer() -> None:
    module = nn.Sequential(nn.Linear(64, 64), nn.Conv2d(3, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    one = teacher(module)
    sight = Sight(one)
    assert not sight.has_features
    assert sight.evaluate(views(one))[1] is None


def test_a_linear_layer_at_every_pixel_shows_no_features() -> None:
    class Pixels(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(3, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            answers: torch.Tensor = self.head(x.permute(0, 2, 3, 1)).mean((1, 2))
            return answers

    assert not Sight(teacher(Pixels())).has_features


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_onnx_file_shows_no_features(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    model = build("test_resnet", classes=4).eval()
    file = tmp_path / "model.onnx"
    torch.onnx.export(model, (torch.zeros(1, 3, 64, 64),), str(file), dynamo=False)
    one = TeacherSpec.parse(str(file)).load()
    sight = Sight(one)
    assert not sight.has_features
    assert sight.evaluate(views(one))[1] is None
