"""Pickles that mean harm, pickles that are broken, and those that hold arrays."""

import collections
import copyreg
import io
import os
import pickle
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limbeck.checkpoints.pickle_values import Array, Damaged, Refused
from limbeck.checkpoints.unpickle import unpickled


class Calls:
    """Pickles as a call of anything."""

    def __init__(self, *reduced: Any) -> None:
        self.reduced = reduced

    def __reduce__(self) -> tuple[Any, ...]:
        return self.reduced


def read(content: bytes) -> Any:
    return unpickled(memoryview(content))


def array(
    state: bytes, *, made: bytes = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tC\x01btR"
) -> bytes:
    """A pickle of one array by the name `a`, with a state of one's own."""
    return b"\x80\x04}X\x01\x00\x00\x00a" + made + state + b"s."


def kind(
    code: bytes = b"f4", state: bytes = b"(K\x03X\x01\x00\x00\x00<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
) -> bytes:
    return b"cnumpy\ndtype\n(X" + struct.pack("<I", len(code)) + code + b"\x89\x88tR" + state


FLOATS = b"C\x08" + struct.pack("<2f", 1, 2)
TWO, PLAIN = b"(K\x01(K\x02t", b"\x89" + FLOATS + b"tb"
MINUS = b"J\xff\xff\xff\xff"
RECORDS = kind(state=b"(K\x03X\x01\x00\x00\x00<NN)K\x04K\x04K\x00tb")
NO_ORDER = kind(state=b"(K\x03X\x01\x00\x00\x00XNNN" + 2 * MINUS + b"K\x00tb")


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    "values",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.array([1.5], np.float16).astype(">f2"),
        np.zeros((0, 3), np.float32),
        np.array(3, np.int64),
        np.array([True, False]),
        np.arange(256, dtype=np.uint8),
    ],
    ids=lambda values: f"{values.dtype}{list(values.shape)}",
)
def test_arrays_of_every_protocol(protocol: int, values: np.ndarray[Any, Any]) -> None:
    found = read(pickle.dumps({"a": values, "b": values, "c": [1, 2.5, None, True, "x", (10**6, -1)]}, protocol))
    assert isinstance(found["a"], Array)
    assert np.array_equal(found["a"].numpy(), values)
    assert found["a"].numpy().shape == values.shape
    assert found["b"].numpy().dtype == values.dtype
    assert found["c"] == [1, 2.5, None, True, "x", (10**6, -1)]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_large_arrays_make_no_more_bytes_than_the_file_has(protocol: int) -> None:
    values = np.random.default_rng(0).standard_normal(100_000).astype(np.float32)
    assert np.array_equal(read(pickle.dumps({"a": values, "b": values + 1}, protocol))["b"].numpy(), values + 1)


def test_the_older_name_of_numpy_s_core_and_python_2() -> None:
    values = np.arange(3, dtype=np.float32)
    old = pickle.dumps({"a": values}, 2).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert np.array_equal(read(old)["a"].numpy(), values)
    state = b"(K\x01(K\x02t" + kind().replace(b"X\x02\x00\x00\x00f4", b"U\x02f4").replace(
        b"X\x01\x00\x00\x00<", b"U\x01<"
    )
    python_2 = array(state + b"\x89U\x08" + struct.pack("<2f", 1, 2) + b"tb").replace(b"X\x01\x00\x00\x00a", b"U\x01a")
    assert np.array_equal(read(python_2)["a"].numpy(), np.array([1, 2], np.float32))


def test_an_ordered_dict_and_tuples_of_tensors_are_plain() -> None:
    content = collections.OrderedDict(a=Calls(tuple, (("conv_0.w_0", np.ones(2, np.float32)),)))
    (found,) = read(pickle.dumps(content, 4)).values()
    assert found[0] == "conv_0.w_0"
    assert np.array_equal(found[1].numpy(), [1, 1])


HARMFUL: dict[str, tuple[Callable[[Path], Any], str]] = {
    "os.system": (lambda mark: Calls(os.system, (f"touch {mark}",)), r"(posix|nt)\.system"),
    "eval": (lambda mark: Calls(eval, (f"open({str(mark)!r}, 'w')",)), "builtins.eval"),
    "exec": (lambda mark: Calls(exec, (f"open({str(mark)!r}, 'w')",)), "builtins.exec"),
    "getattr": (lambda mark: Calls(getattr, ("os", "system")), "getattr"),
    "open": (lambda mark: Calls(open, (str(mark), "w")), "open"),
    "numpy.load": (lambda mark: Calls(np.load, (str(mark), None, True)), "numpy"),
    "numpy.fromfile": (lambda mark: Calls(np.fromfile, (str(mark),)), "numpy"),
    "numpy.memmap": (lambda mark: Calls(np.memmap, (str(mark), np.uint8, "w+", 0, (9,))), "numpy"),
    "numpy.testing": (lambda mark: Calls(np.testing.assert_equal, (1, 1)), "numpy.testing"),
    "an array of objects": (lambda mark: np.array([Calls(os.system, (f"touch {mark}",))], object), "."),
    "a scalar": (lambda mark: np.float64(3), r"multiarray\.scalar"),
    "an array of records": (lambda mark: np.zeros(2, [("x", "f4")]), "plain numbers"),
    "an array of texts": (lambda mark: np.array(["x"]), "plain numbers"),
    "an array of dates": (lambda mark: np.zeros(2, "datetime64[s]"), "plain numbers"),
    "a dtype with metadata": (lambda mark: np.zeros(2, np.dtype("f4", metadata={"x": 1})), "plain numbers"),
    "a subclass": (lambda mark: np.ma.masked_array([1.0]), r"numpy\.ma"),
    "a matrix": (lambda mark: Calls(np.zeros(0).__reduce__()[0], (np.matrix, (0,), b"b")), "matrix"),
    "a class": (lambda mark: io.BytesIO(b"x"), r"_io\.BytesIO"),
    "a function": (lambda mark: os.path.join, "join"),
    "bytes of any size": (lambda mark: Calls(bytes, (10**12,)), "size"),
    "a bytearray": (lambda mark: Calls(bytearray, (10**12,)), "bytearray"),
    "a set": (lambda mark: {1, 2}, "set|need"),
    "a dict by numbers": (lambda mark: {1: 2}, "key"),
    "a dict by a long text": (lambda mark: {1001 * "a": 2}, "1,001 letters"),
    "an ordered dict of items": (lambda mark: Calls(collections.OrderedDict, ([("a", 1)],)), "dict"),
}


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("name", HARMFUL)
def test_harm_is_refused_and_not_done(tmp_path: Path, name: str, protocol: int) -> None:
    make, reason = HARMFUL[name]
    mark = tmp_path / "done"
    content = pickle.dumps({"a": make(mark)}, protocol)
    with pytest.raises(Refused, match=reason):
        read(content)
    assert not mark.exists()


def test_a_name_that_would_run_does_not_steer_a_terminal() -> None:
    with pytest.raises(Refused) as told:
        read(b"\x80\x02cos\x1b[2J\nsystem\n.")
    assert str(told.value) == r"it would run os\x1b[2J.system when loaded"


def test_persistent_ids_extensions_and_buffers_outside_are_refused() -> None:
    class Persistent(pickle.Pickler):
        def persistent_id(self, obj: object) -> object:
            return "elsewhere" if obj == "x" else None

    stream = io.BytesIO()
    Persistent(stream, 2).dump({"a": "x"})
    with pytest.raises(Refused, match="outside of the file"):
        read(stream.getvalue())
    copyreg.add_extension("os", "system", 0x1234)
    try:
        content = pickle.dumps({"a": os.system}, 2).replace(b"cposix\nsystem\n", b"\x83\x34\x12")
    finally:
        copyreg.remove_extension("os", "system", 0x1234)
    with pytest.raises(Refused, match=r"extensions|posix"):
        read(b"\x80\x02\x83\x34\x12.")
    with pytest.raises(Refused):
        read(content)
    outside: list[pickle.PickleBuffer] = []
    content = pickle.dumps({"a": np.ones(999)}, 5, buffer_callback=outside.append)
    with pytest.raises(Refused, match="outside of the file"):
        read(content)


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02cos\nsystem\n(X\x02\x00\x00\x00lstR.",
        b"(S'ls'\nios\nsystem\n.",
        b"\x80\x02(cos\nsystem\nX\x02\x00\x00\x00lso.",
        b"\x80\x02ccollections\nOrderedDict\n)\x81.",
        b"\x80\x02ccollections\nOrderedDict\n)R}X\x01\x00\x00\x00aK\x01sb.",
        b"\x80\x02cnumpy\nndarray\n(K\x05tR.",
        b"\x80\x02K\x01K\x02R.",
        b"\x80\x02K\x01)b.",
        b"\x80\x02K\x01\x85K\x02K\x03s.",
        b"\x80\x02)K\x01a.",
        b"\x80\x04K\x01K\x02\x93.",
        b"cposix\nsystem\n.",
        b"I1\n.",
    ],
)
def test_other_ways_to_call_or_build_are_refused(content: bytes) -> None:
    with pytest.raises(Refused):
        read(content)


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (b"(K\x01(" + 2 * b"J\xff\xff\xff\x7f" + b"t" + kind() + PLAIN, "declares a shape"),
        (b"(K\x01(J\xff\xff\xff\x7ft" + kind() + PLAIN, "declares 8,589,934,588 bytes, and has 8"),
        (b"(K\x01(K\x03t" + kind() + PLAIN, "declares 12 bytes, and has 8"),
        (b"(K\x01(K\x01t" + kind() + PLAIN, "declares 4 bytes, and has 8"),
        (b"(K\x01(K\x00\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01t" + kind() + b"\x89C\x00tb", "declares a shape"),
        (b"(K\x01(" + 2 * MINUS + b"t" + kind() + PLAIN, "declares a shape"),
        (b"(K\x01(\x88K\x02t" + kind() + PLAIN, "declares a shape"),
        (b"(K\x01(" + 33 * b"K\x01" + b"t" + kind() + PLAIN, "declares a shape"),
        (b"(K\x01K\x02" + kind() + PLAIN, "declares a shape"),
        (TWO + b"X\x02\x00\x00\x00f4" + PLAIN, "plain numbers"),
        (TWO + kind(b"O8") + PLAIN, "plain numbers"),
        (TWO + kind() + b"\x89]tb", "plain numbers"),
        (TWO + kind(state=b"") + PLAIN, "plain numbers"),
        (TWO + RECORDS + PLAIN, "plain numbers"),
        (TWO + NO_ORDER + PLAIN, "plain numbers"),
        (TWO + kind() + PLAIN + TWO + kind() + PLAIN, "no new array"),
        (b"(K\x01tb", "no new array"),
        (b"K\x01b", "no new array"),
    ],
)  # fmt: skip
def test_states_of_arrays_are_believed_only_as_far_as_their_bytes_go(state: bytes, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        read(array(state))


def test_an_array_without_a_state_and_one_of_another_type_are_refused() -> None:
    with pytest.raises(Refused, match="without a state"):
        read(array(b""))["a"].numpy()
    made = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\ndtype\n(K\x00tC\x01btR"
    with pytest.raises(Refused, match="another type"):
        read(array(b"", made=made))
    with pytest.raises(Refused, match="another type"):
        read(array(b"", made=made.replace(b"dtype\n(K\x00", b"ndarray\n(J\xff\xff\xff\x7f")))


def test_few_bytes_do_not_become_many() -> None:
    text = b"X" + struct.pack("<I", 1000) + 1000 * b"a"
    encoded = b"0c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R"
    with pytest.raises(Refused, match="more bytes than"):
        read(b"\x80\x02(" + text + b"q\x00" + 99 * encoded + b"t.")
    one = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tC\x01btR(K\x01(M\x40\x1ft"
        + kind(b"u1")
        + b"\x89h\x00tb"
    )
    with pytest.raises(Refused, match="more bytes than"):
        read(b"\x80\x02(B" + struct.pack("<I", 8000) + 8000 * b"a" + b"q\x00" + 99 * one + b"t.")
    with pytest.raises(Refused, match="steps"):
        read(b"\x80\x02" + 1_100_000 * b"]" + b".")
    with pytest.raises(Damaged, match="too early"):
        read(b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"x.")


def test_nesting_and_doubling_cost_nothing() -> None:
    deep = read(b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".")
    assert len(deep) == 1
    del deep
    doubled = read(b"\x80\x02)q\x00" + b"h\x00h\x00\x86q\x000" * 10_000 + b"h\x00.")
    assert len(doubled) == 2


def test_cut_and_foreign_bytes_are_told() -> None:
    whole = pickle.dumps({"a": np.ones(50, np.float32), "b": np.ones(3, np.float32)}, 4)
    for length in range(len(whole)):
        with pytest.raises(Damaged):
            read(whole[:length])
    for content in (b"hello", b"\xff\xff", b"\x80\x02t.", b"\x80\x02h\x05.", b"\x80\x02R.", b"\x80\x02u.", b"."):
        with pytest.raises(Damaged):
            read(content)


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_noise_never_does_anything_else(protocol: int) -> None:
    whole = pickle.dumps({"a": np.ones((2, 3), np.float32), "b": ("x", np.ones(3, np.int64)), "c": {"d": 1}}, protocol)
    draw = random.Random(protocol)
    for _ in range(3000):
        noisy = bytearray(whole)
        for _ in range(draw.randrange(1, 4)):
            noisy[draw.randrange(len(noisy))] = draw.randrange(256)
        try:
            found = read(bytes(noisy))
            for value in found.values() if isinstance(found, dict) else ():
                if isinstance(value, Array):
                    value.numpy()
        except (Refused, Damaged):
            pass
