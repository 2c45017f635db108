"""Numpy's arrays out of the plain values of a pickle: the words that its files call, and what each of them makes."""

from collections.abc import Callable, Mapping
from math import prod
from typing import TYPE_CHECKING, Any

from limbeck.checkpoints.pickle_values import Array, Damaged, Kind, Language, Refused, Thing, Word, is_shape, plain

if TYPE_CHECKING:
    from limbeck.checkpoints.unpickle import Machine

_KINDS = {"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"}


def set_order(kind: Kind, state: object) -> None:
    usual = isinstance(state, tuple) and len(state) == 8 and state[2:] == (None, None, None, -1, -1, 0)
    order = plain(state[1]) if isinstance(state, tuple) and len(state) > 1 else ""
    if not usual or kind.order or order not in ("<", ">", "=", "|"):
        raise Refused("it holds arrays of something else than plain numbers")
    kind.order = order


def fill(machine: "Machine", array: Array, shape: Any, kind: Any, fortran: Any, content: Any) -> None:
    if isinstance(kind, Thing):
        return  # of texts or dates, which nobody asks for
    if not isinstance(kind, Kind) or not kind.order or not isinstance(content, memoryview | bytes):
        raise Refused("it holds arrays of something else than plain numbers")
    if not is_shape(shape):
        raise Refused("an array in it declares a shape that no array has")
    declared = prod(shape) * int(kind.code[1:])
    if declared != len(content):
        raise Refused(f"an array in it declares {declared:,} bytes, and has {len(content):,}")
    machine.declared += declared
    machine.check_held(machine.declared)
    array.kind, array.shape, array.fortran, array.content = kind, shape, bool(fortran), content


def _new_array(machine: "Machine", args: tuple[Any, ...]) -> Array:
    if len(args) != 3 or args[0] != Word("ndarray") or args[1] != (0,):
        raise Refused("it makes an array of another type than numpy's")
    return Array()


def _array_of_buffer(machine: "Machine", args: tuple[Any, ...]) -> Array:
    if len(args) != 4 or args[3] not in ("C", "F"):
        raise Refused("it makes an array of something else than bytes")
    content, kind, shape, order = args
    array = Array()
    fill(machine, array, shape, kind, order == "F", content)
    return array


def _kind(machine: "Machine", args: tuple[Any, ...]) -> Kind:
    code = plain(args[0]) if args else ""
    if len(args) > 3 or code not in _KINDS:
        raise Refused("it holds arrays of something else than plain numbers")
    return Kind(code)


def _encoded(machine: "Machine", args: tuple[Any, ...]) -> bytes:
    if len(args) != 2 or not isinstance(args[0], str) or args[1] != "latin1":
        raise Refused("it encodes text in a way that arrays do not need")
    machine.encoded += len(args[0])
    machine.check_held(machine.encoded)
    try:
        return args[0].encode("latin1")
    except UnicodeEncodeError as error:
        raise Damaged("bytes in it are no bytes") from error


def _no_bytes(machine: "Machine", args: tuple[Any, ...]) -> bytes:
    if args:
        raise Refused("it makes bytes of a size of its own")
    return b""


def _same_tuple(machine: "Machine", args: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(args) != 1 or not isinstance(args[0], tuple):
        raise Refused("it makes a tuple of what is none")
    return args[0]


def _no_items(machine: "Machine", args: tuple[Any, ...]) -> dict[str, Any]:
    if args:
        raise Refused("it makes a dict of what is none")
    return {}


def _not_called(machine: "Machine", args: tuple[Any, ...]) -> Any:
    raise Refused("it calls the type of arrays itself")


CALLS: Mapping[str, Callable[["Machine", tuple[Any, ...]], Any]] = {
    "array": _new_array,
    "buffer": _array_of_buffer,
    "kind": _kind,
    "encode": _encoded,
    "bytes": _no_bytes,
    "tuple": _same_tuple,
    "dict": _no_items,
    "ndarray": _not_called,
}

WORDS = {
    "numpy.core.multiarray _reconstruct": "array",
    "numpy._core.multiarray _reconstruct": "array",
    "numpy.core.numeric _frombuffer": "buffer",
    "numpy._core.numeric _frombuffer": "buffer",
    "numpy ndarray": "ndarray",
    "numpy dtype": "kind",
    "_codecs encode": "encode",
    "__builtin__ bytes": "bytes",
    "builtins bytes": "bytes",
    "__builtin__ tuple": "tuple",
    "builtins tuple": "tuple",
    "collections OrderedDict": "dict",
}
ARRAYS = Language(WORDS, CALLS)
