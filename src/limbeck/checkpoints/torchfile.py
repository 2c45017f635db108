"""Files of torch.save that hold more than tensors, read without running what is in them.

`torch.load(weights_only=True)` refuses a training checkpoint with one object of numpy's or of a framework's in it.
Here tensors and plain values come out, objects of a few frameworks are passed over as `Thing`, all else is refused.
"""

import lzma
import mmap
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from limbeck.checkpoints.pickle_arrays import CALLS, WORDS
from limbeck.checkpoints.pickle_values import Damaged, Kind, Language, Refused, Thing, Word, is_shape
from limbeck.checkpoints.unpickle import Machine, made

_KINDS = {
    "DoubleStorage": torch.float64, "FloatStorage": torch.float32, "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32,
    "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8, "BoolStorage": torch.bool,
}  # fmt: skip
_FRAMEWORKS = "mmengine|mmcv|mmdet|mmdet3d|mmcls|mmpretrain|mmseg|mmpose|mmrotate|mmyolo|addict"
_HARMLESS = re.compile(
    rf"({_FRAMEWORKS})(\.\w+)+"
    r"|(pathlib|datetime|uuid|numpy\.dtypes)\.\w+|argparse\.Namespace|numpy\.(bool_|u?int\d*|float\d*|str_)"
    r"|collections\.(defaultdict|deque|Counter)|torch\.(Size|device|dtype|[bu]?float\d+|u?int\d+|bool)"
    r"|builtins\.(int|float|str|bool|list|dict|set|frozenset|object|complex|slice|range|bytearray)"
)
_MAPPINGS = re.compile(rf"({_FRAMEWORKS})(\.\w+)*\.(ConfigDict|Dict|OrderedDict)|collections\.(defaultdict|Counter)")


def read_tree(path: Path) -> Any:
    """What a file of torch.save holds, zipped or of the older kind: dicts, lists, plain values, tensors, `Thing`s.

    >>> from tempfile import mkdtemp
    >>> file = Path(mkdtemp()) / "weights.pth"
    >>> torch.save({"state_dict": {"bias": torch.zeros(2)}, "meta": {"date": re.compile}}, file)
    >>> read_tree(file)
    Traceback (most recent call last):
    limbeck.checkpoints.pickle_values.Refused: it would run re.compile when loaded
    """
    if zipfile.is_zipfile(path):
        return _zipped(path)
    with path.open("rb") as file:
        content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    return _plain(content)


@dataclass
class Storage:
    """The memory that tensors lie in, and whether its bytes were read."""

    values: Tensor
    filled: bool = False

    def fill(self, content: memoryview | bytes) -> None:
        raw = self.values.view(torch.uint8)
        if len(content) != len(raw):
            raise Refused(f"a tensor in it declares {len(raw):,} bytes, and has {len(content):,}")
        if len(raw):
            raw.numpy()[:] = np.frombuffer(content, np.uint8)
        self.filled = True


class Storages:
    """The storages of a file by their keys; all together they are not larger than the file."""

    def __init__(self, size: int, fill: Callable[[str, Storage], None] | None = None) -> None:
        self.size, self.declared, self.fill = size, 0, fill
        self.named: dict[str, Storage] = {}

    def __call__(self, machine: Machine, reference: Any) -> Storage:
        if not isinstance(reference, tuple) or len(reference) not in (5, 6) or reference[0] != "storage":
            raise Refused("it refers to objects outside of the file")
        _, kind, key, _, count, *view = reference
        if not isinstance(kind, Word) or kind.name not in _KINDS or type(count) is not int or count < 0:
            raise Refused("a tensor in it has a storage of no plain numbers")
        if any(each is not None for each in view) or not isinstance(key, str):
            raise Refused("a tensor in it has a storage that is a part of another")
        if key not in self.named:
            dtype = _KINDS[kind.name]
            self.declared += count * dtype.itemsize
            if self.declared > self.size:
                raise Damaged(f"its tensors take {self.declared:,} bytes, and it has {self.size:,}")
            self.named[key] = Storage(torch.empty(count, dtype=dtype))
            if self.fill is not None:
                self.fill(key, self.named[key])
        return self.named[key]


def _zipped(path: Path) -> Any:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            inside = next((name[: -len("data.pkl")] for name in names if re.fullmatch(r"[^/]+/data\.pkl", name)), None)
            if inside is None:
                raise Damaged("it is an archive that torch.save did not write")
            if f"{inside}byteorder" in names and archive.read(f"{inside}byteorder") != b"little":
                raise Damaged("its numbers are of a big-endian machine")
            size = path.stat().st_size
            if sum(entry.file_size for entry in archive.infolist()) > size:
                raise Refused(f"it declares more bytes than the {size:,} that it has")

            def fill(key: str, storage: Storage) -> None:
                if f"{inside}data/{key}" not in names:
                    raise Damaged(f"the tensor {key} is missing")
                storage.fill(archive.read(f"{inside}data/{key}"))

            content = memoryview(archive.read(f"{inside}data.pkl"))
            return Machine(content, _language(Storages(size, fill))).run()
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, RuntimeError, ValueError, EOFError) as error:
        raise Damaged(str(error)) from error


def _plain(content: memoryview) -> Any:
    """The older kind: three pickles of no interest, one of the tree, one of the keys, and the bytes of each."""
    storages = Storages(len(content))
    at, found = 0, []
    for _ in range(5):
        machine = Machine(content[at:], _language(storages))
        found.append(machine.run())
        at += machine.at
    *_, tree, keys = found
    if (
        not isinstance(keys, list)
        or not all(type(key) is str for key in keys)
        or sorted(keys) != sorted(storages.named)
    ):
        raise Damaged("its list of tensors is another's")
    for key in keys:
        storage = storages.named[key]
        end = at + 8 + storage.values.nbytes
        if end > len(content):
            raise Damaged(f"it ends too early, after {len(content):,} bytes")
        if struct.unpack("<q", content[at : at + 8]) != (len(storage.values),):
            raise Damaged("its tensors have other sizes than it declares")
        storage.fill(content[at + 8 : end])
        at = end
    return tree


def _language(storages: Storages) -> Language:
    return Language(_WORDS, _CALLS, _HARMLESS, _MAPPINGS, storages)


def _tensor(machine: Machine, args: tuple[Any, ...]) -> Tensor:
    if not 4 <= len(args) <= 7 or not isinstance(args[0], Storage):
        raise Refused("it makes a tensor of something else than its bytes")
    storage, offset, size, stride = args[:4]
    if type(offset) is not int or offset < 0 or not is_shape(size) or not is_shape(stride) or len(size) != len(stride):
        raise Refused("a tensor in it declares a shape that no tensor has")
    values = storage.values
    last = offset + sum((count - 1) * step for count, step in zip(size, stride, strict=True))
    if prod(size) > len(values) or (prod(size) and last >= len(values)):
        raise Refused(f"a tensor in it declares the shape {tuple(size)}, and has {len(values):,} numbers")
    return torch.as_strided(values, size, stride, offset if prod(size) else 0)


def _parameter(machine: Machine, args: tuple[Any, ...]) -> Tensor:
    if not args or not isinstance(args[0], Tensor):
        raise Refused("it makes a parameter of what is no tensor")
    return args[0]


def _kind(machine: Machine, args: tuple[Any, ...]) -> Any:
    if args and isinstance(args[0], str) and re.fullmatch(r"[USMm]\d+", args[0]):
        return Thing("numpy.dtype", args)
    return CALLS["kind"](machine, args)


def _scalar(machine: Machine, args: tuple[Any, ...]) -> Any:
    """A number of numpy's as one of Python's."""
    if len(args) == 2 and isinstance(args[0], Thing):
        return Thing("numpy.scalar", args)
    if len(args) != 2 or not isinstance(args[0], Kind) or not isinstance(args[1], memoryview | bytes):
        raise Refused("it makes a number of numpy's of something else than bytes")
    kind = np.dtype(args[0].order + args[0].code)
    if len(args[1]) != kind.itemsize:
        raise Refused("a number of numpy's in it has too many bytes")
    return np.frombuffer(args[1], kind)[0].item()


def _attribute(machine: Machine, args: tuple[Any, ...]) -> Thing:
    """A method by its name: passed over, as the class is."""
    if len(args) != 2 or not isinstance(args[0], Thing) or not isinstance(args[1], str):
        raise Refused("it would run builtins.getattr when loaded")
    return Thing(f"{args[0].name}.{args[1]}")


def _reconstructed(machine: Machine, args: tuple[Any, ...]) -> Any:
    if not args or not isinstance(args[0], Thing):
        raise Refused("it builds objects of classes")
    return made(machine, args[0], ())


def _items(machine: Machine, args: tuple[Any, ...]) -> dict[Any, Any]:
    """An ordered dict; those of Python 2 are made of a list of pairs."""
    pairs = args[0] if args else []
    if not isinstance(pairs, list) or not all(isinstance(each, list) and len(each) == 2 for each in pairs):
        raise Refused("it makes a dict of what is none")
    if not all(isinstance(key, str) for key, _ in pairs):
        raise Refused("a key in it is no text")
    return dict(pairs)


_WORDS: Mapping[str, str] = {
    **WORDS,
    **{f"torch {name}": name for name in _KINDS},
    "torch._utils _rebuild_tensor": "tensor",
    "torch._utils _rebuild_tensor_v2": "tensor",
    "torch._utils _rebuild_parameter": "parameter",
    "numpy.core.multiarray scalar": "scalar",
    "numpy._core.multiarray scalar": "scalar",
    "__builtin__ getattr": "attribute",
    "builtins getattr": "attribute",
    "copy_reg _reconstructor": "reconstructed",
    "copyreg _reconstructor": "reconstructed",
}


def _no_call(machine: Machine, args: tuple[Any, ...]) -> Any:
    raise Refused("it makes a storage of its own")


_CALLS: Mapping[str, Callable[[Machine, tuple[Any, ...]], Any]] = {
    **CALLS,
    **dict.fromkeys(_KINDS, _no_call),
    "dict": _items,
    "kind": _kind,
    "tensor": _tensor,
    "parameter": _parameter,
    "scalar": _scalar,
    "attribute": _attribute,
    "reconstructed": _reconstructed,
}
