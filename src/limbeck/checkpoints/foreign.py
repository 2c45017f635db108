"""Which of timm's, torchvision's or limbeck's classifiers a file of PyTorch weights is."""

import json
import re
import shlex
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import timm
import torchvision.models as vision
from torch import Tensor

from limbeck.backbones.same import definition_of
from limbeck.checkpoints.conversion import Conversion, differences
from limbeck.checkpoints.signatures import UNCOUNTED, Shapes, index
from limbeck.checkpoints.weights import Contents
from limbeck.classification.models import Architecture, classes_in, outline, preprocess_of, published
from limbeck.errors import CheckpointError, UnknownName, counted

_CLOSE = 3  # models of other names that are looked at closely
_TOLD = 4


def recognise(contents: Contents, path: Path, sha256: str, architecture: str = "") -> Conversion:
    """The classifier of a file; with `architecture`, this one or an error.

    >>> model = timm.create_model("test_resnet", num_classes=5)
    >>> recognise(Contents(dict(model.state_dict()), {}), Path("weights.pth"), "").architecture
    Architecture(builder='timm', name='test_resnet', args={'num_classes': 5})
    """
    contents = _without_prefix(contents)
    shapes = _shapes(contents)
    if architecture:
        wanted = _headed(Architecture.parse(architecture).local(), contents.weights)
        told = _difference(wanted, shapes)
        if told:
            fitting, _ = _alike(shapes)
            theirs = f"; {fitting[0]} has such tensors" if fitting else ""
            raise _unfit(path, f"the weights of {path} are not those of {wanted.full_name}: {told}{theirs}", fitting)
        return _conversion(contents, wanted, [])
    fitting, others = _alike(shapes)
    if not fitting:
        return _nearest(contents, path, shapes, others)
    chosen, why = _chosen(fitting, path, sha256)
    left = [name for name in fitting if name != f"{chosen.builder}/{chosen.name.partition('.')[0]}"]
    notes = [_alternatives(chosen, why, left)] if left else []
    wanted = _headed(chosen, contents.weights)
    told = _difference(wanted, shapes)
    if told:  # the index is another version's
        raise _unfit(path, f"{path} looks like {wanted.full_name}, and is not: {told}")
    return _conversion(contents, wanted, notes)


def _chosen(fitting: Sequence[str], path: Path, sha256: str) -> tuple[Architecture, str]:
    """One of several models with the same tensors, and what told it."""
    for name, tag in _by_digest(sha256):
        if name in fitting:
            return Architecture.parse(f"{name}.{tag}"), "the digest is that of the file its makers publish"
    for name in fitting:
        if name == f"timm/{_beside(path)}":
            return Architecture.parse(name), "the config.json beside it says so"
    named = [name for name in fitting if _is_called(path.stem, name.partition("/")[2])]
    plainest = min(named or fitting, key=lambda name: (-len(name) if named else len(name.partition("/")[2]), name))
    return Architecture.parse(plainest), "the file is called so" if named else "it is the plainest"


def _by_digest(sha256: str) -> Iterator[tuple[str, str]]:
    """The published files of this digest: their names end in its first digits."""
    for name in vision.list_models(module=vision):
        for weights in vision.get_model_weights(name):
            if _ends_in(weights.url, sha256):
                yield f"torchvision/{name}", weights.name
    for name in timm.list_pretrained():
        config = timm.get_pretrained_cfg(name)
        if config and _ends_in(str(config.url or ""), sha256):
            base, _, tag = name.partition(".")
            yield f"timm/{base}", tag


def _ends_in(url: str, sha256: str) -> bool:
    digits = re.search(r"-([0-9a-f]{8,})\.\w+$", url)
    return bool(digits) and sha256.startswith(digits[1] if digits else "-")


def _beside(path: Path) -> str:
    """What the config.json beside a file says that it is, as on the hub."""
    try:
        return str(json.loads(path.with_name("config.json").read_text("utf-8")).get("architecture"))
    except (OSError, ValueError, AttributeError):
        return ""


def _is_called(stem: str, name: str) -> bool:
    return re.search(rf"(?<![a-z0-9]){re.escape(name)}(?![a-z0-9])", stem.lower().replace("-", "_")) is not None


def _alternatives(chosen: Architecture, why: str, left: Sequence[str]) -> str:
    some = ", ".join(left[:_TOLD]) + (f" and {len(left) - _TOLD} more" if len(left) > _TOLD else "")
    return (
        f"taken for {chosen.full_name}, as {why}; {some} {'has' if len(left) == 1 else 'have'} the same tensors: "
        f"if it is one of these, --architecture {left[0]}"
    )


def _headed(architecture: Architecture, weights: Mapping[str, Tensor]) -> Architecture:
    """The architecture with as many classes as a file's head has, if it has one."""
    classes = classes_in(architecture, weights) or 0
    return replace(architecture, args={**architecture.args, "num_classes": classes})


def _difference(architecture: Architecture, shapes: Shapes) -> str:
    return differences(*_compared(architecture, shapes))


def _compared(architecture: Architecture, shapes: Shapes) -> tuple[list[str], list[str], list[str]]:
    """What a file lacks, what it has besides, and what has another shape there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision's head of no class has no number to be drawn, and says so
        state = outline(architecture).state_dict()
    own = {name: tuple(value.shape) for name, value in state.items() if not name.endswith(UNCOUNTED)}
    odd = [f"{name}: {shapes[name]} instead of {own[name]}" for name in own if own[name] != shapes.get(name, own[name])]
    return [name for name in own if name not in shapes], [name for name in shapes if name not in own], odd


def _nearest(contents: Contents, path: Path, shapes: Shapes, others: Sequence[str]) -> Conversion:
    """A known classifier without its head, or an error with the nearest one."""
    close: list[tuple[int, str, str]] = []
    for name in (others or list(filter(_is_here, index().nearest(list(shapes)))))[:_CLOSE]:
        architecture = _headed(Architecture.parse(name), contents.weights)
        missing, unexpected, odd = _compared(architecture, shapes)
        apart = len(missing) + len(unexpected) + len(odd)
        if len(unexpected) == len(shapes):
            continue
        if not apart:
            return _conversion(contents, architecture, [])
        close.append((apart, architecture.full_name, differences(missing, unexpected, odd)))
    begin = ", ".join(list(shapes)[:3])
    if not close:
        number = counted(len(shapes), "tensor")
        raise _unfit(path, f"{path} holds no classifier that limbeck knows: {number}, {begin}, ...")
    _, name, told = min(close)
    raise _unfit(path, f"{path} holds no classifier that limbeck knows; the nearest is {name}: {told}")


def _unfit(path: Path, found: str, fitting: Sequence[str] = ("NAME",)) -> CheckpointError:
    name = fitting[0] if fitting else "NAME"
    return CheckpointError(
        found,
        expected="the weights of a classifier of timm, torchvision or limbeck, whole, under its own names",
        hint=f"limbeck convert {shlex.quote(str(path))} --architecture {name} --out CHECKPOINT"
        + (", with the name of its model, if you know it" if name == "NAME" else ""),
    )


def _without_prefix(contents: Contents) -> Contents:
    """The tensors without a first word that they all have, such as `backbone.`, where no model has it so."""
    firsts = {name.partition(".")[0] for name in contents.weights}
    bare = {name.partition(".")[2]: value for name, value in contents.weights.items()}
    if len(firsts) > 1 or len(bare) < 2 or _alike(_shapes(contents))[0]:
        return contents
    return Contents(bare, contents.others)


def _shapes(contents: Contents) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in contents.weights.items() if not name.endswith(UNCOUNTED)}


def _alike(shapes: Shapes) -> tuple[list[str], list[str]]:
    """The index's answer, as far as the timm and torchvision that are here know the names."""
    fitting, others = index().alike(shapes)
    return [name for name in fitting if _is_here(name)], [name for name in others if _is_here(name)]


def _is_here(name: str) -> bool:
    try:
        return bool(Architecture.parse(name))
    except UnknownName:
        return False


def _conversion(contents: Contents, architecture: Architecture, notes: Sequence[str]) -> Conversion:
    described = published(architecture)
    return Conversion(
        family=architecture.builder if architecture.builder != "limbeck" else "PyTorch",
        definition=definition_of(architecture.name) if architecture.builder == "limbeck" else architecture.builder,
        architecture=architecture,
        weights=contents.weights,
        preprocess=preprocess_of(described),
        dropped=contents.others,
        notes=notes,
    )
