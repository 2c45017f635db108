"""Paddle's files of weights, `.pdparams`: a pickle of arrays by name, read and written without Paddle and pickle."""

import mmap
import shlex
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from limbeck.checkpoints.pickle_values import Array, Damaged, Refused, is_shape
from limbeck.checkpoints.unpickle import unpickled
from limbeck.checkpoints.weights import kind, text_in
from limbeck.errors import CheckpointError, UnsafeFile, shown
from limbeck.files import write_atomically

SUFFIX = ".pdparams"
Values = np.ndarray[Any, Any]

_NAMES, _PARTS = "StructuredToParameterName@@", "UnpackBigParamInfor@@"
_WRAPPERS = ("state_dict", "model", "model_state_dict", "params")
_TORCH_MAGIC = 0x1950A86A20F9469CFC6C
_TORCH_START = b"\x80\x02\x8a\x0a" + _TORCH_MAGIC.to_bytes(10, "little")
_SAFE = "arrays of plain numbers by name, and nothing else"
_AGAIN = "copy or download it again"


@dataclass(frozen=True)
class PaddleFile:
    """The tensors of a file, and its other entries, each with what it is."""

    tensors: Mapping[str, Values]
    others: Mapping[str, str]


def read_pdparams(path: str | Path) -> PaddleFile:
    """The arrays of a `.pdparams` file. They are read-only: their memory is the file.

    >>> from tempfile import mkdtemp
    >>> file = Path(mkdtemp()) / "fc.pdparams"
    >>> write_pdparams(file, {"fc.bias": np.zeros(2, np.float32)})
    >>> read_pdparams(file).tensors
    {'fc.bias': array([0., 0.], dtype=float32)}
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(
            f"no file of weights at {path}", expected=f"a {SUFFIX} file", hint="the path of the file itself"
        )
    if not path.stat().st_size:
        raise CheckpointError(f"{path} is empty", expected=f"a whole {SUFFIX} file", hint=_AGAIN)
    with path.open("rb") as file:
        content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    if content[0] != 0x80 and content[-1] != ord("."):  # protocols 0 and 1 have no sign but their end
        raise _foreign(path)
    try:
        return _unwrapped(path, unpickled(content))
    except Refused as reason:
        raise UnsafeFile(
            f"{path} is refused: {reason}", expected=_SAFE, hint="ask its maker for paddle.save(model.state_dict())"
        ) from reason
    except Damaged as reason:
        if content[0] != 0x80:
            raise _foreign(path) from reason
        raise CheckpointError(
            f"{path} cannot be read: {reason}", expected=f"a whole {SUFFIX} file", hint=_AGAIN
        ) from reason


def is_paddle(path: Path) -> bool:
    """Whether a file says that it is Paddle's, or is a pickle that torch.save did not write."""
    with path.open("rb") as file:
        start = file.read(len(_TORCH_START))
    return path.suffix == SUFFIX or (start[:1] == b"\x80" and start != _TORCH_START)


def write_pdparams(path: str | Path, tensors: Mapping[str, Values]) -> None:
    """Writes arrays as paddle.save does: a dict by name that plain `pickle.load` and `paddle.load` read.

    The same arrays give the same bytes, whatever version of numpy is there, and every version reads them.

    >>> import pickle
    >>> from tempfile import mkdtemp
    >>> file = Path(mkdtemp()) / "fc.pdparams"
    >>> write_pdparams(file, {"fc.bias": np.zeros(2, np.float32)})
    >>> pickle.loads(file.read_bytes())  # noqa: S301
    {'fc.bias': array([0., 0.], dtype=float32)}
    """

    def write(stream: BinaryIO) -> None:
        stream.write(b"\x80\x04}(")
        for name, values in tensors.items():
            stream.write(_pickled_text(name))
            _pickle_array(stream, values)
        stream.write(b"u.")

    write_atomically(Path(path), write)


def _unwrapped(path: Path, tree: object) -> PaddleFile:
    """The arrays of the table that holds them, and what else is in the file."""
    others: dict[str, str] = {}
    while isinstance(tree, dict) and not any(map(_is_array, tree.values())):
        inner = next((key for key in _WRAPPERS if isinstance(tree.get(key), dict)), None)
        if inner is None:
            break
        others |= {shown(key): kind(value) for key, value in tree.items() if key != inner}
        tree = tree[inner]
    if tree == _TORCH_MAGIC:
        raise _other(path, "torch.save wrote it", _named(path, ".pth"))
    if not isinstance(tree, dict) or not any(map(_is_array, tree.values())):
        inside = f"the keys {', '.join(map(shown, list(tree)[:5]))}" if isinstance(tree, dict) else "no table"
        raise CheckpointError(
            f"{path} holds {inside}, and no weights",
            expected="arrays by name",
            hint="paddle.save(model.state_dict(), FILE)",
        )
    arrays = {name: _array(value) for name, value in tree.items() if _is_array(value)}
    rest = {name: value for name, value in tree.items() if name not in arrays}
    if _PARTS in rest:
        arrays = _joined(arrays, rest.pop(_PARTS))
    others |= {shown(name): kind(value) for name, value in rest.items()}
    if _NAMES in others:
        others[_NAMES] = "a table of Paddle's own names"
    return PaddleFile({shown(name): values for name, values in arrays.items()}, others)


def _joined(arrays: Mapping[str, Values], parts: object) -> dict[str, Values]:
    """Arrays that were too large for an old protocol lie in flat slices."""
    whole = dict(arrays)
    for name, told in parts.items() if isinstance(parts, dict) else ():
        slices, shape = (told.get(key) if isinstance(told, dict) else None for key in ("slices", "OriginShape"))
        named = isinstance(slices, list) and all(isinstance(part, str) and part in whole for part in slices)
        if not named or not slices or not isinstance(shape, tuple | list) or not is_shape(tuple(shape)):
            raise Damaged(f"slices of {shown(name)} are missing")
        flat = [whole.pop(part).reshape(-1) for part in slices]
        if prod(shape) != sum(map(len, flat)):
            raise Damaged(f"the slices of {shown(name)} do not make its shape {tuple(shape)}")
        whole[name] = np.concatenate(flat).reshape(shape)
    return whole


def _is_array(value: object) -> bool:
    """An array, or what old files have: the array and the name that Paddle gave it."""
    return isinstance(value, Array) or (isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], Array))


def _array(value: Any) -> Values:
    array: Array = value[1] if isinstance(value, tuple) else value
    return array.numpy()


def _foreign(path: Path) -> CheckpointError:
    """What a file is that is no pickle."""
    with path.open("rb") as file:
        start = file.read(16)
    text = text_in(path)
    if start[:4] == b"PK\x03\x04":
        return _other(path, "it is an archive, as torch.save writes", _named(path, ".pth"))
    if start[8:9] == b"{" and struct.unpack("<Q", start[:8])[0] < path.stat().st_size:
        return _other(path, "it is a safetensors file", _named(path, ".safetensors"))
    if text:
        return _other(
            path,
            f"it is text, and begins with {text!r}",
            "download the file itself: this may be a web page, a note, or the pointer of Git LFS",
        )
    return _other(path, "it is no pickle", f"the file of weights that paddle.save wrote: NAME{SUFFIX}")


def _named(path: Path, suffix: str) -> str:
    return shlex.join(["mv", str(path), str(path.with_suffix(suffix))])


def _other(path: Path, what: str, hint: str) -> CheckpointError:
    return CheckpointError(f"{path} is not a file of Paddle's weights: {what}", expected=f"a {SUFFIX} file", hint=hint)


def _pickled_text(text: str) -> bytes:
    content = text.encode()
    return b"X" + struct.pack("<I", len(content)) + content


def _pickled_number(number: int) -> bytes:
    return b"\x8a\x09" + number.to_bytes(9, "little", signed=True)


def _pickle_array(stream: BinaryIO, values: Values) -> None:
    plain = np.ascontiguousarray(values).reshape(values.shape)
    plain = plain.astype(plain.dtype.newbyteorder("<"), copy=False)
    order = b"|" if plain.dtype.itemsize == 1 else b"<"
    code = f"{plain.dtype.kind}{plain.dtype.itemsize}"
    # the names that every numpy knows; a newer one would write numpy._core
    stream.write(b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R(K\x01(")
    stream.write(b"".join(map(_pickled_number, plain.shape)) + b"t")
    stream.write(b"cnumpy\ndtype\n" + _pickled_text(code) + b"\x89\x88\x87R(K\x03")
    stream.write(_pickled_text(order.decode()) + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89")
    stream.write(b"\x8e" + struct.pack("<Q", plain.nbytes))
    stream.write(plain.reshape(-1).view(np.uint8).data if plain.size else b"")
    stream.write(b"tb")
