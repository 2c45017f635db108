"""Pickles of numpy arrays, read without pickle: the few opcodes that arrays need, and nothing that is called.

What pickle calls a function is here a word of a literal table, which makes an `Array` out of plain values or refuses.
Nothing is larger than the file: an array's bytes are in it, once. Files of another kind have a `Language` of their own.
"""

import struct
from collections.abc import Callable, Mapping
from typing import Any

from limbeck.checkpoints.pickle_arrays import ARRAYS, fill, set_order
from limbeck.checkpoints.pickle_values import MOST_LETTERS, Array, Damaged, Kind, Language, Refused, Thing, Word, plain
from limbeck.errors import shown

_MOST_STEPS = 1_000_000  # a step takes a byte of the file at least, and up to two hundred of memory


def unpickled(content: memoryview) -> object:
    """What a pickle holds: dicts, lists, tuples, texts, numbers, and arrays.

    >>> import pickle
    >>> unpickled(memoryview(pickle.dumps({"a": (1, "b")}, protocol=2)))
    {'a': (1, 'b')}
    """
    return Machine(content).run()


class Machine:
    """The stack machine of pickle, without the parts that build objects."""

    def __init__(self, content: memoryview, language: Language | None = None) -> None:
        self.content, self.at, self.language = content, 0, language or ARRAYS
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.encoded = self.declared = 0  # bytes made of texts, and bytes of arrays

    def run(self) -> object:
        for _ in range(_MOST_STEPS):
            opcode = bytes(self.take(1))
            if opcode == b".":
                return self.pop()
            if opcode in _PUSHED:
                self.stack.append(_PUSHED[opcode](self))
            elif opcode in _DONE:
                _DONE[opcode](self)
            else:
                raise _unknown(opcode)
        raise Refused(f"it takes more than {_MOST_STEPS:,} steps to read")

    def take(self, count: int) -> memoryview:
        if count < 0 or count > len(self.content) - self.at:
            raise Damaged(f"it ends too early, after {len(self.content):,} bytes")
        self.at += count
        return self.content[self.at - count : self.at]

    def number(self, form: str) -> int:
        return int(struct.unpack(form, self.take(struct.calcsize(form)))[0])

    def line(self) -> str:
        for length in range(min(200, len(self.content) - self.at)):
            if self.content[self.at + length] == 0x0A:
                return bytes(self.take(length + 1))[:-1].decode("utf-8", "replace")
        raise Damaged("it names something without an end")

    def pop(self) -> Any:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise Damaged("its steps do not fit together")
        return self.stack.pop()

    def top(self) -> Any:
        value = self.pop()
        self.stack.append(value)
        return value

    def since_mark(self) -> list[Any]:
        if not self.marks:
            raise Damaged("its steps do not fit together")
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def last(self, count: int) -> tuple[Any, ...]:
        return tuple(reversed([self.pop() for _ in range(count)]))

    def check_held(self, count: int) -> None:
        if count > len(self.content):
            raise Refused(f"it would make more bytes than the {len(self.content):,} that it has")


def _text(machine: Machine, form: str) -> str:
    try:
        return str(machine.take(machine.number(form)), "utf-8")
    except UnicodeDecodeError as error:
        raise Damaged("a name in it is no text") from error


def _memoized(machine: Machine, key: int) -> Any:
    if key not in machine.memo:
        raise Damaged("it refers to what it does not hold")
    return machine.memo[key]


def _stack_word(machine: Machine) -> Word | Thing:
    module, name = machine.last(2)
    if not isinstance(module, str) or not isinstance(name, str):
        raise Refused("it names a module by something that is no text")
    return _word(machine.language, module, name)


def _line_word(machine: Machine) -> Word | Thing:
    module = machine.line()
    return _word(machine.language, module, machine.line())


def _word(language: Language, module: str, name: str) -> Word | Thing:
    called = f"{module.replace('__builtin__', 'builtins')}.{name}"
    if f"{module} {name}" in language.words:
        return Word(language.words[f"{module} {name}"])
    if language.harmless and language.harmless.fullmatch(called):
        return Thing(called)
    raise Refused(f"it would run {shown(called)} when loaded"[:200])


def _append(machine: Machine, values: list[Any]) -> None:
    into = machine.top()
    if isinstance(into, Thing):
        return
    if not isinstance(into, list):
        raise Refused("it appends to what is no list")
    into.extend(values)


def _set(machine: Machine, values: list[Any]) -> None:
    into = machine.top()
    if isinstance(into, Thing):
        return
    if not isinstance(into, dict) or len(values) % 2:
        raise Refused("it sets items of what is no dict")
    for key, value in zip(values[::2], values[1::2], strict=True):
        if machine.language.harmless and (key is None or isinstance(key, int | float)):
            into[key] = value
            continue
        if not isinstance(key, str | memoryview):
            raise Refused("a key in it is no text")
        if len(key) > MOST_LETTERS:
            raise Refused(f"a key in it has {len(key):,} letters")
        into[plain(key)] = value


def _reduce(machine: Machine) -> Any:
    called, args = machine.last(2)
    if isinstance(called, Thing) and called.args is None and isinstance(args, tuple):
        return made(machine, called, args)
    if not isinstance(called, Word) or not isinstance(args, tuple):
        raise Refused("it calls what is no name")
    return machine.language.calls[called.name](machine, args)


def made(machine: Machine, called: Thing, args: tuple[Any, ...]) -> Any:
    """An object of a class that is passed over; a dict of some other name is a dict."""
    if machine.language.mappings and machine.language.mappings.fullmatch(called.name):
        return dict(args[0]) if args and isinstance(args[0], dict) else {}
    return Thing(called.name, args)


def _new(machine: Machine, count: int) -> Any:
    called, args, *_ = machine.last(count)
    if not isinstance(called, Thing) or not isinstance(args, tuple):
        raise Refused("it builds objects of classes")
    return made(machine, called, args)


def _outside(machine: Machine) -> Any:
    if machine.language.outside is None:
        raise Refused("it refers to objects outside of the file")
    return machine.language.outside(machine, machine.pop())


def _build(machine: Machine) -> None:
    state = machine.pop()
    built = machine.top()
    if isinstance(built, Thing):
        built.state = state
    elif isinstance(built, dict) and machine.language.harmless:
        pass  # what a dict of another name has besides its items
    elif isinstance(built, Kind):
        set_order(built, state)
    elif isinstance(built, Array) and built.kind is None and isinstance(state, tuple) and len(state) in (4, 5):
        fill(machine, built, *state[-4:])
    else:
        raise Refused("it sets the state of what is no new array")


def _unknown(opcode: bytes) -> Exception:
    if opcode in _REFUSED:
        return Refused(_REFUSED[opcode])
    return Damaged("it is no pickle" if opcode.isascii() else "a step in it is none of pickle's")


_PUSHED: Mapping[bytes, Callable[[Machine], Any]] = {
    b"N": lambda machine: None,
    b"\x88": lambda machine: True,
    b"\x89": lambda machine: False,
    b")": lambda machine: (),
    b"]": lambda machine: [],
    b"}": lambda machine: {},
    b"J": lambda machine: machine.number("<i"),
    b"K": lambda machine: machine.number("<B"),
    b"M": lambda machine: machine.number("<H"),
    b"\x8a": lambda machine: int.from_bytes(machine.take(machine.number("<B")), "little", signed=True),
    b"G": lambda machine: struct.unpack(">d", machine.take(8))[0],
    b"X": lambda machine: _text(machine, "<I"),
    b"\x8c": lambda machine: _text(machine, "<B"),
    b"\x8d": lambda machine: _text(machine, "<Q"),
    b"B": lambda machine: machine.take(machine.number("<I")),
    b"C": lambda machine: machine.take(machine.number("<B")),
    b"\x8e": lambda machine: machine.take(machine.number("<Q")),
    b"\x96": lambda machine: machine.take(machine.number("<Q")),
    b"T": lambda machine: machine.take(machine.number("<i")),
    b"U": lambda machine: machine.take(machine.number("<B")),
    b"h": lambda machine: _memoized(machine, machine.number("<B")),
    b"j": lambda machine: _memoized(machine, machine.number("<I")),
    b"t": lambda machine: tuple(machine.since_mark()),
    b"l": lambda machine: machine.since_mark(),
    b"\x85": lambda machine: machine.last(1),
    b"\x86": lambda machine: machine.last(2),
    b"\x87": lambda machine: machine.last(3),
    b"c": _line_word,
    b"\x93": _stack_word,
    b"R": _reduce,
    b"Q": _outside,
    b"\x81": lambda machine: _new(machine, 2),
    b"\x92": lambda machine: _new(machine, 3),
}

_DONE: Mapping[bytes, Callable[[Machine], object]] = {
    b"\x80": lambda machine: machine.take(1),  # the protocol
    b"\x95": lambda machine: machine.take(8),  # a frame
    b"(": lambda machine: machine.marks.append(len(machine.stack)),
    b"0": Machine.pop,
    b"1": Machine.since_mark,
    b"q": lambda machine: machine.memo.update({machine.number("<B"): machine.top()}),
    b"r": lambda machine: machine.memo.update({machine.number("<I"): machine.top()}),
    b"\x94": lambda machine: machine.memo.update({len(machine.memo): machine.top()}),
    b"a": lambda machine: _append(machine, [machine.pop()]),
    b"e": lambda machine: _append(machine, machine.since_mark()),
    b"s": lambda machine: _set(machine, list(machine.last(2))),
    b"u": lambda machine: _set(machine, machine.since_mark()),
    b"b": _build,
}

_REFUSED: Mapping[bytes, str] = {
    b"P": "it refers to objects outside of the file",
    **dict.fromkeys((b"\x82", b"\x83", b"\x84"), "it takes code from the registry of extensions"),
    **dict.fromkeys((b"i", b"o"), "it builds objects of classes"),
    **dict.fromkeys((b"\x97", b"\x98"), "its arrays are outside of the file"),
    **dict.fromkeys((b"2", b"\x8b", b"\x8f", b"\x90", b"\x91"), "it holds what arrays by name do not need"),
    **dict.fromkeys(
        (b"d", b"I", b"L", b"F", b"S", b"V", b"p", b"g"), "it is written as text, which no file of weights is"
    ),
}
