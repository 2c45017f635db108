"""Masks as COCO's packed run lengths: a few hundred bytes each, whatever the image's size.

`limbeck.datasets.rle` reads what files say; this packs what models find, and what truths are compared with.
"""

from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Rle = dict[str, Any]  # size: [height, width]; counts: bytes


def packed(masks: Tensor | NDArray[Any]) -> list[Rle]:
    """Masks [N, height, width], true inside, as run lengths.

    >>> packed(np.eye(2)[None])
    [{'size': [2, 2], 'counts': b'0120'}]
    """
    assert masks.ndim == 3, f"masks are [N, height, width], not {list(masks.shape)}"
    pixels = masks.cpu().numpy() if isinstance(masks, Tensor) else masks
    if not len(pixels):
        return []
    packs: list[Rle] = _coder().encode(np.asfortranarray((pixels != 0).transpose(1, 2, 0).astype(np.uint8)))
    return packs


def packed_outline(outline: Any, size: Sequence[int] = ()) -> Rle:
    """One COCO segmentation: polygons, which need the image's height and width, or run lengths in any form.

    >>> packed_outline({"size": [2, 2], "counts": [1, 2, 1]})
    {'size': [2, 2], 'counts': b'121'}
    >>> packed_outline([[0, 0, 2, 0, 2, 2, 0, 2]], (2, 3))
    {'size': [2, 3], 'counts': b'042'}
    """
    if isinstance(outline, dict):
        height, width = outline["size"]
        if isinstance(outline["counts"], list):
            pack: Rle = _coder().frPyObjects(outline, height, width)
            return pack
        counts = outline["counts"]
        return {"size": [height, width], "counts": counts.encode() if isinstance(counts, str) else counts}
    height, width = size
    if not outline:
        return packed(np.zeros((1, height, width)))[0]
    whole: Rle = _coder().merge(_coder().frPyObjects([np.asarray(each).tolist() for each in outline], height, width))
    return whole


def packed_all(masks: Any) -> list[Rle]:
    """The masks of one image, whatever holds them.

    A tensor or array [N, height, width], run lengths, or the outlines of a data set (`limbeck.detection.masks.Masks`).
    """
    if isinstance(masks, Tensor | np.ndarray):
        return packed(masks)
    if not hasattr(masks, "outlines"):
        return [packed_outline(each) for each in masks]
    if masks.done:
        return packed(masks.decode())
    size = list(masks.size)
    forms = ({"size": size, "counts": runs.tolist()} if runs is not None else parts for parts, runs in masks.outlines)
    return [packed_outline(form, size) for form in forms]


def unpacked(packs: Sequence[Rle]) -> NDArray[np.bool_]:
    """Masks [N, height, width].

    >>> unpacked(packed(np.eye(2)[None])).tolist()
    [[[True, False], [False, True]]]
    """
    if not packs:
        return np.zeros((0, 0, 0), bool)
    pixels: NDArray[np.bool_] = _coder().decode(list(packs)).transpose(2, 0, 1) != 0
    return pixels


def mask_areas(packs: Sequence[Rle]) -> NDArray[np.float64]:
    """The pixels inside of each.

    >>> mask_areas(packed(np.eye(2)[None])).tolist()
    [2.0]
    """
    return np.asarray(_coder().area(list(packs)) if packs else [], dtype=np.float64)


def _coder() -> ModuleType:
    """hotcoco's, or where there is none pycocotools', which speaks the same."""
    try:
        from hotcoco import mask
    except ImportError:
        return import_module("pycocotools.mask")
    return mask
