"""JSON from outside is read strictly, and nesting is measured without recursion."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from opcode_runtime.mcp.strict_json import decode_json, is_deeper_than, pointer_to


def depth_of(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    return 0


def some_json(rng: random.Random, levels: int) -> Any:
    if levels == 0 or rng.random() < 0.2:
        return rng.choice([None, 1, "", '"', "\\", "[", "{", "}]", '\\"[', "ä]", 1.5])
    inner = [some_json(rng, levels - 1) for _ in range(rng.randrange(4))]
    return {f"{{k{n}": each for n, each in enumerate(inner)} if rng.random() < 0.5 else inner


@pytest.mark.parametrize("seed", range(50))
def test_measured_depth_is_the_depth_of_the_decoded_value(seed):
    rng = random.Random(seed)
    for _ in range(40):
        value = some_json(rng, 8)
        text = json.dumps(value, ensure_ascii=rng.random() < 0.5).encode()
        for limit in range(9):
            assert is_deeper_than(text, limit) == (depth_of(value) > limit)


@pytest.mark.parametrize(
    ("depth", "is_fine"), [(1, True), (64, True), (65, False), (1_000_000, False)]
)
@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_the_limit_is_where_it_says(depth, is_fine, opening):
    closing = "]" if opening == "[" else "}"
    text = (opening * depth + ("1" if opening != "[" else "") + closing * depth).encode()
    if is_fine:
        assert depth_of(decode_json(text)) == depth
    else:
        with pytest.raises(ValueError, match="deeper than 64"):
            decode_json(text)


@pytest.mark.parametrize(
    "text", [b"", b"nan", b"[1,]", b"{'a':1}", b"01", b'"\n"', b"\xef\xbb\xbf1", b"1 2", b"]["]
)
def test_what_is_not_json_is_named(text):
    with pytest.raises(ValueError, match=r"not JSON|not UTF-8"):
        decode_json(text)


def test_a_pointer_escapes_its_segments():
    assert pointer_to((((((), "a/b"), "c~d"), 0), "\ud800")) == "/a~1b/c~0d/0/?"
    assert pointer_to(()) == ""
