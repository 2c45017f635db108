"""The optimizer of a plan."""

import torch
from torch import Tensor, nn

from limbeck.training.plan import Plan


def sgd(model: nn.Module, plan: Plan) -> torch.optim.SGD:
    """SGD with momentum; norms and biases are decayed only when the plan says so.

    >>> len(sgd(nn.Linear(2, 2), Plan(steps=1, steps_per_epoch=1, batch=1, lr=0.1)).param_groups)
    2
    """
    decayed: list[Tensor] = []
    free: list[Tensor] = []
    for parameter in model.parameters():
        if parameter.requires_grad:
            (decayed if plan.decay_norm or parameter.ndim > 1 else free).append(parameter)
    groups = [{"params": decayed, "weight_decay": plan.weight_decay}, {"params": free, "weight_decay": 0.0}]
    fused = all(parameter.device.type in ("cpu", "cuda", "mps") for parameter in model.parameters())
    return torch.optim.SGD([group for group in groups if group["params"]], plan.lr, plan.momentum, fused=fused)


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
