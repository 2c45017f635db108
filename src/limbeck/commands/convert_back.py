"""limbeck convert --to mmdetection: a detector as a file that mmdetection loads."""

import shlex
from functools import partial
from pathlib import Path

import torch

from limbeck.checkpoints.card import WEIGHTS, find
from limbeck.checkpoints.detector_card import is_detector, read_detector_card
from limbeck.checkpoints.mmdet_writing import kind_of, respelt, write
from limbeck.checkpoints.weights import PICKLES, read_contents, read_weights
from limbeck.console import console
from limbeck.errors import CheckpointError, LimbeckError, OptionError, RunError, counted
from limbeck.files import write_atomically


def to_mmdetection(source: str, target: str) -> Path:
    """The detector of a run or checkpoint as a .pth file with the names of mmdetection 3."""
    folder, out = find(Path(source).expanduser()), Path(target).expanduser()
    if not is_detector(folder):
        raise CheckpointError(
            f"{source} is no detector", expected="a run or checkpoint of one", hint="--to paddle, for a classifier"
        )
    if out.suffix not in PICKLES:
        raise OptionError(
            f"--out {target}, with --to mmdetection", expected="a .pth file", hint=f"--out {shlex.quote(target)}.pth"
        )
    card = read_detector_card(folder)
    tensors = respelt(kind_of(card, source), read_weights(folder / WEIGHTS))
    same = out.is_file() and _is_same(out, tensors)
    if out.exists() and not same:
        raise RunError(f"{out} is there", expected="a place for the file", hint="--out with another name")
    if not same:
        write_atomically(out, partial(write, card=card, tensors=tensors))
    console.print(
        f"{folder}: {card.detector}, {counted(len(tensors), 'tensor')} as mmdetection names them", markup=False
    )
    console.print(f"written: {out}" + (", as it was" if same else ""), markup=False)
    console.print("next: load_from in a config of mmdetection's with as many classes", markup=False)
    return out


def _is_same(out: Path, tensors: dict[str, torch.Tensor]) -> bool:
    try:
        there = read_contents(out).weights
    except LimbeckError:
        return False
    return list(there) == list(tensors) and all(torch.equal(there[name], value) for name, value in tensors.items())
