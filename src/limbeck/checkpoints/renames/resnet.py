"""ResNet-vd is timm's ResNet-D, the detectors' ResNet-b is timm's ResNet, and the weakly taught ResNeXt timm's too."""

from limbeck.checkpoints.renames import HEAD, Table

CLAS: Table = {
    "once": (
        ("stem.0.conv", "conv1.0"), ("stem.0.bn", "conv1.1"),
        ("stem.1.conv", "conv1.3"), ("stem.1.bn", "conv1.4"),
        ("stem.2.conv", "conv1.6"), ("stem.2.bn", "bn1"),
    ),
    "block": (
        ("blocks.{flat}.conv0.conv", "layer{stage+1}.{index}.conv1"),
        ("blocks.{flat}.conv0.bn", "layer{stage+1}.{index}.bn1"),
        ("blocks.{flat}.conv1.conv", "layer{stage+1}.{index}.conv2"),
        ("blocks.{flat}.conv1.bn", "layer{stage+1}.{index}.bn2"),
        ("blocks.{flat}.conv2.conv", "layer{stage+1}.{index}.conv3"),
        ("blocks.{flat}.conv2.bn", "layer{stage+1}.{index}.bn3"),
        ("blocks.{flat}.short.conv", "layer{stage+1}.{index}.downsample.1"),
        ("blocks.{flat}.short.bn", "layer{stage+1}.{index}.downsample.2"),
    ),
    HEAD: (("fc", "fc"),),
}  # fmt: skip

CLAS_2_0: Table = {
    "once": (
        ("conv1_1._conv", "conv1.0"), ("conv1_1._batch_norm", "conv1.1"),
        ("conv1_2._conv", "conv1.3"), ("conv1_2._batch_norm", "conv1.4"),
        ("conv1_3._conv", "conv1.6"), ("conv1_3._batch_norm", "bn1"),
    ),
    "block": (
        ("bb_{stage}_{index}.conv0._conv", "layer{stage+1}.{index}.conv1"),
        ("bb_{stage}_{index}.conv0._batch_norm", "layer{stage+1}.{index}.bn1"),
        ("bb_{stage}_{index}.conv1._conv", "layer{stage+1}.{index}.conv2"),
        ("bb_{stage}_{index}.conv1._batch_norm", "layer{stage+1}.{index}.bn2"),
        ("bb_{stage}_{index}.conv2._conv", "layer{stage+1}.{index}.conv3"),
        ("bb_{stage}_{index}.conv2._batch_norm", "layer{stage+1}.{index}.bn3"),
        ("bb_{stage}_{index}.short._conv", "layer{stage+1}.{index}.downsample.1"),
        ("bb_{stage}_{index}.short._batch_norm", "layer{stage+1}.{index}.downsample.2"),
    ),
    HEAD: (("out", "fc"),),
}  # fmt: skip

_DETECTION_BLOCK = (
    ("res{stage+2}.res{stage+2}{letter}.branch2a.conv", "layer{stage+1}.{index}.conv1"),
    ("res{stage+2}.res{stage+2}{letter}.branch2a.norm", "layer{stage+1}.{index}.bn1"),
    ("res{stage+2}.res{stage+2}{letter}.branch2b.conv", "layer{stage+1}.{index}.conv2"),
    ("res{stage+2}.res{stage+2}{letter}.branch2b.norm", "layer{stage+1}.{index}.bn2"),
    ("res{stage+2}.res{stage+2}{letter}.branch2c.conv", "layer{stage+1}.{index}.conv3"),
    ("res{stage+2}.res{stage+2}{letter}.branch2c.norm", "layer{stage+1}.{index}.bn3"),
)
DETECTION: Table = {
    "once": (
        ("conv1.conv1_1.conv", "conv1.0"), ("conv1.conv1_1.norm", "conv1.1"),
        ("conv1.conv1_2.conv", "conv1.3"), ("conv1.conv1_2.norm", "conv1.4"),
        ("conv1.conv1_3.conv", "conv1.6"), ("conv1.conv1_3.norm", "bn1"),
        ("res2.res2a.short.conv", "layer1.0.downsample.1"), ("res2.res2a.short.norm", "layer1.0.downsample.2"),
    ),
    "block": (
        *_DETECTION_BLOCK,
        ("res{stage+2}.res{stage+2}{letter}.short.conv.conv", "layer{stage+1}.{index}.downsample.1"),
        ("res{stage+2}.res{stage+2}{letter}.short.conv.norm", "layer{stage+1}.{index}.downsample.2"),
    ),
    HEAD: (("fc", "fc"), ("out", "fc")),
}  # fmt: skip

DETECTION_B: Table = {
    "once": (("conv1.conv1.conv", "conv1"), ("conv1.conv1.norm", "bn1")),
    "block": (
        *_DETECTION_BLOCK,
        ("res{stage+2}.res{stage+2}{letter}.short.conv", "layer{stage+1}.{index}.downsample.0"),
        ("res{stage+2}.res{stage+2}{letter}.short.norm", "layer{stage+1}.{index}.downsample.1"),
    ),
    HEAD: (("fc", "fc"), ("out", "fc")),
}

WSL: Table = {
    "once": (("_conv_stem._conv", "conv1"), ("_conv_stem._bn", "bn1")),
    "block": (
        ("_conv{stage+1}_{index}._conv0._conv", "layer{stage+1}.{index}.conv1"),
        ("_conv{stage+1}_{index}._conv0._bn", "layer{stage+1}.{index}.bn1"),
        ("_conv{stage+1}_{index}._conv1._conv", "layer{stage+1}.{index}.conv2"),
        ("_conv{stage+1}_{index}._conv1._bn", "layer{stage+1}.{index}.bn2"),
        ("_conv{stage+1}_{index}._conv2._conv", "layer{stage+1}.{index}.conv3"),
        ("_conv{stage+1}_{index}._conv2._bn", "layer{stage+1}.{index}.bn3"),
        ("_conv{stage+1}_{index}._short._conv._conv", "layer{stage+1}.{index}.downsample.0"),
        ("_conv{stage+1}_{index}._short._conv._bn", "layer{stage+1}.{index}.downsample.1"),
    ),
    HEAD: (("_out", "fc"),),
}
