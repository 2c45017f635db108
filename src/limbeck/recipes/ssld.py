"""The paper's own settings (arXiv 2103.05959, section 4.2), and a function for each row of its Tables 1 and 2.

Where the text is silent its authors' code speaks: stage two's learning rate (a hundredth), decay of the norms too (as
equation 3 has it; in MobileNetV3 not). What that code does differently is in ssld_released.py.
"""

from dataclasses import replace

from limbeck.ssld.options import Distill

LARGE_TEACHER = "resnext101_32x16d.fb_wsl_ig1b_ft_in1k"  # 84.8 % in the paper, 84.2 % in its authors' documents
MOBILE_TEACHER = "resnet50_vd"  # distilled itself: 83.0 %

# everything that the paper states, so that a change of limbeck's defaults does not change it
_PUBLISHED = Distill(
    loss="js",
    epochs=360,
    batch=256,
    lr=0.1,
    warmup_epochs=5.0,
    momentum=0.9,
    crop_scale=(0.08, 1.0),
    crop_ratio=(3 / 4, 4 / 3),
    flip=0.5,
)


def ssld_small() -> Distill:
    """Mobile students: SGD .9, 256 images a step, .1 falling by a cosine over 360 epochs, decay 1e-5.

    >>> ssld_small().weight_decay
    1e-05
    """
    return replace(_PUBLISHED, recipe="ssld_small", weight_decay=1e-5, colour="none")


def ssld_large() -> Distill:
    """Large students: the same, with decay 4e-5 and AutoAugment.

    >>> ssld_large().colour
    'autoaugment'
    """
    return replace(_PUBLISHED, recipe="ssld_large", weight_decay=4e-5, colour="autoaugment")


def small(student: str, *, decay_norm: bool) -> Distill:
    """A mobile student of Table 2, taught by ResNet50-D."""
    return replace(
        ssld_small(), recipe=f"ssld/{student}", student=student, teacher=MOBILE_TEACHER, decay_norm=decay_norm
    )


def large(student: str) -> Distill:
    """A large student of Table 2, taught by ResNeXt101-32x16d."""
    return replace(ssld_large(), recipe=f"ssld/{student}", student=student, teacher=LARGE_TEACHER, decay_norm=True)


def stage_two(first: Distill) -> Distill:
    """30 epochs more on the labelled photos alone, their labels unused, at a hundredth of the rate; --student RUN.

    "Finetune the student with only labeled data", says the paper; its authors' code keeps the teacher's soft labels.
    With true labels it is `limbeck finetune RUN --images LABELLED --epochs 30 --lr 0.001`.
    """
    return replace(first, recipe=f"{first.recipe}-stage2", student="", epochs=30, lr=first.lr / 100)


def mobilenet_v1() -> Distill:
    """MobileNetV1: Table 2."""
    return small("mobilenet_v1", decay_norm=True)


def mobilenet_v2() -> Distill:
    """MobileNetV2: Table 2."""
    return small("mobilenet_v2", decay_norm=True)


def mobilenet_v3_small() -> Distill:
    """MobileNetV3-small: Table 2."""
    return small("mobilenet_v3_small", decay_norm=False)


def mobilenet_v3_large() -> Distill:
    """MobileNetV3-large: Table 2 (the student of Tables 3 to 6)."""
    return small("mobilenet_v3_large", decay_norm=False)


def hrnet_w18_c() -> Distill:
    """HRNet-18W-C: Table 2."""
    return large("hrnet_w18_c")


def se_hrnet_w64_c() -> Distill:
    """SE-HRNet-64W-C: Table 2."""
    return large("se_hrnet_w64_c")


def resnet50_vd() -> Distill:
    """ResNet50-D: Table 2, and Table 1's "without finetune"."""
    return large("resnet50_vd")


def resnet101_vd() -> Distill:
    """ResNet101-D: Table 2."""
    return large("resnet101_vd")


def resnet200_vd() -> Distill:
    """ResNet200-D: Table 2."""
    return large("resnet200_vd")


def mobilenet_v1_stage2() -> Distill:
    """MobileNetV1, stage two."""
    return stage_two(mobilenet_v1())


def mobilenet_v2_stage2() -> Distill:
    """MobileNetV2, stage two."""
    return stage_two(mobilenet_v2())


def mobilenet_v3_small_stage2() -> Distill:
    """MobileNetV3-small, stage two."""
    return stage_two(mobilenet_v3_small())


def mobilenet_v3_large_stage2() -> Distill:
    """MobileNetV3-large, stage two."""
    return stage_two(mobilenet_v3_large())


def hrnet_w18_c_stage2() -> Distill:
    """HRNet-18W-C, stage two."""
    return stage_two(hrnet_w18_c())


def se_hrnet_w64_c_stage2() -> Distill:
    """SE-HRNet-64W-C, stage two."""
    return stage_two(se_hrnet_w64_c())


def resnet50_vd_stage2() -> Distill:
    """ResNet50-D, stage two, Table 1's "with finetune"."""
    return stage_two(resnet50_vd())


def resnet101_vd_stage2() -> Distill:
    """ResNet101-D, stage two."""
    return stage_two(resnet101_vd())


def resnet200_vd_stage2() -> Distill:
    """ResNet200-D, stage two."""
    return stage_two(resnet200_vd())


def resnet50_vd_fix() -> Distill:
    """ResNet50-D + ResFix, Table 1: the classifier alone learns from labels, at the test's 320 pixels and its views.

    Neither epochs nor rate are published: those of stage two stand here. --student RUN of stage two.
    """
    return replace(
        resnet50_vd_stage2(),
        recipe="ssld/resnet50_vd-fix",
        teacher="",
        loss="cross-entropy",
        tune="head",
        student_size=320,
        test_view=True,
        colour="none",
    )
