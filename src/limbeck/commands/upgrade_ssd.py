"""limbeck convert --upgrade-ssd: an SSD of mmdetection's before 2.14, with the names that it has since."""

import shlex
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from limbeck.checkpoints.detector_kinds import KINDS
from limbeck.checkpoints.mm_meta import read_meta
from limbeck.checkpoints.plain_values import plain
from limbeck.checkpoints.renames import mmdet
from limbeck.checkpoints.weights import read_pickle
from limbeck.console import console, progress
from limbeck.errors import CheckpointError, LimbeckError, RunError, counted, peek, shown
from limbeck.files import write_atomically

_TENSORS = "state_dict"
_TOLD = 8
_LONGEST = 60  # letters of a name


def upgrade_ssd(old: str | Path, new: str | Path) -> Path:
    """Writes a file that mmdetection 2.14 and later loads; a file with such names already stays as it is.

    >>> upgrade_ssd("no/such.pth", "new.pth")
    Traceback (most recent call last):
    limbeck.errors.CheckpointError: no file of weights at no/such.pth
      expected: an SSD that mmdetection saved
      try:      limbeck convert --upgrade-ssd OLD.pth NEW.pth
    """
    source, out = Path(old).expanduser(), Path(new).expanduser()
    if not source.is_file():
        raise _error(f"no file of weights at {source}")
    if not new or out.is_dir():
        raise _error(f"{out} is a folder" if new else "no name for the new file")
    try:
        with progress("upgrading", 2) as advance:
            tree = read_pickle(source)
            tensors = _tensors(source, tree)
            names = _names(source, tree, tensors)
            advance()
            dropped: dict[str, str] = {}
            upgraded = _upgraded(tree, names, dropped)
            same = out.exists() and _is_same(out, upgraded)
            if out.exists() and not same:
                raise RunError(f"{out} is there", expected="a place for the file", hint="another name for NEW")
            if not same:
                write_atomically(out, lambda stream: _save(upgraded, stream))
            advance()
    except OSError as error:
        raise RunError(
            f"{error.filename or out} cannot be read or written: {error.strerror or error}",
            expected="a file that can be read, and a place that can be written",
            hint="another place for NEW",
        ) from error
    _tell(source, out, names, dropped, same)
    return out


def _tensors(source: Path, tree: Any) -> Mapping[str, Any]:
    tensors = tree.get(_TENSORS, tree) if isinstance(tree, Mapping) else None
    if not isinstance(tensors, Mapping) or not any(isinstance(value, Tensor) for value in tensors.values()):
        raise _error(f"{source} holds no weights")
    odd = next((name for name, value in tensors.items() if not isinstance(value, Tensor)), None)
    if odd is not None:
        raise _error(f"{source} has something else than a tensor among its weights: {shown(odd)}")
    return tensors


def _names(source: Path, tree: Mapping[str, Any], tensors: Mapping[str, Any]) -> dict[str, str]:
    """The new name of each tensor; an error where this is no SSD."""
    meta = read_meta(tree.get("meta"))
    names = mmdet.modern(tensors)
    told = meta.get("model", "bbox_head", "type")
    lite = any(kind.name == "ssdlite_mobilenetv2" and kind.head in tensors for kind in KINDS)
    other = told is not None and not (isinstance(told, str) and told == "SSDHead")
    if not (mmdet.is_ssd(tensors) or lite) or other:
        fits = next((kind.name for kind in KINDS if kind.head in names.values()), "")
        head = (shown(told[:_LONGEST]) if isinstance(told, str) else peek(told)) if other else fits
        raise _error(f"{source} is no SSD" + (f": its head is {head}'s" if head else ""))
    if meta.version.startswith(("0.", "1.")):
        raise CheckpointError(
            f"{source} is of mmdetection {meta.version}, which counted classes and boxes otherwise",
            expected="mmdetection 2 before 2.14",
            hint="its tools/model_converters/upgrade_model_version.py first",
        )
    if len(set(names.values())) != len(names):
        raise _error(f"{source} has tensors with old names and with new ones")
    return names


def _upgraded(tree: Mapping[str, Any], names: Mapping[str, str], dropped: dict[str, str]) -> Any:
    """The same tree with plain values, its tensors under their new names in their old order."""
    state = tree.get(_TENSORS, tree)
    renamed = OrderedDict((names[name], value) for name, value in state.items())
    if _TENSORS not in tree:
        return renamed
    rest = plain({key: value for key, value in tree.items() if key != _TENSORS}, dropped)
    return {key: renamed if key == _TENSORS else rest[key] for key in tree if key == _TENSORS or key in rest}


def _save(tree: Any, stream: BinaryIO) -> None:
    # the older kind, as mmdetection's own files are: every version of torch reads it
    torch.save(tree, stream, _use_new_zipfile_serialization=False)


def _is_same(out: Path, upgraded: Any) -> bool:
    try:
        there = read_pickle(out)
        theirs = _tensors(out, there)
    except LimbeckError:
        return False
    ours = upgraded.get(_TENSORS, upgraded)
    same = list(theirs) == list(ours) and all(torch.equal(theirs[name], value) for name, value in ours.items())
    return same and (_TENSORS in there) == (_TENSORS in upgraded)


def _tell(source: Path, out: Path, names: Mapping[str, str], dropped: Mapping[str, str], same: bool) -> None:
    count = sum(old != new for old, new in names.items())
    if count:
        console.print(f"{shown(source.name)}: renamed {count:,} of {counted(len(names), 'tensor')}", markup=False)
    else:
        console.print(f"{shown(source.name)}: its {counted(len(names), 'tensor')} have the new names", markup=False)
    for name, what in list(dropped.items())[:_TOLD]:
        console.print(f"dropped: {name} ({what})", markup=False)
    if len(dropped) > _TOLD:
        console.print(f"dropped: {len(dropped) - _TOLD:,} more values that are no plain data", markup=False)
    console.print(f"written: {out}" + (", as it was" if same else ""), markup=False)
    console.print(f"next: limbeck convert {shlex.quote(str(out))} --out CHECKPOINT, or mmdetection", markup=False)


def _error(found: str) -> CheckpointError:
    return CheckpointError(
        found, expected="an SSD that mmdetection saved", hint="limbeck convert --upgrade-ssd OLD.pth NEW.pth"
    )
