"""The optimizer of a plan."""

import torch
from torch import Tensor, nn

from limbeck.training.plan import Plan


def sgd(model: nn.Module, plan: Plan) -> torch.optim.SGD:
    """SGD with momentum; norms and biases are decayed only when the plan says so.

    Each group has its multiplier of the plan's learning rate beside it, as `rate`.

    >>> len(sgd(nn.Linear(2, 2), Plan(steps=1, steps_per_epoch=1, batch=1, lr=0.1)).param_groups)
    2
    """
    groups: dict[tuple[bool, float], list[Tensor]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            free = not plan.decay_norm and parameter.ndim < 2
            groups.setdefault((free, plan.rates.get(name, 1.0)), []).append(parameter)
    fused = all(parameter.device.type in ("cpu", "cuda", "mps") for parameter in model.parameters())
    listed = [
        {"params": parameters, "weight_decay": 0.0 if free else plan.weight_decay, "rate": rate}
        for (free, rate), parameters in sorted(groups.items(), key=lambda group: group[0])
    ]
    return torch.optim.SGD(listed, plan.lr, plan.momentum, fused=fused)


def set_rate(optimizer: torch.optim.SGD, rate: float) -> None:
    """The learning rate of the moment, times each group's own multiplier."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["rate"]


def momentum_of(optimizer: torch.optim.SGD, model: nn.Module) -> dict[str, Tensor]:
    """The momentum buffers by parameter name: what a checkpoint needs of the optimizer."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {
        names[id(parameter)]: state["momentum_buffer"]
        for parameter, state in optimizer.state.items()
        if state.get("momentum_buffer") is not None
    }


def restore_momentum(optimizer: torch.optim.SGD, model: nn.Module, buffers: dict[str, Tensor]) -> None:
    parameters = dict(model.named_parameters())
    for name, buffer in buffers.items():
        parameter = parameters[name]
        optimizer.state[parameter]["momentum_buffer"] = torch.empty_like(parameter).copy_(buffer)
