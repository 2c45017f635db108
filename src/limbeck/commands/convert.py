"""limbeck convert: weights of others as a checkpoint of limbeck's, and back."""

import hashlib
import json
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
from tyro.conf import Positional, arg

from limbeck.checkpoints import foreign, foreign_detector, paddle
from limbeck.checkpoints.card import CARD, WEIGHTS, find, is_checkpoint, read_card, versions
from limbeck.checkpoints.conversion import Conversion
from limbeck.checkpoints.detector_card import is_detector, read_detector_card
from limbeck.checkpoints.detector_conversion import DetectorConversion
from limbeck.checkpoints.pdparams import SUFFIX, Values, is_paddle, read_pdparams, write_pdparams
from limbeck.checkpoints.renames.networks import CLAS, DETECTION, NETWORKS
from limbeck.checkpoints.weights import read_contents, read_weights
from limbeck.classification.names import numbered
from limbeck.commands.convert_back import to_mmdetection
from limbeck.commands.upgrade_ssd import upgrade_ssd
from limbeck.console import console, progress
from limbeck.errors import CheckpointError, OptionError, RunError, counted, shown, unknown_name

_BESIDE = {
    ".pdopt": "the state of an optimizer",
    ".pdmodel": "a program of Paddle's",
    ".pdiparams": "the weights of a program of Paddle's, without names",
}

To = Literal["limbeck", "paddle", "paddle-detection", "mmdetection"]
_PLACES = {"paddle": "FILE.pdparams", "paddle-detection": "FILE.pdparams", "mmdetection": "FILE.pth"}
_SPELLINGS = {"paddle": CLAS, "paddle-detection": DETECTION}


@dataclass(frozen=True)
class Convert:
    """Weights of Paddle's (.pdparams), timm's, torchvision's or mmdetection's as a checkpoint, and back to Paddle's or
    mmdetection's."""

    source: Annotated[Positional[str], arg(metavar="FILE")] = ""
    """The file of weights; with --to, a run or a checkpoint folder."""
    out: str = ""
    """The checkpoint folder to make; with --to, the .pdparams or .pth file."""
    to: To = "limbeck"
    """paddle: as PaddleClas names its tensors; paddle-detection: a backbone for PaddleDetection; mmdetection: a
    detector."""
    architecture: str = ""
    """The network, where the file does not tell it from another (default: recognised from names and shapes);
    of a detector's file a classifier takes the backbone alone."""
    classes: tuple[str, ...] = ()
    """The names of its classes, or a file of them, one a line (default: the file's own, else ImageNet's where there
    are 1,000, COCO's where a detector has 80)."""
    upgrade_ssd: Annotated[tuple[str, str], arg(metavar="OLD NEW")] = ("", "")
    """Instead, write an SSD of mmdetection's before 2.14 with the names that it has since: OLD as the file NEW."""


def convert(
    source: str | Path,
    out: str | Path,
    *,
    to: To = "limbeck",
    architecture: str = "",
    classes: str | Path | Iterable[str] = (),
) -> Path:
    """A file of foreign weights as a checkpoint that `limbeck.load` takes; or a checkpoint as a file of Paddle's.

    >>> convert("no/such.pdparams", "checkpoint")
    Traceback (most recent call last):
    limbeck.errors.CheckpointError: no file of weights at no/such.pdparams
      expected: a .pdparams, .pth or .safetensors file
      try:      the path of the file
    """
    named = (str(classes),) if isinstance(classes, str | Path) else tuple(classes)
    return run(Convert(str(source), str(out), to, architecture, named))


def run(options: Convert) -> Path:
    if any(options.upgrade_ssd):
        _check_alone(options)
        return upgrade_ssd(*options.upgrade_ssd)
    if not options.source or not options.out:
        raise OptionError(
            "no file to convert" if not options.source else "no place for the checkpoint",
            expected="a file of weights, and a folder to make",
            hint=f"limbeck convert {shlex.quote(options.source) if options.source else 'FILE'}"
            + (f" --to {options.to}" if options.to != "limbeck" else "")
            + f" --out {options.out or _PLACES.get(options.to, 'CHECKPOINT')}",
        )
    try:
        if options.to == "mmdetection":
            _check_back(options, "a checkpoint, which knows its detector and its classes")
            return to_mmdetection(options.source, options.out)
        return _to_limbeck(options) if options.to == "limbeck" else _to_paddle(options)
    except OSError as error:
        raise RunError(
            f"{error.filename or options.out} cannot be read or written: {error.strerror or error}",
            expected="a file that can be read, and a place that can be written",
            hint="--out with another place",
        ) from error


def _check_alone(options: Convert) -> None:
    """Nothing else can be asked for with --upgrade-ssd."""
    given = [f"FILE ({options.source})"] if options.source else []
    given += [f"--{name}" for name in ("out", "architecture", "classes") if getattr(options, name)]
    given += ["--to"] if options.to != "limbeck" else []
    if given:
        raise OptionError(
            f"--upgrade-ssd with {', '.join(given)}",
            expected="OLD and NEW alone: it writes OLD as the file NEW, and converts nothing",
            hint=shlex.join(["limbeck", "convert", "--upgrade-ssd", *options.upgrade_ssd]),
        )


def _to_limbeck(options: Convert) -> Path:
    source, out = Path(options.source).expanduser(), Path(options.out).expanduser()
    if source.is_dir():
        raise OptionError(
            f"{source} is a folder",
            expected="a file of weights",
            hint=f"{_again(options)} --to paddle, for the way back",
        )
    if source.name == WEIGHTS and source.with_name(CARD).is_file():
        raise OptionError(
            f"{source} is of a checkpoint already, whose {CARD} knows its classes and how it is built",
            expected="weights of others",
            hint=f"limbeck evaluate {shlex.quote(str(source.parent))} --images PHOTOS_IN_CLASS_FOLDERS",
        )
    with progress("converting", 3) as advance:
        digest = _digest(source)
        found = _recognised(source, digest, options.architecture)
        advance()
        names = _class_names(options.classes, found)
        again = _check_out(out, digest)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # what a file has not begins anew, and the same each time
            model = found.build(str(source))
        advance()
        provenance = {
            "converted_from": source.name,
            "sha256": digest,
            "family": found.family,
            "definition": found.definition,
            "notes": list(found.notes),
            "versions": versions(),
        }
        found.save(out, model, names, provenance)
        advance()
    _tell(
        source,
        out,
        found,
        again,
        unnamed=not options.classes and found.classes > 0 and names == numbered(found.classes),
    )
    return out


def _recognised(source: Path, digest: str, architecture: str) -> Conversion | DetectorConversion:
    if source.suffix in _BESIDE:
        raise CheckpointError(
            f"{source} is {_BESIDE[source.suffix]}",
            expected=f"the weights by name: {SUFFIX}",
            hint="the file beside it",
        )
    if is_paddle(source):
        return paddle.recognise(read_pdparams(source), str(source), architecture)
    contents = read_contents(source)
    detector = foreign_detector.is_detector(contents.weights)
    if detector and foreign_detector.takes(architecture):
        return foreign_detector.recognise(contents, source, architecture)
    if foreign_detector.has_mobilenet_v2(contents.weights):
        architecture = architecture or "mobilenetv2_100"
        contents = foreign_detector.backbone_of(contents)
    elif detector:
        contents = foreign_detector.backbone_of(contents)
    return foreign.recognise(contents, source, digest, architecture)


def _digest(source: Path) -> str:
    if not source.is_file():
        raise CheckpointError(
            f"no file of weights at {source}",
            expected=f"a {SUFFIX}, .pth or .safetensors file",
            hint="the path of the file",
        )
    with source.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_out(out: Path, digest: str) -> bool:
    """Whether the same file was converted to this place before; an error where something else is there."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    if is_checkpoint(out) and find(out) == out:
        card = read_detector_card(out) if is_detector(out) else read_card(out)
        if card.provenance.get("sha256") == digest:
            return True
    raise RunError(
        f"{out} is there, and no conversion of this file",
        expected="a place for the checkpoint",
        hint="--out with another name",
    )


def _class_names(given: tuple[str, ...], found: Conversion | DetectorConversion) -> tuple[str, ...]:
    names = given
    if len(given) == 1 and Path(given[0]).expanduser().is_file():
        names = _names_in(Path(given[0]).expanduser())
    elif len(given) == 1 and Path(given[0]).suffix in (".txt", ".json", ".names"):
        raise OptionError(f"no file of class names at {given[0]}", expected="a name a line", hint="--classes FILE")
    if not names:
        return found.own_names
    if len(names) != found.classes:
        raise OptionError(
            f"--classes names {counted(len(names), 'class', 'classes')}, and the head has {found.classes:,}",
            expected=f"{found.classes:,} names, in the head's order" if found.classes else "no names: there is no head",
            hint="--classes FILE, a name a line" if found.classes else "the same line without --classes",
        )
    return names


def _names_in(file: Path) -> tuple[str, ...]:
    """A JSON list, or object by number, or lines; a number that counts the lines is no part of the name."""
    try:
        text = file.read_text("utf-8-sig")
        content = json.loads(text) if file.suffix == ".json" else None
    except ValueError as error:
        raise _no_names(file, str(error)) from error
    if file.suffix == ".json":
        if isinstance(content, dict):
            content = [content.get(str(number)) for number in range(len(content))]
        if not isinstance(content, list) or not all(isinstance(name, str) for name in content):
            raise _no_names(file, "it holds something else")
        return tuple(content)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if all(re.match(rf"{number}[\s:,]", line) for number, line in enumerate(lines)):
        lines = [re.sub(r"^\d+[\s:,]+", "", line) for line in lines]
    return tuple(lines)


def _no_names(file: Path, reason: str) -> OptionError:
    return OptionError(
        f"{file} is no file of class names: {reason}",
        expected='a name a line; or in JSON ["cat", "dog"] or {"0": "cat", "1": "dog"}',
        hint="--classes FILE, a name a line",
    )


def _tell(source: Path, out: Path, found: Conversion | DetectorConversion, again: bool, *, unnamed: bool) -> None:
    name, classes = found.full_name, counted(found.classes, "class", "classes")
    head = f"with {classes}" if found.classes else "without a head"
    console.print(f"{shown(source.name)}: {found.family}'s weights of {name} {head}", markup=False)
    console.print(f"definition: {found.definition}'s", markup=False)
    console.print(f"used: {counted(len(found.weights), 'tensor')}", markup=False)
    for each, what in found.dropped.items():
        console.print(f"dropped: {each} ({what})", markup=False)
    if found.drawn:
        console.print(f"begin anew: {', '.join(found.drawn)}", markup=False)
    for note in found.notes:
        console.print(f"note: {note}", markup=False)
    if unnamed:
        called = "0" if found.classes == 1 else f"0 to {found.classes - 1:,}"
        console.print(
            f"note: nothing names the {classes}, called {called} here: "
            "--classes NAME..., or a file of them, in the head's order",
            markup=False,
        )
    console.print(f"checkpoint: {out}" + (", converted again" if again else ""), markup=False)
    place = shlex.quote(str(out))
    if isinstance(found, DetectorConversion):
        console.print(f"next: limbeck predict {place} PHOTO... --pictures FOLDER", markup=False)
    elif found.classes:
        console.print(f"next: limbeck evaluate {place} --images PHOTOS_IN_CLASS_FOLDERS", markup=False)
    else:
        console.print(f"next: limbeck finetune {place} --images PHOTOS_IN_CLASS_FOLDERS --out RUN", markup=False)


def _to_paddle(options: Convert) -> Path:
    if options.to not in _SPELLINGS:
        raise unknown_name("--to", options.to, ("limbeck", "mmdetection", *_SPELLINGS))
    folder, out = find(Path(options.source).expanduser()), Path(options.out).expanduser()
    if out.suffix != SUFFIX:
        raise OptionError(
            f"--out {out}, with --to {options.to}",
            expected=f"a file of Paddle's weights, which ends in {SUFFIX}",
            hint=f"--out {shlex.quote(f'{out}{SUFFIX}')}",
        )
    _check_back(options, "a checkpoint, which knows its network and its classes")
    spelling = _SPELLINGS[options.to]
    network, dropout = _network(folder)
    tensors, left = paddle.respelt(network, spelling, read_weights(folder / WEIGHTS))
    same = out.is_file() and _is_same(out, tensors)
    if out.exists() and not same:
        raise RunError(f"{out} is there", expected="a place for the file", hint="--out with another name")
    if not same:
        write_pdparams(out, tensors)
    name = NETWORKS[network].name
    console.print(f"{folder}: {name}, {counted(len(tensors), 'tensor')} as {spelling} names them", markup=False)
    if left:
        console.print(f"left out: {', '.join(left)} (a detector's backbone has no head)", markup=False)
    if dropout is not None:
        console.print(f"note: its dropout is {dropout}: there, dropout_prob={dropout} builds it", markup=False)
    console.print(f"written: {out}" + (", as it was" if same else ""), markup=False)
    option = "Global.pretrained_model" if spelling == CLAS else "pretrain_weights"
    stem = out.with_suffix("") if spelling == CLAS else out
    console.print(f"next: {option}={stem} in {spelling}, or paddle.load('{out}')", markup=False)
    return out


def _check_back(options: Convert, expected: str) -> None:
    """What a checkpoint knows itself cannot be said on the way back."""
    if options.architecture or options.classes:
        given = "--architecture" if options.architecture else "--classes"
        raise OptionError(f"--to {options.to} with {given}", expected=expected, hint="the same line without it")


def _network(folder: Path) -> tuple[str, object]:
    """The reference's network that a checkpoint is, and its dropout where the reference's default is another."""
    architecture = read_card(folder).build_from()
    network = paddle.network_of(architecture)
    if network is None:
        raise CheckpointError(
            f"{architecture.full_name} of {folder / CARD} is none of the reference's networks",
            expected=", ".join(NETWORKS),
            hint="--student with one of these names, to distil one that Paddle reads",
        )
    own = paddle.arguments_of_its_own(network, architecture)
    dropout = own.pop("drop_rate", None)
    if own:
        raise CheckpointError(
            f"{folder} is no plain {NETWORKS[network].name}: it is built with {', '.join(own)}",
            expected="the network as the reference has it",
            hint="a student without --student-args",
        )
    return network, dropout


def _is_same(out: Path, tensors: dict[str, Values]) -> bool:
    try:
        there = read_pdparams(out).tensors
    except CheckpointError:
        return False
    return list(there) == list(tensors) and all((there[name] == values).all() for name, values in tensors.items())


def _again(options: Convert) -> str:
    return shlex.join(["limbeck", "convert", options.source, "--out", options.out])
