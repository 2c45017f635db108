"""The names of COCO's classes and their ids, as torchvision has them."""

from functools import cache

from torchvision.models.detection import SSD300_VGG16_Weights


@cache
def coco_names() -> dict[int, str]:
    """COCO's 80 classes by their ids, which have gaps.

    >>> len(coco_names()), coco_names()[1], coco_names()[90]
    (80, 'person', 'toothbrush')
    """
    every = SSD300_VGG16_Weights.COCO_V1.meta["categories"]
    return {number: name for number, name in enumerate(every) if number and name != "N/A"}
