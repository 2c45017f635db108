"""MobileNetV3 with timm's names."""

from limbeck.checkpoints.renames import HEAD, TOP, Table

_BLOCK = (
    ("expand_conv.conv", "conv_pw"), ("expand_conv.bn", "bn1"),
    ("bottleneck_conv.conv", "conv_dw"), ("bottleneck_conv.bn", "bn2"),
    ("mid_se.conv1", "se.conv_reduce"), ("mid_se.conv2", "se.conv_expand"),
    ("linear_conv.conv", "conv_pwl"), ("linear_conv.bn", "bn3"),
)  # fmt: skip
_TOP = (
    ("last_second_conv.conv", "blocks.{stages}.0.conv"),
    ("last_second_conv.bn", "blocks.{stages}.0.bn1"),
    ("last_conv", "conv_head"),
)

CLAS: Table = {
    "once": (("conv.conv", "conv_stem"), ("conv.bn", "bn1")),
    "block": tuple((f"blocks.{{flat}}.{old}", f"blocks.{{stage}}.{{index}}.{new}") for old, new in _BLOCK),
    TOP: _TOP,
    HEAD: (("fc", "classifier"),),
}

DETECTION: Table = {
    "once": (("conv1.conv", "conv_stem"), ("conv1.bn", "bn1")),
    "block": tuple((f"conv{{flat+2}}.{old}", f"blocks.{{stage}}.{{index}}.{new}") for old, new in _BLOCK),
    TOP: _TOP,
    HEAD: (("out", "classifier"), ("fc", "classifier")),
}
