"""MobileNetV1 is timm's, with ReLU."""

from limbeck.checkpoints.renames import HEAD, Table

CLAS: Table = {
    "once": (("conv.conv", "conv_stem"), ("conv.bn", "bn1")),
    "block": (
        ("blocks.{flat}.depthwise_conv.conv", "blocks.{stage}.{index}.conv_dw"),
        ("blocks.{flat}.depthwise_conv.bn", "blocks.{stage}.{index}.bn1"),
        ("blocks.{flat}.pointwise_conv.conv", "blocks.{stage}.{index}.conv_pw"),
        ("blocks.{flat}.pointwise_conv.bn", "blocks.{stage}.{index}.bn2"),
    ),
    HEAD: (("fc", "classifier"),),
}

DETECTION: Table = {
    "once": (
        ("conv1._conv", "conv_stem"), ("conv1._batch_norm", "bn1"),
        ("conv6._depthwise_conv._conv", "blocks.4.1.conv_dw"),
        ("conv6._depthwise_conv._batch_norm", "blocks.4.1.bn1"),
        ("conv6._pointwise_conv._conv", "blocks.4.1.conv_pw"),
        ("conv6._pointwise_conv._batch_norm", "blocks.4.1.bn2"),
    ),
    "named": (
        ("conv{name}._depthwise_conv._conv", "blocks.{stage}.{index}.conv_dw"),
        ("conv{name}._depthwise_conv._batch_norm", "blocks.{stage}.{index}.bn1"),
        ("conv{name}._pointwise_conv._conv", "blocks.{stage}.{index}.conv_pw"),
        ("conv{name}._pointwise_conv._batch_norm", "blocks.{stage}.{index}.bn2"),
    ),
    HEAD: (("out", "classifier"), ("fc", "classifier")),
}  # fmt: skip
