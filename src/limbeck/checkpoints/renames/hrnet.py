"""HRNet and SE-HRNet with timm's names."""

from limbeck.checkpoints.renames import HEAD, TOP, Places, Rows, Table

MODULES = {2: 1, 3: 4, 4: 3}  # of a stage, which has as many branches as its number says


def _block(old: str, new: str, conv: str, norm: str, *squeezes: tuple[str, str]) -> Rows:
    rows = [(f"{old}.conv{n}.{conv}", f"{new}.conv{n}") for n in (1, 2, 3)]
    rows += [(f"{old}.conv{n}.{norm}", f"{new}.bn{n}") for n in (1, 2, 3)]
    rows += [(f"{old}.conv_down.{conv}", f"{new}.downsample.0"), (f"{old}.conv_down.{norm}", f"{new}.downsample.1")]
    return (*rows, *((f"{old}.se.{name}", f"{new}.se.{own}") for name, own in squeezes))


def _conv(old: str, new: str, conv: str, norm: str) -> Rows:
    return (f"{old}.{conv}", f"{new}.0"), (f"{old}.{norm}", f"{new}.1")


_FC = (("fc_squeeze", "fc_squeeze"), ("fc_excitation", "fc_excitation"))
_SE = (("squeeze", "fc_squeeze"), ("excitation", "fc_excitation"))
_STAGE = "st{stage}.stage_st{stage}_{module+1}"
_FUSED = f"{_STAGE}.fuse_func.residual_st{{stage}}_{{module+1}}_layer_{{to+1}}_{{from+1}}"

CLAS: Table = {
    "once": (
        ("conv_layer1_1.conv", "conv1"), ("conv_layer1_1.bn", "bn1"),
        ("conv_layer1_2.conv", "conv2"), ("conv_layer1_2.bn", "bn2"),
        *_conv("conv_tr1_1", "transition1.0", "conv", "bn"),
        *_conv("conv_tr1_2", "transition1.1.0", "conv", "bn"),
        *_conv("conv_tr2", "transition2.2.0", "conv", "bn"),
        *_conv("conv_tr3", "transition3.3.0", "conv", "bn"),
    ),
    "layer": _block("layer1.{index}", "layer1.{index}", "conv", "bn", *_FC),
    "unit": _block(
        "st{stage}.stage_func_list.{module}.basic_block_list.{branch}.{index}",
        "stage{stage}.{module}.branches.{branch}.{index}", "conv", "bn", *_FC,
    ),
    "fuse": _conv(
        "st{stage}.stage_func_list.{module}.fuse_func.residual_func_list.{flat}",
        "stage{stage}.{module}.fuse_layers.{to}.{from}{step}", "conv", "bn",
    ),
    TOP: (
        *(row for n in range(4) for row in _block(
            f"last_cls.func_list.{n}", f"incre_modules.{n}.0", "conv", "bn", *_FC)),
        *(row for n in range(3) for row in _conv(f"cls_head_conv_list.{n}", f"downsamp_modules.{n}", "conv", "bn")),
        *_conv("conv_last", "final_layer", "conv", "bn"),
    ),
    HEAD: (("fc", "classifier"),),
}  # fmt: skip


def _spelt_out(conv: str, norm: str, layer: str) -> Table:
    """PaddleClas 2.0 and PaddleDetection: every sublayer has a name of its own."""
    return {
        "once": (
            (f"conv_layer1_1.{conv}", "conv1"), (f"conv_layer1_1.{norm}", "bn1"),
            (f"conv_layer1_2.{conv}", "conv2"), (f"conv_layer1_2.{norm}", "bn2"),
            *_conv("tr1.transition_tr1_layer_1", "transition1.0", conv, norm),
            *_conv("tr1.transition_tr1_layer_2", "transition1.1.0", conv, norm),
            *_conv("tr2.transition_tr2_layer_3", "transition2.2.0", conv, norm),
            *_conv("tr3.transition_tr3_layer_4", "transition3.3.0", conv, norm),
        ),
        "layer": _block(f"la1.{layer}_layer2_{{index+1}}", "layer1.{index}", conv, norm, *_SE),
        "unit": _block(
            f"{_STAGE}.branches_func.bb_st{{stage}}_{{module+1}}_branch_layer_{{branch+1}}_{{index+1}}",
            "stage{stage}.{module}.branches.{branch}.{index}", conv, norm, *_SE,
        ),
        "fuse": _conv(f"{_FUSED}{{named}}", "stage{stage}.{module}.fuse_layers.{to}.{from}{step}", conv, norm),
        TOP: (
            *(row for n in range(4) for row in _block(
                f"last_cls.conv_cls_head_conv_{n + 1}", f"incre_modules.{n}.0", conv, norm, *_SE)),
            *(row for n in range(3) for row in _conv(f"cls_head_add{n + 1}", f"downsamp_modules.{n}", conv, norm)),
            *_conv("conv_last", "final_layer", conv, norm),
        ),
        HEAD: (("out", "classifier"),),
    }  # fmt: skip


CLAS_2_0 = _spelt_out("_conv", "_batch_norm", "bb")
DETECTION = _spelt_out("conv", "norm", "block")


def places() -> Places:
    """Where blocks and fusing layers stand; the reference counts the latter through."""
    modules = [(stage, module) for stage, count in MODULES.items() for module in range(count)]
    units: list[dict[str, int | str]] = [
        {"stage": stage, "module": module, "branch": branch, "index": index}
        for stage, module in modules
        for branch in range(stage)
        for index in range(4)
    ]
    fuses: list[dict[str, int | str]] = []
    for stage, module in modules:
        steps = [(to, start, step) for to in range(stage) for start in range(stage) for step in _steps(to, start)]
        for flat, (to, start, step) in enumerate(steps):
            named = "" if step is None else f"_{step + 1}"
            inner = "" if step is None else f".{step}"
            fuses.append(
                {"stage": stage, "module": module, "flat": flat, "to": to, "from": start, "step": inner, "named": named}
            )
    return {"layer": tuple({"index": index} for index in range(4)), "unit": tuple(units), "fuse": tuple(fuses)}


def _steps(to: int, start: int) -> list[int | None]:
    """The convolutions from one branch to another: one upwards, one for each halving downwards."""
    return [None] if start > to else list(range(to - start))
