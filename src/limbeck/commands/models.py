"""limbeck models: students to choose from, and how large they are."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fnmatch import filter as matching
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

from rich.table import Table
from tyro.conf import Positional, arg

from limbeck.backbones import BACKBONES
from limbeck.backbones.same import definition_of
from limbeck.classification.models import Architecture, count, outline, preprocess_of, timm_names
from limbeck.console import console, progress
from limbeck.errors import unknown_name
from limbeck.files import write_atomically
from limbeck.images.cache import cache_root

STUDENTS = (
    "mobilenetv3_small_050",
    "mobilenetv3_small_100",
    "mobilenetv3_large_100",
    "mobilenetv4_conv_small",
    "mobilenetv4_conv_medium",
    "mobilenetv2_100",
    "mobilenetv1_100",
    "efficientnet_lite0",
    "efficientnet_b0",
    "tf_efficientnetv2_b0",
    "mobileone_s0",
    "mobileone_s1",
    "repvgg_a0",
    "repghostnet_100",
    "ghostnet_100",
    "fbnetc_100",
    "mnasnet_100",
    "lcnet_050",
    "lcnet_100",
    "regnety_004",
    "regnety_008",
    "resnet10t",
    "resnet18",
    "resnet18d",
    "resnet34d",
    "resnet50d",
    "hrnet_w18_small",
    "convnext_atto",
    "convnext_femto",
    "edgenext_xx_small",
    "fastvit_t8",
    "mobilevit_xxs",
    "efficientvit_b0",
    "levit_128s",
    "vit_tiny_patch16_224",
    "tiny_vit_5m_224",
)


@dataclass(frozen=True)
class Models:
    """Students by name, with their parameters, multiply-accumulates, input size, and whose definition they are."""

    pattern: Annotated[Positional[str], arg(metavar="PATTERN")] = ""
    """Part of a name, or a pattern with * (default: the paper's networks, and good small students of timm)."""


@dataclass(frozen=True)
class Listed:
    """A student, with a head of 1000 classes."""

    name: str
    parameters: int
    macs: int | None
    size: int

    @property
    def definition(self) -> str:
        return definition_of(self.name)


def models(pattern: str = "") -> list[Listed]:
    """Students whose name matches, printed and returned, the smallest first."""
    return run(Models(pattern))


def run(options: Models) -> list[Listed]:
    names = _matching(options.pattern)
    listed = sorted(_measured(names), key=lambda each: (each.macs or 0, each.parameters))
    table = Table("student", "parameters (M)", "MACs (G)", "input", "definition", box=None, header_style="bold")
    table.columns[0].no_wrap = True
    for column in table.columns[1:4]:
        column.justify = "right"
    for each in listed:
        macs = f"{each.macs / 1e9:.2f}" if each.macs else "-"
        table.add_row(each.name, f"{each.parameters / 1e6:.2f}", macs, str(each.size), each.definition)
    console.print(table)
    best = listed[len(listed) // 2].name
    console.print(f"next: limbeck distill --images PHOTOS --teacher TEACHER --student {best} --out RUN", markup=False)
    return listed


def _matching(pattern: str) -> list[str]:
    known = dict.fromkeys([*BACKBONES, *timm_names()])
    if not pattern:
        return [name for name in (*BACKBONES, *STUDENTS) if name in known]
    names = matching(known, pattern if "*" in pattern else f"*{pattern}*")
    if not names:
        raise unknown_name("student", pattern, known, hint="limbeck models, for a short list")
    return names


def _measured(names: Sequence[str]) -> list[Listed]:
    file = cache_root() / f"models-{version('limbeck')}-timm-{version('timm')}.json"
    known = _read(file)
    missing = [name for name in names if name not in known]
    with progress("measuring students", len(missing), shown=bool(missing)) as advance:
        for name in missing:
            known[name] = _measure(name)
            advance()
    if missing:
        write_atomically(file, json.dumps([asdict(each) for each in known.values()]).encode())
    return [known[name] for name in names]


def _measure(name: str) -> Listed:
    model = outline(Architecture.parse(name, classes=1000))
    preprocess = preprocess_of(model)
    size = count(model, preprocess.size)
    return Listed(name, size.parameters, size.macs, max(preprocess.size))


def _read(file: Path) -> dict[str, Listed]:
    try:
        return {each["name"]: Listed(**each) for each in json.loads(file.read_text())}
    except (OSError, ValueError, TypeError, KeyError):
        return {}  # a cache: made again
