"""SSD300, SSD512 and SSDLite with the references' own numbers, and SSDLite on any backbone."""

from dataclasses import replace

from limbeck.detection.train_options import Train

PUBLISHED_VGG16 = "torchvision/vgg16.IMAGENET1K_FEATURES"  # the Caffe weights that the reference begins with

# everything that the reference states, so that a change of limbeck's defaults does not change it
_SSD = Train(
    views="ssd",
    repeats=5,
    epochs=24,
    batch=64,
    lr=2e-3,
    lr_batch=64,
    schedule="steps",
    milestones=(16 / 24, 22 / 24),
    warmup=500,
    warmup_from=0.001,
    momentum=0.9,
    weight_decay=5e-4,
    decay_norm=True,
)
_LITE = replace(
    _SSD,
    epochs=120,
    batch=192,
    lr=0.015,
    lr_batch=192,
    schedule="cosine",
    milestones=(),
    stairs=True,
    weight_decay=4e-5,
    evaluate_every=5,
)


def ssd300_coco() -> Train:
    """SSD at 300 x 300 on VGG16: 24 epochs of five views each, 64 images a step, .002, a tenth after 16 and 22.

    >>> ssd300_coco().lr
    0.002
    """
    return replace(_SSD, recipe="ssd300_coco", detector="ssd300", size=300, backbone=PUBLISHED_VGG16, pretrained=True)


def ssd512_coco() -> Train:
    """SSD at 512 x 512 on VGG16: the same schedule."""
    return replace(_SSD, recipe="ssd512_coco", detector="ssd512", size=512, backbone=PUBLISHED_VGG16, pretrained=True)


def ssdlite_mobilenetv2_scratch_600e_coco() -> Train:
    """SSDLite at 320 x 320 on MobileNetV2, from scratch: 120 epochs of five views each, 192 images a step."""
    name = "ssdlite_mobilenetv2_scratch_600e_coco"
    return replace(_LITE, recipe=name, detector="ssdlite_mobilenetv2", size=320)


def ssdlite() -> Train:
    """SSDLite at 320 x 320 on a backbone of your choice, a distilled one for instance; 16 images a step, a cosine.

    >>> ssdlite().backbone
    'mobilenet_v3_large'
    """
    return replace(
        Train(),
        recipe="ssdlite",
        detector="ssdlite",
        backbone="mobilenet_v3_large",
        epochs=100,
        batch=16,
        lr=0.03,
        lr_batch=16,
        clip=10.0,
        warmup=100,
    )
