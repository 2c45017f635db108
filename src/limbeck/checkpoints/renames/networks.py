"""The reference's networks that limbeck has, and the names of their tensors there and here."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from limbeck.checkpoints.renames import (
    LEAVES,
    TOP,
    Places,
    Table,
    blocks,
    hrnet,
    mobilenet_v1,
    mobilenet_v2,
    mobilenet_v3,
    resnet,
)

CLAS, CLAS_2_0, DETECTION = "PaddleClas", "PaddleClas 2.0", "PaddleDetection"


@dataclass(frozen=True)
class Network:
    """A network of the reference: its name there, its tables by who spells them so, and the places in it."""

    name: str
    tables: Mapping[str, Table]
    places: Places


def _mobilenet_v3(name: str, *depths: int) -> Network:
    places = blocks(*depths)
    return Network(
        name, {CLAS: mobilenet_v3.CLAS, DETECTION: mobilenet_v3.DETECTION}, places | {TOP: ({"stages": len(depths)},)}
    )


_V1 = blocks(1, 2, 2, 6, 2)
_V1_NAMED = ("2_1", "2_2", "3_1", "3_2", "4_1", "4_2", "5_1", "5_2", "5_3", "5_4", "5_5", "5_6")
_RESNET = {CLAS: resnet.CLAS, CLAS_2_0: resnet.CLAS_2_0, DETECTION: resnet.DETECTION}
_HRNET = {CLAS: hrnet.CLAS, CLAS_2_0: hrnet.CLAS_2_0, DETECTION: hrnet.DETECTION}

NETWORKS: Mapping[str, Network] = {
    "mobilenet_v1": Network(
        "MobileNetV1",
        {CLAS: mobilenet_v1.CLAS, DETECTION: mobilenet_v1.DETECTION},
        _V1 | {"named": tuple(place | {"name": name} for place, name in zip(_V1["block"], _V1_NAMED))},
    ),
    "mobilenet_v2": Network(
        "MobileNetV2",
        {CLAS: mobilenet_v2.CLAS},
        blocks(1, 2, 3, 4, 3, 3, 1) | {"first": blocks(1, 1, 1, 1, 1, 1, 1)["block"]},
    ),
    "mobilenet_v3_small": _mobilenet_v3("MobileNetV3_small_x1_0", 1, 2, 3, 2, 3),
    "mobilenet_v3_large": _mobilenet_v3("MobileNetV3_large_x1_0", 1, 2, 3, 4, 2, 3),
    "resnet50_vd": Network("ResNet50_vd", _RESNET, blocks(3, 4, 6, 3)),
    "resnet101_vd": Network("ResNet101_vd", _RESNET, blocks(3, 4, 23, 3)),
    "resnet200_vd": Network("ResNet200_vd", _RESNET, blocks(3, 12, 48, 3)),
    "hrnet_w18_c": Network("HRNet_W18_C", _HRNET, hrnet.places()),
    "se_hrnet_w64_c": Network("SE_HRNet_W64_C", _HRNET, hrnet.places()),
    "resnext101_32x16d": Network("ResNeXt101_32x16d_wsl", {CLAS: resnet.WSL}, blocks(3, 4, 23, 3)),
    "timm/resnet50": Network("ResNet50", {DETECTION: resnet.DETECTION_B}, blocks(3, 4, 6, 3)),
}  # fmt: skip

_FIELD = re.compile(r"\{(\w+)(?:\+(\d+))?\}")
_LEAVES = {own: theirs for theirs, own in LEAVES}


def modules(network: str, spelling: str, *kinds: str) -> dict[str, str]:
    """The reference's modules, and limbeck's, of a network; with `kinds`, of these parts of the table.

    >>> modules("resnet50_vd", "PaddleDetection")["res4.res4b.branch2c.norm"]
    'layer3.1.bn3'
    """
    table, places = NETWORKS[network].tables[spelling], NETWORKS[network].places
    return {
        _filled(old, place): _filled(new, place)
        for kind in kinds or table
        for place in places.get(kind, ({},))
        for old, new in table.get(kind, ())
    }


def _filled(template: str, place: Mapping[str, int | str]) -> str:
    def value(found: re.Match[str]) -> str:
        at = place[found[1]]
        return str(int(at) + int(found[2])) if found[2] else str(at)

    return _FIELD.sub(value, template)


def spelt(network: str, spelling: str, tensors: Iterable[str]) -> dict[str, str]:
    """The reference's names of limbeck's tensors.

    >>> spelt("mobilenet_v1", "PaddleClas", ["bn1.running_var", "bn1.num_batches_tracked"])
    {'bn1.running_var': 'conv.bn._variance'}
    """
    return {new: olds[0] for new, olds in spellings(network, spelling, tensors).items()}


def spellings(network: str, spelling: str, tensors: Iterable[str]) -> dict[str, list[str]]:
    """All names of the reference's that stand for a tensor, the one that is written first."""
    olds: dict[str, list[str]] = {}
    for old, new in modules(network, spelling).items():
        olds.setdefault(new, []).append(old)
    split = {name: name.rpartition(".") for name in tensors}
    return {
        name: [f"{old}.{_LEAVES[leaf]}" for old in olds[module]]
        for name, (module, _, leaf) in split.items()
        if leaf in _LEAVES and module in olds
    }
