"""Which input sizes a model takes."""

import torch
from torch import nn

# so far a size is looked for, in pixels, among the multiples of what patches, windows and strides come in
_STEPS = (32, 16, 14, 7)
_FARTHEST = 640
_TRIED = 12


def refusal(model: nn.Module, size: tuple[int, int]) -> str:
    """Why a model cannot take images of this size; nothing where it can. Found by a pass over shapes alone.

    >>> from limbeck.classification.models import build
    >>> vit = build("test_vit")
    >>> refusal(vit, (160, 160)), refusal(vit, (100, 100))[:32]
    ('', 'Input height (100) should be div')
    """
    state = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    shapes = {name: torch.empty_like(value, device="meta") for name, value in state.items()}
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        with torch.no_grad():
            torch.func.functional_call(model, shapes, (torch.empty(1, 3, *size, device="meta"),))
    except (AssertionError, RuntimeError, ValueError, TypeError) as error:
        return (str(error).strip() or type(error).__name__).splitlines()[0]
    finally:
        for module in training:
            module.training = True
    return ""


def nearest_size(model: nn.Module, size: int, own: int) -> int:
    """The size next to one that a model cannot take, which it can.

    >>> from limbeck.classification.models import build
    >>> nearest_size(build("test_vit"), 100, own=160)
    96
    """
    likely = {step * count for step in _STEPS for count in range(1, _FARTHEST // step + 1)} | {own}
    near = sorted(likely, key=lambda each: (abs(each - size), each))
    return next((each for each in near[:_TRIED] if not refusal(model, (each, each))), own)
