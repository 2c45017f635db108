"""What a plan leaves as it is: parameters that do not learn, and the modules that they make up."""

from collections.abc import Mapping, Sequence

from torch import nn


def freeze(model: nn.Module, rates: Mapping[str, float]) -> list[nn.Module]:
    """Take the parameters whose rate is 0 out of training; the modules that have no others come back, to be at rest.

    >>> model = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2))
    >>> [type(module).__name__ for module in freeze(model, {"0.weight": 0.0, "0.bias": 0.0})]
    ['BatchNorm1d']
    """
    for name, parameter in model.named_parameters():
        if rates.get(name, 1.0) == 0:
            parameter.requires_grad_(False)
    return _at_rest(model)


def rest(modules: Sequence[nn.Module]) -> None:
    """Keep frozen modules as they evaluate: norms that take no statistics, no dropout. `train()` wakes them."""
    for module in modules:
        if module.training:
            module.eval()


def _at_rest(module: nn.Module) -> list[nn.Module]:
    """The largest modules all of whose parameters are frozen; one without parameters goes with what it lies in."""
    parameters = list(module.parameters())
    if parameters and not any(parameter.requires_grad for parameter in parameters):
        return [module]
    return [frozen for child in module.children() for frozen in _at_rest(child)]
