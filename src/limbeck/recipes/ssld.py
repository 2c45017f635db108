"""The paper's own settings (arXiv 2103.05959, section 4.2)."""

from dataclasses import replace

from limbeck.ssld.options import Distill

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
