"""A model where it is trained."""

import pytest
import torch

from limbeck.classification.models import build
from limbeck.runs.placing import with_one_norm


@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "test_efficientnet", "test_resnet", "regnety_002"])
def test_one_norm_computes_what_many_do(name: str) -> None:
    torch.manual_seed(0)
    model = build(name, classes=5).eval()
    images = torch.randn(2, 3, 64, 64)
    before = model(images)
    converted = with_one_norm(model).eval()
    assert any(isinstance(module, torch.nn.SyncBatchNorm) for module in converted.modules())
    torch.testing.assert_close(converted(images), before)
    build(name, classes=5).load_state_dict(converted.state_dict(), strict=True)
