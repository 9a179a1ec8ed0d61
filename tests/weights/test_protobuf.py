"""The reader of protobuf's wire format, beside Google's own and on bytes that lie."""

from __future__ import annotations

import struct

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire import block, doubles, floats, loose_floats, number, packed, varint

from alexnet.errors import WeightsError
from alexnet.weights.formats import protobuf
from alexnet.weights.formats.protobuf import Message


@pytest.fixture
def message(tmp_path):
    def from_bytes(data: bytes) -> Message:
        (tmp_path / "message").write_bytes(data)
        return protobuf.opened(tmp_path / "message")

    return from_bytes


INTEGERS = st.integers(-(2**63), 2**63 - 1)
NUMBERS = st.floats(width=32, allow_nan=False)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(INTEGERS, max_size=4),
    st.text(max_size=8),
    st.lists(NUMBERS, max_size=9),
    st.lists(st.floats(), max_size=9),
)
def test_what_googles_library_writes_is_read(tmp_path_factory, dims, name, values, wide):
    tensor = onnx.TensorProto(dims=dims, name=name, float_data=values, double_data=wide, raw_data=bytes(range(9)))
    path = tmp_path_factory.mktemp("protobuf") / "tensor"
    path.write_bytes(onnx.ModelProto(graph=onnx.GraphProto(initializer=[tensor] * 2)).SerializeToString())
    first, second = protobuf.opened(path).message(7).messages(5)
    assert first.integers(1) == dims and second.text(8) == name and bytes(second.octets(9)) == bytes(range(9))
    np.testing.assert_array_equal(first.floats(4), np.array(values, np.float32))
    np.testing.assert_array_equal(first.doubles(10), wide)


@pytest.mark.parametrize("count", [1, 2, 3, 100_000])
@pytest.mark.parametrize("field", [5, 1000])
def test_values_that_are_not_packed_are_the_same_values(message, count, field):
    values = np.random.default_rng(count).normal(size=count).astype(np.float32)
    tag = varint(field << 3 | 5)
    loose = b"".join(tag + struct.pack("<f", value) for value in values[:2000]) + loose_floats(1, values)
    read = message(number(7, 1) + loose + number(7, 2) + floats(field, values) + doubles(9, values))
    np.testing.assert_array_equal(read.floats(field), np.concatenate([values[:2000], values]))
    np.testing.assert_array_equal(read.floats(1), values)
    np.testing.assert_array_equal(read.doubles(9), values)
    assert read.integers(7) == [1, 2] and read.integer(7) == 2 and 8 not in read and not len(read.floats(8))


def test_a_decimal_is_as_it_was_written(message):
    assert message(floats(2, np.array([1e-4, 0.75, 5e-4]))).reals(2) == [1e-4, 0.75, 5e-4]


HOSTILE = {
    "nothing": b"",
    "a length beyond the end": b"\x0a\x05abc",
    "a length of eight exabytes": b"\x0a" + varint(2**63),
    "a number without an end": b"\x08" + b"\xff" * 9,
    "a number of eleven bytes": b"\x08" + b"\x80" * 10 + b"\x01",
    "a number of more than 64 bits": b"\x08" + b"\xff" * 9 + b"\x7f",
    "a group": b"\x0b\x08\x01\x0c",
    "wire type 6": b"\x0e",
    "field 0": b"\x00\x01",
    "a field beyond 2^29": varint(2**32) + b"\x01",
    "half a float": b"\x0d\x00\x00",
    "a million fields": b"\x08\x01" * 1_000_000,
    "a text instead of a number": block(1, b"\xff"),
    "a text that is not UTF-8": block(2, b"\xff\xfe"),
    "a message twice": block(3, b"") * 2,
    "packed values cut": block(4, b"\x00" * 7),
    "packed numbers cut": block(1, b"\x80"),
    "many packed numbers": packed(1, [7] * 50_000),
    "many numbers for a few": floats(5, np.zeros(50_000)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_message_is_refused(message, name):
    with pytest.raises(WeightsError, match=r"message: (damaged at byte|an empty file)"):
        read = message(HOSTILE[name])
        read.integers(1), read.text(2), read.message(3), read.floats(4), read.reals(5)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(data)
    for ask in (
        lambda m: m.integers(1),
        lambda m: m.texts(2),
        lambda m: m.message(1).messages(2),
        lambda m: m.floats(1),
    ):
        try:
            ask(protobuf.opened(path))
        except WeightsError as error:
            assert "\n" not in str(error)


def test_a_beginning_may_be_cut_anywhere():
    data = block(1, "AlexNet") + block(2, bytes(5000)) + number(7, 1)
    wires = {1: 2, 2: 2, 7: 0}
    for end in range(len(data) + 1):
        begun = protobuf.begins(data[:end], wires)
        assert [place.number for place in begun] == [1, 2, 7][: len(begun)]
    assert len(begun) == 3
    assert not protobuf.begins(data, {1: 2, 2: 0, 7: 0}) and not protobuf.begins(b"\x89HDF\r\n\x1a\n" * 9, wires)
