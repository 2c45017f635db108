"""GFL as mmdetection and the authors of localization distillation train it: without a teacher."""

from dataclasses import replace

from limbeck.detection.train_options import Train

# everything that the references state, so that a change of limbeck's defaults does not change it
_ONE_TIME = Train(
    detector="gfl",
    pretrained=True,
    frozen=2,
    norm_eval=True,
    least_side=32,
    views="flip_resize",
    by_shape=True,
    epochs=12,
    batch=6,
    lr=0.01,
    lr_batch=16,
    schedule="steps",
    milestones=(8 / 12, 11 / 12),
    warmup=500,
    warmup_from=0.001,
    momentum=0.9,
    weight_decay=1e-4,
    decay_norm=True,
)
_TWICE = replace(_ONE_TIME, views="flip_multiscale", epochs=24, milestones=(16 / 24, 22 / 24))


def on_resnet(depth: int, *, twice: bool = False) -> Train:
    """GFL on a ResNet with torchvision's published weights, its stem and first stage and all statistics kept.

    >>> on_resnet(18).backbone
    'resnet18.tv_in1k'
    """
    return replace(_TWICE if twice else _ONE_TIME, backbone=f"resnet{depth}.tv_in1k")


def gfl_r18_fpn_coco_1x() -> Train:
    """GFL on ResNet-18: 12 epochs, 6 images a step, a tenth after 8 and 11."""
    return replace(on_resnet(18), recipe="gfl_r18_fpn_coco_1x")


def gfl_r34_fpn_coco_1x() -> Train:
    """GFL on ResNet-34: 12 epochs, 6 images a step, a tenth after 8 and 11."""
    return replace(on_resnet(34), recipe="gfl_r34_fpn_coco_1x")


def gfl_r50_fpn_coco_1x() -> Train:
    """GFL on ResNet-50: 12 epochs, 6 images a step, a tenth after 8 and 11."""
    return replace(on_resnet(50), recipe="gfl_r50_fpn_coco_1x")


def gfl_r101_fpn_coco_2x() -> Train:
    """GFL on ResNet-101, photos at several sizes: 24 epochs, 6 images a step, a tenth after 16 and 22."""
    return replace(on_resnet(101, twice=True), recipe="gfl_r101_fpn_coco_2x")


def gfl_r18_fpn_coco_1x_b16() -> Train:
    """As without _b16, 16 images a step, as mmdetection's configurations have it."""
    return replace(on_resnet(18), recipe="gfl_r18_fpn_coco_1x_b16", batch=16)


def gfl_r34_fpn_coco_1x_b16() -> Train:
    """As without _b16, 16 images a step, as mmdetection's configurations have it."""
    return replace(on_resnet(34), recipe="gfl_r34_fpn_coco_1x_b16", batch=16)


def gfl_r50_fpn_coco_1x_b16() -> Train:
    """As without _b16, 16 images a step: mmdetection's gfl_r50_fpn_1x_coco."""
    return replace(on_resnet(50), recipe="gfl_r50_fpn_coco_1x_b16", batch=16)


def gfl_r101_fpn_coco_2x_b16() -> Train:
    """As without _b16, 16 images a step: mmdetection's gfl_r101_fpn_ms-2x_coco, the teacher of three rows."""
    return replace(on_resnet(101, twice=True), recipe="gfl_r101_fpn_coco_2x_b16", batch=16)


def gfl_r101_dcn_fpn_coco_2x_b16() -> Train:
    """GFL on ResNet-101 with deformable stages: mmdetection's teacher of the fourth row, 16 images a step."""
    return replace(on_resnet(101, twice=True), recipe="gfl_r101_dcn_fpn_coco_2x_b16", detector="gfl_dcn", batch=16)


def gfl() -> Train:
    """GFL within 320 x 533 pixels on a backbone of your choice, a distilled one say; 8 images a step, a cosine.

    >>> gfl().backbone
    'resnet18'
    """
    return replace(
        Train(),
        recipe="gfl",
        detector="gfl",
        backbone="resnet18",
        size=320,
        by_shape=True,
        epochs=50,
        batch=8,
        lr=0.01,
        lr_batch=8,
        weight_decay=1e-4,
        clip=10.0,
        warmup=200,
    )
