"""Localization distillation: the rows of its table, and the ones that add its valuable region (arXiv 2102.12252).

Two readings of each: 6 images a step, as the table says, three on each of two devices; and 16, as mmdetection's
configurations have it, two on each of eight. The teacher's sums count one device's images, so the two differ in more
than their learning rate.
"""

from dataclasses import replace

from limbeck.detection.train_options import Train
from limbeck.recipes.gfl import gfl, on_resnet

_EIGHT, _TWO = {"batch": 16, "ld_images": 2}, {"batch": 6, "ld_images": 3}


def _row(name: str, depth: int, *, twice: bool = False, around: bool = False) -> Train:
    """The edges at the places that own a box; with `around` also those around, and the classes."""
    reading = _EIGHT if name.endswith("_b16") else _TWO
    further = {"ld_around": 0.25, "ld_classes": 10.0} if around else {}
    terms = {"ld_main": 0.25, "ld_temperature": 10.0, "ld_class_temperature": 2.0, "ld_region": "iof"} | further
    return replace(on_resnet(depth, twice=twice), recipe=name, least_weight=0.0, **reading, **terms)  # type: ignore[arg-type]


def ld_r18_gflv1_r101_fpn_coco_1x() -> Train:
    """GFL on ResNet-18 learns from one on ResNet-101: the edges of boxes, at the places that own them."""
    return _row("ld_r18_gflv1_r101_fpn_coco_1x", 18)


def ld_r34_gflv1_r101_fpn_coco_1x() -> Train:
    """GFL on ResNet-34 learns from one on ResNet-101: the edges of boxes, at the places that own them."""
    return _row("ld_r34_gflv1_r101_fpn_coco_1x", 34)


def ld_r50_gflv1_r101_fpn_coco_1x() -> Train:
    """GFL on ResNet-50 learns from one on ResNet-101: the edges of boxes, at the places that own them."""
    return _row("ld_r50_gflv1_r101_fpn_coco_1x", 50)


def ld_r101_gflv1_r101dcn_fpn_coco_2x() -> Train:
    """GFL on ResNet-101 learns from one with deformable stages: the edges of boxes, at the places that own them."""
    return _row("ld_r101_gflv1_r101dcn_fpn_coco_2x", 101, twice=True)


def ld_r18_gflv1_r101_fpn_coco_1x_b16() -> Train:
    """As without _b16, 16 images a step: mmdetection's ld_r18-gflv1-r101_fpn_1x_coco."""
    return _row("ld_r18_gflv1_r101_fpn_coco_1x_b16", 18)


def ld_r34_gflv1_r101_fpn_coco_1x_b16() -> Train:
    """As without _b16, 16 images a step: mmdetection's ld_r34-gflv1-r101_fpn_1x_coco."""
    return _row("ld_r34_gflv1_r101_fpn_coco_1x_b16", 34)


def ld_r50_gflv1_r101_fpn_coco_1x_b16() -> Train:
    """As without _b16, 16 images a step: mmdetection's ld_r50-gflv1-r101_fpn_1x_coco."""
    return _row("ld_r50_gflv1_r101_fpn_coco_1x_b16", 50)


def ld_r101_gflv1_r101dcn_fpn_coco_2x_b16() -> Train:
    """As without _b16, 16 images a step: mmdetection's ld_r101-gflv1-r101-dcn_fpn_2x_coco."""
    return _row("ld_r101_gflv1_r101dcn_fpn_coco_2x_b16", 101, twice=True)


def ld_r18_gflv1_r101_fpn_coco_1x_vlr() -> Train:
    """GFL on ResNet-18 learns the classes, too, and the edges around boxes: what the paper's abstract reports."""
    return _row("ld_r18_gflv1_r101_fpn_coco_1x_vlr", 18, around=True)


def ld_r34_gflv1_r101_fpn_coco_1x_vlr() -> Train:
    """GFL on ResNet-34 learns the classes, too, and the edges around boxes: what the paper's abstract reports."""
    return _row("ld_r34_gflv1_r101_fpn_coco_1x_vlr", 34, around=True)


def ld_r50_gflv1_r101_fpn_coco_1x_vlr() -> Train:
    """GFL on ResNet-50 learns the classes, too, and the edges around boxes: 42.1 in the paper's abstract."""
    return _row("ld_r50_gflv1_r101_fpn_coco_1x_vlr", 50, around=True)


def ld_r101_gflv1_r101dcn_fpn_coco_2x_vlr() -> Train:
    """GFL on ResNet-101 learns the classes, too, and the edges around boxes."""
    return _row("ld_r101_gflv1_r101dcn_fpn_coco_2x_vlr", 101, twice=True, around=True)


def ld_r18_gflv1_r101_fpn_coco_1x_vlr_b16() -> Train:
    """As without _b16, 16 images a step."""
    return _row("ld_r18_gflv1_r101_fpn_coco_1x_vlr_b16", 18, around=True)


def ld_r34_gflv1_r101_fpn_coco_1x_vlr_b16() -> Train:
    """As without _b16, 16 images a step."""
    return _row("ld_r34_gflv1_r101_fpn_coco_1x_vlr_b16", 34, around=True)


def ld_r50_gflv1_r101_fpn_coco_1x_vlr_b16() -> Train:
    """As without _b16, 16 images a step."""
    return _row("ld_r50_gflv1_r101_fpn_coco_1x_vlr_b16", 50, around=True)


def ld_r101_gflv1_r101dcn_fpn_coco_2x_vlr_b16() -> Train:
    """As without _b16, 16 images a step."""
    return _row("ld_r101_gflv1_r101dcn_fpn_coco_2x_vlr_b16", 101, twice=True, around=True)


def ld() -> Train:
    """GFL within 320 x 533 pixels learns from a teacher as well: the edges of boxes, at the places that own them."""
    return replace(gfl(), recipe="ld", least_weight=0.0, ld_main=0.25, ld_images=3)
