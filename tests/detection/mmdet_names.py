"""mmdetection's names of the tensors that a detector here has, as patterns: (theirs, ours), the first that fits."""

import re

_PARTS = {"expand": ("conv_pw", "bn1"), "depthwise": ("conv_dw", "bn2"), "linear": ("conv_pwl", "bn3")}
_PYRAMID = [
    (r"^backbone\.", "backbone.model."),
    (r"^neck\.lateral_convs\.(\d)\.conv", r"pyramid.lateral.\1"),
    (r"^neck\.fpn_convs\.([012])\.conv", r"pyramid.output.\1"),
    (r"^neck\.fpn_convs\.3\.conv", "pyramid.coarser.0"),
    (r"^neck\.fpn_convs\.4\.conv", "pyramid.coarser.1"),
    (r"^bbox_head\.(?:gfl|retina)_cls\.", "class_head."),
]
GFL = [
    *_PYRAMID,
    (r"^bbox_head\.gfl_reg\.", "side_head."),
    *((rf"^bbox_head\.cls_convs\.{n}\.conv", f"class_tower.{3 * n}") for n in range(4)),
    *((rf"^bbox_head\.cls_convs\.{n}\.gn", f"class_tower.{3 * n + 1}") for n in range(4)),
    *((rf"^bbox_head\.reg_convs\.{n}\.conv", f"side_tower.{3 * n}") for n in range(4)),
    *((rf"^bbox_head\.reg_convs\.{n}\.gn", f"side_tower.{3 * n + 1}") for n in range(4)),
]
RETINANET = [
    *_PYRAMID,
    (r"^bbox_head\.retina_reg\.", "box_head."),
    *((rf"^bbox_head\.cls_convs\.{n}\.conv", f"class_tower.{2 * n}") for n in range(4)),
    *((rf"^bbox_head\.reg_convs\.{n}\.conv", f"box_tower.{2 * n}") for n in range(4)),
]
SSD = [
    (r"^neck\.l2_norm\.", "first."),
    (r"^neck\.extra_layers\.(\d)\.(\d)\.conv\.", r"extras.\1.\2.0."),
    (r"^bbox_head\.cls_convs\.(\d)\.0\.", r"class_heads.\1."),
    (r"^bbox_head\.reg_convs\.(\d)\.0\.", r"box_heads.\1."),
]
SSDLITE = [
    (r"^backbone\.conv1\.conv", "backbone.conv_stem"),
    (r"^backbone\.conv1\.bn", "backbone.bn1"),
    (r"^backbone\.conv2\.conv", "backbone.conv_head"),
    (r"^backbone\.conv2\.bn", "backbone.bn2"),
    (r"^backbone\.layer1\.0\.depthwise_conv\.conv", "backbone.blocks.0.0.conv_dw"),
    (r"^backbone\.layer1\.0\.depthwise_conv\.bn", "backbone.blocks.0.0.bn1"),
    (r"^backbone\.layer1\.0\.linear_conv\.conv", "backbone.blocks.0.0.conv_pw"),
    (r"^backbone\.layer1\.0\.linear_conv\.bn", "backbone.blocks.0.0.bn2"),
    *(
        (rf"^backbone\.layer{stage}\.(\d)\.{part}_conv\.{kind}", rf"backbone.blocks.{stage - 1}.\1.{own}")
        for stage in range(2, 8)
        for part, names in _PARTS.items()
        for kind, own in zip(("conv", "bn"), names)
    ),
    (r"^neck\.extra_layers\.(\d)\.0\.conv", r"extras.\1.0.0"),
    (r"^neck\.extra_layers\.(\d)\.0\.bn", r"extras.\1.0.1"),
    (r"^neck\.extra_layers\.(\d)\.1\.depthwise_conv\.conv", r"extras.\1.1.0.0"),
    (r"^neck\.extra_layers\.(\d)\.1\.depthwise_conv\.bn", r"extras.\1.1.0.1"),
    (r"^neck\.extra_layers\.(\d)\.1\.pointwise_conv\.conv", r"extras.\1.1.1.0"),
    (r"^neck\.extra_layers\.(\d)\.1\.pointwise_conv\.bn", r"extras.\1.1.1.1"),
    (r"^bbox_head\.cls_convs\.(\d)\.0\.conv", r"class_heads.\1.0.0"),
    (r"^bbox_head\.cls_convs\.(\d)\.0\.bn", r"class_heads.\1.0.1"),
    (r"^bbox_head\.cls_convs\.(\d)\.1\.", r"class_heads.\1.1."),
    (r"^bbox_head\.reg_convs\.(\d)\.0\.conv", r"box_heads.\1.0.0"),
    (r"^bbox_head\.reg_convs\.(\d)\.0\.bn", r"box_heads.\1.0.1"),
    (r"^bbox_head\.reg_convs\.(\d)\.1\.", r"box_heads.\1.1."),
]


def ours(name: str, table: list[tuple[str, str]]) -> str:
    """
    >>> ours("neck.fpn_convs.4.conv.bias", GFL)
    'pyramid.coarser.1.bias'
    """
    for pattern, replacement in table:
        if re.match(pattern, name):
            return re.sub(pattern, replacement, name)
    return name
