"""Reading files of weights without running what is in them, and fitting them into a model."""

import pickle
import shlex
import tarfile
import zipfile
from codecs import getincrementaldecoder
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from limbeck.checkpoints.pickle_values import Damaged, Refused, Thing
from limbeck.checkpoints.torchfile import read_tree
from limbeck.errors import CheckpointError, UnsafeFile, counted, shown

PICKLES = (".pth", ".pt", ".bin", ".ckpt", ".tar")
_WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model_state_dict", "model", "module")
_PREFIXES = ("module.", "_orig_mod.")
_CLEAR = (pickle.UnpicklingError, RuntimeError, EOFError, OSError)


@dataclass(frozen=True)
class Contents:
    """The tensors of a file, and what else is in it, each with what it is."""

    weights: dict[str, Tensor]
    others: dict[str, str]
    values: Mapping[str, Any] = field(default_factory=dict)  # the others themselves


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a `.safetensors` file, or of a `.pth`, `.pt` or `.bin` file that holds nothing but tensors.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "weights.pth"
    >>> torch.save({"state_dict": {"module.bias": torch.zeros(3)}}, file)
    >>> read_weights(file)
    {'bias': tensor([0., 0., 0.])}
    """
    return read_contents(path).weights


def read_contents(path: str | Path) -> Contents:
    """What `read_weights` reads, and the names of what it leaves aside."""
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(
            f"no file of weights at {path}", expected="a .safetensors or .pth file", hint="the path of the file itself"
        )
    if path.suffix == ".safetensors":
        try:
            contents = Contents({shown(name): value for name, value in load_file(path).items()}, {})
        except SafetensorError as error:
            raise _unreadable(path, str(error)) from error
        if not contents.weights:
            raise CheckpointError(f"{path} holds no weights", expected="tensors by name", hint="another file")
        return contents
    if path.suffix in PICKLES:
        return _checked(path, _unwrapped(path, read_pickle(path)))
    paddle = path.suffix == ".pdparams"
    raise CheckpointError(
        f"{path} is no file of weights that limbeck reads" + (" without converting it" if paddle else ""),
        expected=f".safetensors, {', '.join(PICKLES)}",
        hint=f"limbeck convert {shlex.quote(str(path))} --out CHECKPOINT" if paddle else "save it as .safetensors",
    )


def fit_weights(model: nn.Module, weights: Mapping[str, Tensor], source: str, *, new_head: bool = False) -> list[str]:
    """Puts weights into a model, all of them, or fails with what does not fit.

    With `new_head`, a classifier of another class count is left as it is. Returns the names of the tensors left so.

    >>> layer = nn.Linear(2, 2)
    >>> fit_weights(layer, {"weight": torch.eye(2), "bias": torch.zeros(2)}, "a test")
    []
    """
    own = model.state_dict()
    missing = [name for name in own if name not in weights and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in weights if name not in own]
    odd = [name for name in own if name in weights and own[name].shape != weights[name].shape]
    left = _head(own, weights, odd) if new_head else []
    odd = [name for name in odd if name not in left]
    other = [name for name in own if own[name].is_floating_point() and _is_other(weights.get(name))]
    if missing or unexpected or odd or other:
        shapes = [f"{name} {tuple(weights[name].shape)} instead of {tuple(own[name].shape)}" for name in odd]
        kinds = [f"{name} {str(weights[name].dtype).removeprefix('torch.')}" for name in other]
        parts = (
            _some("missing", missing),
            _some("unexpected", unexpected),
            _some("of another shape", shapes),
            _some("of other numbers", kinds),
        )
        raise CheckpointError(
            f"the weights of {source} do not fit this {type(model).__name__}: " + "; ".join(filter(None, parts)),
            expected=f"{counted(len(own), 'tensor')}, named and shaped as the model's own",
            hint="name the model that these weights were saved from, with its class count and input size",
        )
    model.load_state_dict({name: value for name, value in weights.items() if name not in left}, strict=False)
    return left


def _is_other(value: Tensor | None) -> bool:
    return value is not None and not value.is_floating_point()


def _check_archive(path: Path) -> None:
    """An archive of torch.save's is not compressed: nothing in it is larger than it is."""
    with path.open("rb") as file:
        start = file.read(4)
    if start == b"PK\x03\x04":
        try:
            with zipfile.ZipFile(path) as archive:
                declared = sum(entry.file_size for entry in archive.infolist())
        except (zipfile.BadZipFile, ValueError):
            return  # which torch.load tells
        if declared > path.stat().st_size:
            raise _grows(path, declared)
    elif tarfile.is_tarfile(path):
        raise CheckpointError(
            f"{path} is a tar archive",
            expected="a file of weights",
            hint=f"tar -xf {shlex.quote(str(path))}, and the file of weights out of it",
        )


def _checked(path: Path, contents: Contents) -> Contents:
    """Tensors that are in the file with all of their values."""
    for name, value in contents.weights.items():
        if value.layout != torch.strided or value.is_meta or value.is_quantized:
            found = "without values" if value.is_meta else "quantized" if value.is_quantized else "sparse"
            raise CheckpointError(
                f"{path} cannot be used: its tensor {name} is {found}",
                expected="plain tensors",
                hint="torch.save(model.state_dict(), FILE), of the model before it was made so",
            )
        if value.nbytes > path.stat().st_size:
            raise _grows(path, value.nbytes)
    return contents


def _grows(path: Path, declared: int) -> UnsafeFile:
    return UnsafeFile(
        f"{path} is refused: it declares {declared:,} bytes, and has {path.stat().st_size:,}",
        expected="a file that is as large as its tensors",
        hint="ask its maker for .safetensors, or for torch.save(model.state_dict())",
    )


def read_pickle(path: Path) -> Any:
    """What torch.save wrote. Objects of numpy's and of training frameworks beside the tensors are not made."""
    _check_archive(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # bytes that are no pickle make it fail in any way
        text = str(error)
        if "TorchScript" in text:
            raise _refused(path, "it is a TorchScript program when loaded") from error
        if isinstance(error, pickle.UnpicklingError):
            try:
                return read_tree(path)
            except Refused as refusal:
                raise _refused(path, str(refusal)) from error
            except Damaged as damage:
                raise _unreadable(path, str(damage)) from error
        reason = text.split("WeightsUnpickler error:")[-1]
        raise _unreadable(path, reason if isinstance(error, _CLEAR) else "torch.save did not write it") from error


def _refused(path: Path, reason: str) -> UnsafeFile:
    return UnsafeFile(
        f"{path} is refused: {reason}",
        expected="a file that holds tensors, and plain values beside them",
        hint="ask its maker for .safetensors, or for torch.save(model.state_dict())",
    )


def _unwrapped(path: Path, content: Any) -> Contents:
    values: dict[str, Any] = {}
    while isinstance(content, Mapping):
        inner = next((content[key] for key in _WRAPPERS if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            break
        values |= {shown(key): value for key, value in content.items() if value is not inner}
        content = inner
    if not isinstance(content, Mapping) or not any(isinstance(value, Tensor) for value in content.values()):
        inside = f"the keys {', '.join(map(shown, list(content)[:5]))}" if isinstance(content, Mapping) else "no table"
        raise CheckpointError(
            f"{path} holds {inside}, and no weights",
            expected=f"tensors by name, or {', '.join(_WRAPPERS)}",
            hint="torch.save(model.state_dict(), FILE)",
        )
    tensors = {shown(name): value for name, value in content.items() if isinstance(value, Tensor)}
    values |= {shown(key): value for key, value in content.items() if not isinstance(value, Tensor)}
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return Contents(tensors, {key: kind(value) for key, value in values.items()}, values)


def kind(value: object) -> str:
    """What an entry of a file is, in a word.

    >>> kind({"a": 1}), kind(3), kind(None)
    ('a table', 'a number', 'nothing')
    """
    named = ((Mapping, "a table"), (list | tuple, "a list"), (str, "a text"), (int | float, "a number"))
    name = value.name if isinstance(value, Thing) else type(value).__name__
    word = next((name for each, name in named if isinstance(value, each)), f"a {name}")
    return "nothing" if value is None else word


def _head(own: Mapping[str, Tensor], weights: Mapping[str, Tensor], odd: Sequence[str]) -> list[str]:
    """The tensors that differ in their first dimension alone, all in the same way: a head of another class count."""
    rows = [name for name in odd if own[name].ndim and own[name].shape[1:] == weights[name].shape[1:]]
    counts = {(own[name].shape[0], weights[name].shape[0]) for name in rows}
    return rows if len(counts) == 1 else []


def _unreadable(path: Path, reason: str) -> CheckpointError:
    text = text_in(path)
    if text:
        return CheckpointError(
            f"{path} is not a file of weights: it is text, and begins with {text!r}",
            expected="a .safetensors or .pth file",
            hint="download the file itself: this may be a web page, a note, or the pointer of Git LFS",
        )
    first = next((line.strip() for line in reason.splitlines() if line.strip()), "it ends too early")
    return CheckpointError(
        f"{path} cannot be read: {shown(first)}", expected="a whole file of weights", hint="copy or download it again"
    )


def text_in(path: Path, most: int = 40) -> str:
    """How a file begins that holds text; nothing where it holds bytes, as weights do."""
    with path.open("rb") as file:
        start = file.read(4 * most)
    try:
        text = getincrementaldecoder("utf-8")().decode(start)  # a letter may be cut in two
    except UnicodeDecodeError:
        return ""
    return text[:most].strip() if all(letter.isprintable() or letter.isspace() for letter in text) else ""


def _some(what: str, names: Sequence[str], most: int = 5) -> str:
    if not names:
        return ""
    return f"{len(names)} {what} ({', '.join(names[:most])}{', ...' if len(names) > most else ''})"
