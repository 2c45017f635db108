"""Our networks give the reference's numbers, from the image to the logits."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from limbeck.backbones import BACKBONES
from limbeck.checkpoints.renames.networks import spelt
from limbeck.classification.models import Architecture, outline
from limbeck.tables import look_up
from tests.backbones.fixtures import REFERENCE, Fixture, fixture, in_order, taps

LARGE = {"hrnet_w18_c", "se_hrnet_w64_c", "resnet101_vd", "resnet200_vd"}
EVERY = [pytest.param(name, marks=pytest.mark.slow) if name in LARGE else name for name in REFERENCE]
pytestmark = pytest.mark.shared


def loaded(found: Fixture) -> nn.Module:
    with torch.device("meta"):
        model: nn.Module = look_up("model", found.name, BACKBONES)()
    model.to_empty(device="cpu").load_state_dict(in_order(model, found.weights), strict=False)
    return model


def seen(model: nn.Module, images: Tensor, layers: dict[str, tuple[str, int | None]]) -> dict[str, Tensor]:
    """The outputs of layers, the input of the last one, and the logits."""
    found: dict[str, Tensor] = {}
    for layer, (module, branch) in layers.items():

        def keep(_: nn.Module, __: object, out: list[Tensor], layer: str = layer, branch: int | None = branch) -> None:
            found[layer] = (out if branch is None else out[branch]).clone()  # type: ignore[union-attr]

        model.get_submodule(module).register_forward_hook(keep)

    def pooled(_: nn.Module, given: tuple[Tensor]) -> None:
        found["stage.pooled"] = given[0]

    model.get_classifier().register_forward_pre_hook(pooled)  # type: ignore[operator]
    with torch.no_grad():
        found["logits"] = model(images)
    return found


@pytest.mark.parametrize("name", REFERENCE)
def test_the_tables_name_the_tensors_as_their_order_does(shared: Path, name: str) -> None:
    own = [key for key in outline(Architecture.parse(name)).state_dict() if not key.endswith("num_batches_tracked")]
    assert spelt(name, "PaddleClas", own) == dict(zip(own, fixture(shared, name).told["state_dict"], strict=True))


@pytest.mark.parametrize("name", EVERY)
def test_logits_and_stages_are_the_reference_s(shared: Path, name: str) -> None:
    found = fixture(shared, name)
    layers = taps(name, [key for key in found.told["arrays"] if key.startswith("stage.")])
    outputs = seen(loaded(found).eval(), found.images, layers)
    assert set(outputs) == set(found.told["arrays"]) | {"logits"}
    errors = {key: found.error(key, value) for key, value in outputs.items()}
    assert max(errors.values()) < (1e-3 if name == "resnet200_vd" else 1e-4), errors


@pytest.mark.parametrize("name", [name for name in EVERY if "hrnet" not in str(name)])  # HRNet's were not kept
def test_a_step_of_training_sees_the_reference_s_statistics(shared: Path, name: str) -> None:
    found = fixture(shared, name)
    model = loaded(found)
    first = next(module for module in model.modules() if isinstance(module, nn.BatchNorm2d))
    before = first.running_var.clone()  # type: ignore[union-attr]
    seen_by_norm: list[int] = []
    first.register_forward_pre_hook(lambda _, given: seen_by_norm.append(given[0].numel() // given[0].shape[1]))
    with torch.no_grad():
        model.train()(found.images)
    (count,) = seen_by_norm
    mean = torch.from_numpy(found.arrays["train.first_norm.mean"])
    variance = torch.from_numpy(found.arrays["train.first_norm.variance"])
    assert torch.allclose(first.running_mean, mean, atol=1e-5)  # type: ignore[arg-type]
    # the reference averages the biased variance of a batch, torch the unbiased one
    biased = before * 0.9 + (first.running_var - before * 0.9) * (count - 1) / count  # type: ignore[operator]
    assert torch.allclose(biased, variance, atol=1e-5)
