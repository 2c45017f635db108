"""MobileNetV2 with timm's names."""

from limbeck.checkpoints.renames import HEAD, Table

_FIRST, _OTHER = "conv{stage+2}._first_block", "conv{stage+2}.conv{stage+2}_{index+1}"
_PARTS = (
    ("_expand_conv._conv", "conv_pw"), ("_expand_conv._batch_norm", "bn1"),
    ("_bottleneck_conv._conv", "conv_dw"), ("_bottleneck_conv._batch_norm", "bn2"),
    ("_linear_conv._conv", "conv_pwl"), ("_linear_conv._batch_norm", "bn3"),
)  # fmt: skip

CLAS: Table = {
    "once": (
        ("conv1._conv", "conv_stem"), ("conv1._batch_norm", "bn1"),
        ("conv9._conv", "conv_head"), ("conv9._batch_norm", "bn2"),
    ),
    "first": tuple((f"{_FIRST}.{old}", f"blocks.{{stage}}.0.{new}") for old, new in _PARTS),
    "block": tuple((f"{_OTHER}.{old}", f"blocks.{{stage}}.{{index}}.{new}") for old, new in _PARTS),
    HEAD: (("out", "classifier"), ("fc", "classifier")),
}  # fmt: skip
