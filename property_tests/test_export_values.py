"""I-J: what an event holds is the same after it went out as JSON and came in again."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from opcode_runtime.upkeep.lines import Sums, from_json, to_json

TEXTS = st.text(st.characters(codec=None, exclude_categories=()))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.just("$opcode")
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS | st.just("$opcode"), inner),
    max_leaves=20,
)


@given(VALUES)
def test_json_gives_back_every_value(value: object) -> None:
    text = json.dumps(to_json(value), allow_nan=False)
    assert repr(from_json(json.loads(text))) == repr(value)


@given(st.lists(st.dictionaries(st.sampled_from("abc"), VALUES), min_size=1), st.data())
def test_a_line_is_read_after_those_before_it_and_after_no_others(
    lines: list[dict[str, object]], data: st.DataObject
) -> None:
    writer, reader = Sums(), Sums()
    sealed = [
        writer.seal({key: to_json(each) for key, each in line.items()} | {"n": n})
        for n, line in enumerate(lines)
    ]
    opened = [reader.open(line) for line in sealed]
    assert [each["n"] for each in opened] == list(range(len(lines)))
    n = data.draw(st.integers(0, len(lines) - 1))
    at = data.draw(st.integers(0, len(sealed[n]) - 1))
    bit = data.draw(st.integers(0, 7))
    harmed = bytearray(sealed[n])
    harmed[at] ^= 1 << bit
    reader = Sums()
    for line in sealed[:n]:
        reader.open(line)
    try:
        reader.open(bytes(harmed))
    except ValueError:
        return
    raise AssertionError("a changed line was read")
