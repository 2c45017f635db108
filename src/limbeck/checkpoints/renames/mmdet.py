"""mmdetection's names of the tensors of its detectors, and limbeck's: patterns (theirs, ours), the first that fits."""

import re
from collections.abc import Iterable, Sequence

Patterns = Sequence[tuple[str, str]]

_PARTS = {"expand": ("conv_pw", "bn1"), "depthwise": ("conv_dw", "bn2"), "linear": ("conv_pwl", "bn3")}
_PYRAMID = (
    (r"^backbone\.", "backbone.model."),
    (r"^neck\.lateral_convs\.(\d)\.conv", r"pyramid.lateral.\1"),
    (r"^neck\.fpn_convs\.([012])\.conv", r"pyramid.output.\1"),
    (r"^neck\.fpn_convs\.3\.conv", "pyramid.coarser.0"),
    (r"^neck\.fpn_convs\.4\.conv", "pyramid.coarser.1"),
)
GFL: Patterns = (
    *_PYRAMID,
    (r"^bbox_head\.gfl_cls\.", "class_head."),
    (r"^bbox_head\.gfl_reg\.", "side_head."),
    *((rf"^bbox_head\.cls_convs\.{n}\.conv", f"class_tower.{3 * n}") for n in range(4)),
    *((rf"^bbox_head\.cls_convs\.{n}\.gn", f"class_tower.{3 * n + 1}") for n in range(4)),
    *((rf"^bbox_head\.reg_convs\.{n}\.conv", f"side_tower.{3 * n}") for n in range(4)),
    *((rf"^bbox_head\.reg_convs\.{n}\.gn", f"side_tower.{3 * n + 1}") for n in range(4)),
)
RETINANET: Patterns = (
    *_PYRAMID,
    (r"^bbox_head\.retina_cls\.", "class_head."),
    (r"^bbox_head\.retina_reg\.", "box_head."),
    *((rf"^bbox_head\.cls_convs\.{n}\.conv", f"class_tower.{2 * n}") for n in range(4)),
    *((rf"^bbox_head\.reg_convs\.{n}\.conv", f"box_tower.{2 * n}") for n in range(4)),
)
SSD: Patterns = (
    (r"^neck\.l2_norm\.", "first."),
    (r"^neck\.extra_layers\.(\d)\.(\d)\.conv\.", r"extras.\1.\2.0."),
    (r"^bbox_head\.cls_convs\.(\d)\.0\.", r"class_heads.\1."),
    (r"^bbox_head\.reg_convs\.(\d)\.0\.", r"box_heads.\1."),
)
MOBILENET_V2: Patterns = (
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
)
SSDLITE: Patterns = (
    *MOBILENET_V2,
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
)
SCALES = re.compile(r"^bbox_head\.scales\.(\d)\.scale$")  # one a level there, one tensor here
CONSTANT = "bbox_head.integral.project"  # 0 to 16, of which limbeck keeps no copy

_GROUP = re.compile(r"\([^)]*\)")
_OLD_OFFSETS = re.compile(r"^(backbone\.layer\d\.\d+)\.conv2_offset\.")
_OLD_EXTRA = re.compile(r"^backbone\.extra\.(\d+)\.(weight|bias)$")
_OLD_NORM = re.compile(r"^(?:backbone|neck)\.l2_norm\.weight$")
_OLD_HEAD = re.compile(r"^(bbox_head\.(?:cls|reg)_convs\.\d+)\.(weight|bias)$")
_SSD_HEAD = re.compile(r"^bbox_head\.cls_convs\.0(\.0)?\.weight$")


def renamed(name: str, patterns: Patterns) -> str:
    """
    >>> renamed("neck.fpn_convs.4.conv.bias", GFL)
    'pyramid.coarser.1.bias'
    """
    for pattern, replacement in patterns:
        if re.match(pattern, name):
            return re.sub(pattern, replacement, name)
    return name


def original(name: str, patterns: Patterns) -> str:
    """The way back of `renamed`.

    >>> original("pyramid.lateral.2.weight", GFL), original("class_tower.10.bias", GFL)
    ('neck.lateral_convs.2.conv.weight', 'bbox_head.cls_convs.3.gn.bias')
    """
    for pattern, replacement in patterns:
        whole = "" if replacement.endswith(".") else r"(?=\.|$)"
        own = re.sub(r"\\\\\d", r"(\\d)", re.escape(replacement)) + whole
        if re.match(own, name):
            first, *others = _GROUP.split(pattern.removeprefix("^").replace(r"\.", "."))
            theirs = first + "".join(f"\\{place}{part}" for place, part in enumerate(others, 1))
            return re.sub(own, theirs, name, count=1)
    return name


def modern(names: Iterable[str]) -> dict[str, str]:
    """Names as mmdetection 3 has them: of SSD before 2.14, and of old deformable convolutions.

    >>> modern(["backbone.extra.3.bias", "bbox_head.cls_convs.0.weight"])["backbone.extra.3.bias"]
    'neck.extra_layers.1.1.conv.bias'
    """
    names = list(names)
    ssd = is_ssd(names)
    return {name: _modern_ssd(name) if ssd else _OLD_OFFSETS.sub(r"\1.conv2.conv_offset.", name) for name in names}


def is_ssd(names: Iterable[str]) -> bool:
    """Whether these are of an SSD, in old names or new.

    >>> is_ssd(["bbox_head.cls_convs.0.weight"]), is_ssd(["bbox_head.cls_convs.0.conv.weight"])
    (True, False)
    """
    return any(_SSD_HEAD.match(name) for name in names)


def _modern_ssd(name: str) -> str:
    if extra := _OLD_EXTRA.match(name):
        level, layer = divmod(int(extra[1]), 2)
        return f"neck.extra_layers.{level}.{layer}.conv.{extra[2]}"
    if _OLD_NORM.match(name):
        return "neck.l2_norm.weight"
    return _OLD_HEAD.sub(r"\1.0.\2", name)
