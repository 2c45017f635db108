"""How fast each part of a classifier learns: layer-wise learning rates, and what stays frozen."""

from collections.abc import Sequence

from torch import nn

from limbeck.errors import OptionError, as_typed, counted

# the reference's, for backbones that were distilled
RESIDUAL = (0.1, 0.1, 0.2, 0.2, 0.3)  # the stem and four stages
RESIDUAL_DETECTION = (0.05, 0.05, 0.05, 0.1, 0.15)  # the same, under a detector
MOBILE = (0.25, 0.25, 0.5, 0.5, 0.75)  # three blocks each, of the fifteen of a MobileNetV3-large

Part = tuple[str, list[str]]  # what it is called, and the names of its parameters

_STAGES = ("layer1", "layer2", "layer3", "layer4")
_TRUNKS = ("blocks", "stages", "features", "layers")
_NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


def parameter_rates(
    model: nn.Module, head: Sequence[str], tune: str = "all", layer_rates: Sequence[float] = ()
) -> dict[str, float]:
    """Multipliers of the learning rate by parameter name, where they are not 1; 0 freezes.

    >>> model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Linear(2, 2))
    >>> parameter_rates(model, ["2.weight", "2.bias"], "norms")
    {'0.weight': 0.0, '0.bias': 0.0}
    """
    rates: dict[str, float] = {}
    for (_, names), rate in zip(parts := parts_of(model, head), spread(layer_rates, len(parts)), strict=True):
        rates |= dict.fromkeys(names, float(rate))
    if tune != "all":
        kept = norm_parameters(model) if tune == "norms" else set()
        rates |= {name: 0.0 for name in rates if name not in kept}
    return {name: rate for name, rate in rates.items() if rate != 1}


def reference_rates(model: nn.Module, head: Sequence[str], residual: tuple[float, ...] = RESIDUAL) -> tuple[float, ...]:
    """The reference's rates for a distilled backbone of this kind; none where it has none.

    >>> from limbeck.classification.models import build
    >>> reference_rates(build("test_resnet"), ["fc.weight", "fc.bias"]), reference_rates(build("test_vit"), [])
    ((0.1, 0.1, 0.2, 0.2, 0.3), ())
    """
    if all(hasattr(model, stage) for stage in _STAGES):
        return residual
    inverted = any(hasattr(module, "conv_dw") for module in model.modules()) and hasattr(model, "conv_stem")
    return MOBILE if inverted and len(parts_of(model, head)) >= len(MOBILE) else ()


def tell_rates(model: nn.Module, head: Sequence[str], layer_rates: Sequence[float], rest: str = "classifier") -> str:
    """The multipliers in one line."""
    parts = parts_of(model, head)
    told: list[tuple[str, str, float]] = []
    for (name, _), rate in zip(parts, spread(layer_rates, len(parts)), strict=True):
        if told and told[-1][2] == rate:
            told[-1] = told[-1][0], name, rate
        else:
            told.append((name, name, rate))
    spans = [f"{first if first == last else f'{first} to {last}'} x {rate:g}" for first, last, rate in told]
    return f"learning rates: {', '.join(spans)}, {rest} x 1"


def spread(rates: Sequence[float], parts: int) -> list[float]:
    """A rate for each part, where there are fewer rates than parts each for as many.

    >>> spread((0.25, 0.5), 4), spread((), 2)
    ([0.25, 0.25, 0.5, 0.5], [1.0, 1.0])
    """
    if len(rates) > parts:
        raise OptionError(
            f"--layer-rates has {counted(len(rates), 'rate')}, and this backbone {counted(parts, 'part')}",
            expected=f"{parts} rates at most, that of the first part first",
            hint=f"--layer-rates {as_typed(tuple(rates[:parts]))}",
        )
    rates = rates or (1.0,)
    return [float(rates[index * len(rates) // parts]) for index in range(parts)]


def parts_of(model: nn.Module, head: Sequence[str]) -> list[Part]:
    """The backbone's parts in the order of computation; what comes before and after them goes with the nearest.

    A ResNet has five: its stem and its stages. Others have as many as blocks.
    """
    names = [name for name, _ in model.named_parameters() if name not in set(head)]
    marks = _marks(model)
    parts: list[Part] = []
    for name in names:
        mark = next((mark for mark in marks if name.startswith(f"{mark}.")), "")
        if mark and (not parts or parts[-1][0] != mark):
            parts.append((mark, []))
        elif not parts:
            parts.append(("stem", []))
        parts[-1][1].append(name)
    if len(parts) > 1 and parts[0][0] == "stem" and marks != [*_STAGES]:
        (_, stem), (first, own), *others = parts
        parts = [(first, stem + own), *others]
    return parts


def _marks(model: nn.Module) -> list[str]:
    """The modules that parts are counted by."""
    if all(hasattr(model, stage) for stage in _STAGES):
        return [*_STAGES]
    for trunk in _TRUNKS:
        module = getattr(model, trunk, None)
        if isinstance(module, nn.Sequential | nn.ModuleList):
            return [f"{trunk}.{mark}" for mark in _blocks(module)]
    return [name for name, child in model.named_children() if any(True for _ in child.parameters())]


def _blocks(trunk: nn.Module) -> list[str]:
    marks = []
    for stage, child in trunk.named_children():
        inner = [stage]
        if type(child) is nn.Sequential:
            inner = [f"{stage}.{name}" for name, block in child.named_children() if _is_block(block)]
        marks += inner
    return marks


def _is_block(module: nn.Module) -> bool:
    """A stage that is one convolution, as the last of a MobileNetV3, goes with the block before it."""
    return not {name for name, _ in module.named_children()} <= {"conv", "bn1", "aa", "drop_path"}


def norm_parameters(model: nn.Module) -> set[str]:
    """The parameters of all norm layers."""
    norms = {name for name, module in model.named_modules() if isinstance(module, _NORMS)}
    return {f"{norm}.{name}" for norm in norms for name, _ in model.get_submodule(norm).named_parameters()}
