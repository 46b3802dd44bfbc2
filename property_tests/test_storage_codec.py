"""The quick ways of the codec say what the thorough ones say, and write the bytes that the format names."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from opcode_runtime.model import events as ev
from opcode_runtime.storage import EventUnstorable
from opcode_runtime.storage.codec import Encoder, decode_record, unpack
from opcode_runtime.testing import strategies as chosen

_laws = settings(max_examples=400, deadline=None)
_texts = st.text(st.characters(exclude_categories=()), max_size=6)
_scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.sampled_from((0.0, -0.0, math.inf, -math.inf, math.nan, 5e-324))
    | st.floats()
    | _texts
)
_values = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(_texts | st.integers(-9, 2**70), inner, max_size=4)
    ),
    max_leaves=12,
)


def _spelled(value: Any) -> str:
    """A value with its types: 1 is not True, -0.0 is not 0.0, and a NaN is a NaN."""
    return repr(value)


@_laws
@given(_values)
@example(("\ud800",))
@example({"\ud800": [-(2**70), (1.0, True)]})
def test_what_was_packed_is_read_back_type_for_type(value: Any) -> None:
    assert _spelled(unpack(Encoder().pack(value))) == _spelled(value)


@_laws
@given(_values, st.data())
def test_what_is_cut_off_is_not_read(value: Any, data: st.DataObject) -> None:
    body = Encoder().pack(value)
    end = data.draw(st.integers(0, len(body) - 1))
    for wrong in (body[:end], body + body[:1]):
        with pytest.raises(ValueError, match=r"\w"):
            unpack(wrong)


@_laws
@given(_values, st.integers(1, 2**62), st.sampled_from((b"", bytes(range(16)))))
def test_a_record_with_any_output_is_read_back_type_for_type(
    output: Any, seq: int, previous: bytes
) -> None:
    event = ev.StepCompleted(at=1.5, step_id="a", attempt=2, output=output)
    value, digest = Encoder().record(event, 7, "w", seq, previous)
    record = decode_record(value, 3, "w", seq, previous)
    assert _spelled(record.event) == _spelled(event)
    assert value.endswith(digest)


def _plainly_packed(value: Any) -> bytes:
    """As the specification of msgpack has it, with our extensions 1 (integers) and 2 (tuples)."""

    def extend(odd: Any) -> msgpack.ExtType:
        if isinstance(odd, tuple):
            return msgpack.ExtType(2, _plainly_packed(list(odd)))
        return msgpack.ExtType(1, odd.to_bytes(odd.bit_length() // 8 + 1, "big", signed=True))

    return (
        msgpack.packb(value, default=extend, strict_types=True, unicode_errors="surrogatepass")
        or b""
    )


def _record_of(
    event: ev.AnyEvent, epoch: int, stream: str, seq: int, previous: bytes
) -> tuple[bytes, bytes]:
    """A record by the letter of the format."""
    payload = msgspec.to_builtins(event)
    at, kind = payload.pop("at"), payload.pop("type")
    body = _plainly_packed([1, epoch, stream, seq, at, kind, payload, bytes(16)])[:-16]
    digest = hashlib.blake2b(previous + body, digest_size=16).digest()
    return body + digest, digest


@_laws
@given(
    chosen.events(),
    st.integers(1, 2**40),
    st.sampled_from(("w", "w\ud800", "é" * 300)),
    st.integers(1, 2**62),
    st.sampled_from((b"", bytes(range(16)))),
)
def test_a_record_has_the_bytes_that_the_format_names(
    event: ev.AnyEvent, epoch: int, stream: str, seq: int, previous: bytes
) -> None:
    found = Encoder().record(event, epoch, stream, seq, previous)
    assert found == _record_of(event, epoch, stream, seq, previous)


@_laws
@given(_values)
def test_an_output_of_any_kind_has_the_bytes_that_the_format_names(output: Any) -> None:
    event = ev.StepCompleted(at=1.5, step_id="a", attempt=2, output=output)
    assert Encoder().record(event, 7, "w", 5, b"") == _record_of(event, 7, "w", 5, b"")


@_laws
@given(st.integers(0, 2), st.integers(240, 262))
def test_what_nests_too_deep_is_refused_however_short_it_is(kind: int, depth: int) -> None:
    """The payload stands around the output, and the innermost value counts: two levels of the 256."""
    value: Any = 1
    for _ in range(depth):
        value = ([value], {"": value}, (value,))[kind]
    event = ev.StepCompleted(at=1.0, step_id="a", attempt=1, output=value)
    encoder = Encoder()
    if depth < 255:
        record, _ = encoder.record(event, 1, "w", 1, b"")
        assert decode_record(record, 1, "w", 1, b"").event == event
        return
    with pytest.raises(EventUnstorable):
        encoder.record(event, 1, "w", 1, b"")
