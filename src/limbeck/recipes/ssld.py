"""The paper's own settings (arXiv 2103.05959, section 4.2)."""

from limbeck.ssld.options import Distill


def ssld_small() -> Distill:
    """Mobile students: SGD .9, 256 images a step, .1 falling by a cosine over 360 epochs, decay 1e-5.

    >>> ssld_small().weight_decay
    1e-05
    """
    return Distill(recipe="ssld_small", epochs=360, batch=256, lr=0.1, warmup_epochs=5, weight_decay=1e-5)


def ssld_large() -> Distill:
    """Large students: the same, with decay 4e-5 and AutoAugment.

    >>> ssld_large().colour
    'autoaugment'
    """
    return Distill(
        recipe="ssld_large", epochs=360, batch=256, lr=0.1, warmup_epochs=5, weight_decay=4e-5, colour="autoaugment"
    )
